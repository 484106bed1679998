"""From evidence to verdict. Pure: the same guides and evidence give the same bytes, whenever.

Each guide is judged alone (`belief`), so that independent faults are each named; then the verdicts
are merged: trouble that a named cause of another guide explains is not told twice.
"""

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from backstay.core.errors import Plain
from backstay.core.guide import UNIVERSAL_READINGS, Cause, Evidence, Fix, Guide, Probe
from backstay.doctor.belief import NAMED, NONE, SYMPTOM, UNKNOWN, Belief, believe
from backstay.doctor.verdict import (
    Diagnosis,
    Prescription,
    Ranked,
    RuledOut,
    Status,
    Verdict,
    Weighed,
)

_SAYS = {NONE: "all is well", UNKNOWN: "something is wrong that this guide does not know"}
_PART = re.compile(r"\[\[(.*?)\]\]")
_FACT = re.compile(r"{(\w+)}")
_COUNTS = 0.3
_CLEARLY = 0.1


def judge(guides: Sequence[Guide], evidence: Iterable[Evidence]) -> Verdict:
    """The verdict on `evidence`. Of two looks by one probe the later one counts; the order of
    evidence and of guides does not matter."""
    known = _latest(evidence)
    probes = {probe.id: probe for guide in guides for probe in guide.probes}
    sizes = {name: len(probe.readings) + len(UNIVERSAL_READINGS) for name, probe in probes.items()}
    beliefs = [believe(guide, known, sizes) for guide in sorted(guides, key=lambda g: g.id)]
    wrong = [belief for belief in beliefs if belief.winner() not in (NONE, UNKNOWN)]
    explained = {name: _explained(belief) for name, belief in _by_guide(wrong).items()}
    findings = _merged(wrong, explained, probes)
    everything = frozenset[str]().union(*explained.values())
    unclear = [
        _diagnosis(belief, UNKNOWN, probes)
        for belief in beliefs
        if belief.winner() == UNKNOWN and not _own(belief) <= everything
    ]
    healthy = [belief for belief in beliefs if belief.winner() == NONE]
    status: Status = "wrong" if findings else "unclear" if unclear else "healthy"
    return Verdict(
        status=status,
        asked=len(known),
        findings=tuple(findings),
        unclear=tuple(unclear),
        ruled_out=tuple(out for belief in healthy for out in _ruled_out(belief, NONE)),
    )


def _latest(evidence: Iterable[Evidence]) -> dict[str, Evidence]:
    found: dict[str, Evidence] = {}
    for one in sorted(evidence, key=lambda e: (e.at, e.sha256, e.reading)):
        found[one.probe] = one
    return found


def _by_guide(beliefs: Iterable[Belief]) -> dict[str, Belief]:
    return {belief.guide.id: belief for belief in beliefs}


def _own(belief: Belief) -> frozenset[str]:
    """Abnormal readings of the guide's own probes; of others it only takes note."""
    own = {probe.id for probe in belief.guide.probes}
    return frozenset(
        one.probe for one in belief.evidence if one.outcome != "pass" and one.probe in own
    )


def _explained(belief: Belief) -> frozenset[str]:
    """Probes whose abnormal reading the winning cause accounts for."""
    winner = belief.winner()
    return frozenset(one.probe for one in belief.evidence if belief.explains(winner, one))


def _merged(
    wrong: Sequence[Belief], explained: Mapping[str, frozenset[str]], probes: Mapping[str, Probe]
) -> list[Diagnosis]:
    """A finding follows from another one that accounts for all its abnormal readings, if it does
    not account for those of the other."""
    roots: dict[str, str] = {}
    for belief in wrong:
        mine = belief.guide.id
        for other in wrong:
            theirs = other.guide.id
            if _own(belief) <= explained[theirs] and not _own(other) <= explained[mine]:
                roots.setdefault(mine, theirs)
    diagnoses = {belief.guide.id: _diagnosis(belief, belief.winner(), probes) for belief in wrong}
    found = []
    for name, diagnosis in diagnoses.items():
        follows = [guide for guide in diagnoses if guide != name and _root(guide, roots) == name]
        if _root(name, roots) == name:
            says = tuple(sorted(diagnoses[guide].says for guide in follows))
            found.append(msgspec.structs.replace(diagnosis, follows=says))
    return sorted(found, key=lambda one: (-one.probability, one.guide))


def _root(guide: str, roots: Mapping[str, str]) -> str:
    """Where following leads; should it lead in a circle, the first name of the circle."""
    path: list[str] = []
    while guide in roots:
        if guide in path:
            return min(path[path.index(guide) :])
        path.append(guide)
        guide = roots[guide]
    return guide


def _diagnosis(belief: Belief, cause: str, probes: Mapping[str, Probe]) -> Diagnosis:
    guide = belief.guide
    facts = _facts(belief, cause)
    return Diagnosis(
        guide=guide.id,
        title=guide.title,
        seed=guide.seed,
        cause=cause,
        says=_fill(_says(belief, cause), facts),
        probability=round(belief.odds[cause], 4),
        evidence=_evidence(belief, cause, probes),
        ranking=tuple(
            Ranked(name, _fill(_says(belief, name), facts), round(belief.odds[name], 4))
            for name in belief.ranking()
        ),
        ruled_out=_ruled_out(belief, cause),
        would_change_my_mind=_doubts(belief, cause, probes),
        fixes=_fixes(belief, cause, facts),
        escalation=_fill(guide.escalation, facts),
    )


