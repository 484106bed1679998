"""One consultation from question to answer: collect, judge, keep, tell."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from backstay.core.clock import Clock, SystemClock
from backstay.core.errors import Fault
from backstay.core.guide import Evidence, Guide, Target
from backstay.core.nearest import nearest
from backstay.core.redact import redactor
from backstay.doctor.belief import SYMPTOM
from backstay.doctor.bundle import read_bundle, write_bundle
from backstay.doctor.errors import NO_GUIDE
from backstay.doctor.examine import examine, probes_for
from backstay.doctor.judge import judge
from backstay.doctor.show import show
from backstay.doctor.symptoms import named
from backstay.doctor.verdict import Status, Verdict, encode

_PATIENCE = 3.0


class Question(msgspec.Struct, frozen=True):
    """`only` names a guide; `replay` is a bundle to judge instead of looking."""

    target: Target
    only: str = ""
    bundle: Path | None = None
    replay: Path | None = None


class Answer(msgspec.Struct, frozen=True):
    """A verdict and what it takes to tell it. `took` is seconds."""

    verdict: Verdict
    target: Target
    matched: tuple[str, ...]
    took: float

    @property
    def status(self) -> Status:
        """As the verdict has it; words that no guide knows are unclear, not healthy."""
        unknown_words = bool(self.target.text.strip()) and not self.matched
        if self.verdict.status == "healthy" and unknown_words:
            return "unclear"
        return self.verdict.status

    def as_text(self) -> str:
        words = bool(self.target.text.strip())
        return show(self.verdict, self.target, self.took, words=words, matched=self.matched)

    def as_json(self) -> str:
        """The verdict with the status that the exit code tells."""
        told = msgspec.structs.replace(self.verdict, status=self.status)
        return msgspec.json.format(encode(told), indent=2).decode()


def diagnose(all_guides: Sequence[Guide], question: Question) -> Answer:
    """Raises Fault DOC001 for an unknown guide, DOC002 and DOC003 for bundles."""
    clock = SystemClock()
    began = clock.tick()
    target = question.target
    if target.token:
        # It may be the very thing that is wrong; it is still nobody else's business.
        redactor().learn(target.token)
    asked = _chosen(all_guides, question.only)
    if question.replay is not None:
        evidence = list(read_bundle(question.replay).evidence)
    else:
        evidence = _look(asked, all_guides, target, clock)
    verdict = judge(asked, evidence)
    if question.bundle is not None:
        write_bundle(question.bundle, evidence, verdict, clock)
    return Answer(verdict, target, _matched(evidence), clock.tick() - began)


def _look(
    asked: Sequence[Guide], all_guides: Sequence[Guide], target: Target, clock: Clock
) -> list[Evidence]:
    """Ask every probe; before anything is called wrong, ask again what did not pass, with more
    patience: a machine that was busy for a second is no fault, and a real one is still there."""
    probes = probes_for(asked, all_guides)
    words = named(asked, target.text)
    first = asyncio.run(examine(probes, target, clock))
    if judge(asked, [*first, *words]).status == "healthy":
        return [*first, *words]
    doubtful = {one.probe for one in first if one.outcome not in ("pass", "skip")}
    patient = msgspec.structs.replace(target, patience=_PATIENCE)
    again = [probe for probe in probes if probe.id in doubtful]
    second = {one.probe: one for one in asyncio.run(examine(again, patient, clock))}
    return [*(second.get(one.probe, one) for one in first), *words]


def _matched(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """The guides that know what the user saw."""
    return tuple(
        one.probe.removeprefix(SYMPTOM) for one in evidence if one.probe.startswith(SYMPTOM)
    )


def _chosen(guides: Sequence[Guide], only: str) -> Sequence[Guide]:
    if not only:
        return guides
    chosen = [guide for guide in guides if guide.id == only]
    if chosen:
        return chosen
    known = [guide.id for guide in guides]
    near = nearest(only, known)
    perhaps = f", perhaps {near}" if near else ""
    raise Fault(NO_GUIDE, name=only, known=", ".join(known), nearest=perhaps)
