"""The verdict for people: one line when all is well, else what, why, what not, what to type."""

from collections.abc import Collection, Iterable, Mapping

from backstay.core.errors import Plain
from backstay.core.guide import Target
from backstay.doctor.verdict import Diagnosis, RuledOut, Verdict

_HIDDEN = frozenset({"process", "data", "says", "text"})
_RISKS = {"none": "", "restart": " (a restart)", "data": " (changes data: make a backup first)"}
_FACT_LIMIT = 240


def show(
    verdict: Verdict, target: Target, took: float, *, words: bool, matched: Collection[str]
) -> str:
    """`words`: the user described a trouble; `matched`: the guides that know it."""
    if verdict.status == "healthy":
        return "\n".join(_healthy(verdict, target, took, words=words, matched=matched))
    lines: list[str] = []
    for finding in verdict.findings:
        lines += [*_finding(finding), ""]
    for finding in verdict.unclear:
        lines += [*_unclear(finding), ""]
    return "\n".join(lines).rstrip()


def _healthy(
    verdict: Verdict, target: Target, took: float, *, words: bool, matched: Collection[str]
) -> Iterable[str]:
    if words and not matched:
        yield f"could not tell: no guide knows this text, and all {verdict.asked} probes are well"
        yield "  next: backstay explain CODE for a code in it; backstay logs NAME around its time"
        return
    yield (
        f"healthy: nothing wrong in {verdict.asked} looks, {took:.1f} s"
        f" ({target.base_url}, {target.data})"
    )
    if words:
        for out in (out for out in verdict.ruled_out if out.guide in matched):
            yield f"  ruled out: {_out(out)}"


def _finding(finding: Diagnosis) -> Iterable[str]:
    yield f"wrong: {_line(finding.says)}"
    yield f"  {finding.guide} / {finding.cause}, {finding.probability:.0%} sure"
    yield "  evidence"
    yield from _evidence(finding)
    for says in finding.follows:
        yield f"  this explains, too: {says}"
    if finding.ruled_out:
        yield "  ruled out"
        for out in finding.ruled_out:
            yield f"    {_out(out)}"
    for number, fix in enumerate(finding.fixes):
        yield f"  {'fix' if number == 0 else 'or'}: {fix.says}{_RISKS[fix.risk]}"
        yield f"    {fix.command}"
    if finding.would_change_my_mind:
        yield f"  would change my mind: {'; '.join(finding.would_change_my_mind)}"
    if finding.escalation:
        yield f"  if that does not help: {finding.escalation}"


def _unclear(finding: Diagnosis) -> Iterable[str]:
    yield f"could not tell: {finding.title}"
    yield f"  {finding.guide}: no known cause explains this"
    yield from _evidence(finding)
    if finding.escalation:
        yield f"  next: {finding.escalation}"


def _evidence(finding: Diagnosis) -> Iterable[str]:
    for one in finding.evidence:
        yield f"    {one.probe} is {one.reading}  [{one.asks}; sha256 {one.sha256[:12]}]"
        yield from _facts(one.facts)


def _facts(facts: Mapping[str, Plain]) -> Iterable[str]:
    for key, value in facts.items():
        if key in _HIDDEN or value in (None, "", [], {}):
            continue
        text = _line(str(value))
        shown = text if len(text) <= _FACT_LIMIT else text[:_FACT_LIMIT] + "…"
        yield f"      {key}: {shown}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _out(out: RuledOut) -> str:
    return f"{out.cause}: {out.probe} is {out.reading}, it would be {out.expected}"