def _says(belief: Belief, cause: str) -> str:
    return _SAYS[cause] if cause in _SAYS else belief.causes[cause].says


def _weight(belief: Belief, cause: str, against: str, one: Evidence) -> float:
    return math.log10(belief.likelihood(cause, one) / belief.likelihood(against, one))


def _evidence(belief: Belief, cause: str, probes: Mapping[str, Probe]) -> tuple[Weighed, ...]:
    counted = [(round(_weight(belief, cause, NONE, one), 2), one) for one in belief.evidence]
    counted.sort(key=lambda pair: (-pair[0], pair[1].probe))
    return tuple(
        Weighed(
            probe=one.probe,
            asks=_asks(one.probe, probes),
            reading=one.reading,
            outcome=one.outcome,
            weight=weight,
            facts=one.facts,
            sha256=one.sha256,
        )
        for weight, one in counted
        if weight > _COUNTS
    )


def _asks(probe: str, probes: Mapping[str, Probe]) -> str:
    if probe.startswith(SYMPTOM):
        return "what you saw"
    return probes[probe].asks if probe in probes else ""


def _ruled_out(belief: Belief, winner: str) -> tuple[RuledOut, ...]:
    """Causes clearly behind the winner, each with the reading that put it there."""
    found = []
    for name in belief.ranking():
        if name in (winner, NONE, UNKNOWN):
            continue
        against = [
            (round(_weight(belief, name, winner, one), 6), one.probe, one)
            for one in belief.evidence
        ]
        if not against or belief.odds[name] > _CLEARLY * belief.odds[winner]:
            continue
        weight, probe, one = min(against, key=lambda entry: entry[:2])
        if weight >= 0:
            continue
        says = _fill(belief.causes[name].says, one.facts)
        expected = _expected(belief.causes[name], probe)
        found.append(RuledOut(belief.guide.id, name, says, probe, one.reading, expected))
    return tuple(found)


def _expected(cause: Cause, probe: str) -> str:
    table = cause.expects.get(probe, {})
    return max(sorted(table), key=lambda reading: table[reading]) if table else "anything else"


def _doubts(belief: Belief, cause: str, probes: Mapping[str, Probe]) -> tuple[str, ...]:
    """Which answers would turn the verdict: the strongest one given, and those not given."""
    doubts: list[str] = []
    turned: set[str] = set()
    given = [one for one in belief.evidence if not one.probe.startswith(SYMPTOM)]
    if given and cause != UNKNOWN:
        strongest = max(given, key=lambda one: (_weight(belief, cause, NONE, one), one.probe))
        turned.add(strongest.probe)
        doubts.append(f"{strongest.probe} reading anything but {strongest.reading}")
    answered = {one.probe for one in given if one.reading not in UNIVERSAL_READINGS}
    silent = sorted({probe.id for probe in belief.guide.probes} - answered - turned)
    doubts += [f"an answer of {probe} ({probes[probe].asks})" for probe in silent]
    return tuple(doubts)


def _facts(belief: Belief, cause: str) -> dict[str, Plain]:
    """Facts that texts and commands are filled with; what explains more goes first."""
    ordered = sorted(
        belief.evidence,
        key=lambda one: (
            not belief.explains(cause, one),
            -_weight(belief, cause, NONE, one),
            one.probe,
        ),
    )
    facts: dict[str, Plain] = {}
    for one in ordered:
        for key, value in one.facts.items():
            if value not in (None, ""):
                facts.setdefault(key, value)
    return facts


def _fixes(belief: Belief, cause: str, facts: Mapping[str, Plain]) -> tuple[Prescription, ...]:
    known: dict[str, Fix] = {fix.id: fix for fix in belief.guide.fixes}
    # A command is pasted into a shell: what was seen must arrive there as one word.
    quoted: dict[str, Plain] = {
        key: shlex.quote(value) if isinstance(value, str) else value for key, value in facts.items()
    }
    named = belief.causes[cause].fixes if cause in belief.causes else ()
    return tuple(
        Prescription(fix.id, _fill(fix.says, facts), _fill(fix.command, quoted), fix.risk)
        for fix in (known[name] for name in named if name in known)
    )


class _Shown(dict[str, Plain]):
    def __missing__(self, key: str) -> str:
        return key.upper()


def _fill(template: str, facts: Mapping[str, Plain]) -> str:
    """`{fact}` filled; a `[[part]]` with a fact that nobody saw is left out."""

    def part(found: re.Match[str]) -> str:
        known = all(name in facts for name in _FACT.findall(found[1]))
        return found[1] if known else ""

    return _PART.sub(part, template).format_map(_Shown(facts))


__all__ = ["NAMED", "SYMPTOM", "judge"]
