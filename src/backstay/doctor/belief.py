"""How likely each cause of one guide is, given the evidence: naive Bayes, as small as it can be.

Each cause has a prior and says how likely it makes the readings it knows about. Two causes belong
to every guide: `none` (all is well) and `unknown` (something is wrong that the guide does not
know). The figures below are the whole model:

- `none` makes a passing reading very likely and any other very unlikely.
- `unknown` makes a passing reading as likely as not to matter, and every other equally likely.
- A probe that a cause says nothing about is judged as under `unknown`: it neither helps nor hurts.
- So is silence (`silent`, `late`, `forbidden`) by causes that speak of answers only.
- No likelihood is 0: one odd reading never kills a cause alone.
- What was not asked (outcome `skip`) does not count.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from backstay.core.guide import UNIVERSAL_READINGS, Cause, Evidence, Guide
from backstay.core.health import Outcome

NONE, UNKNOWN = "none", "unknown"
SYMPTOM = "symptom."
"""`symptom.GUIDE` with the reading `named` is what the user's own words are as evidence."""
NAMED = "named"

FLOOR = 0.01
NONE_PRIOR = 0.6
UNKNOWN_PRIOR = 0.05
_NONE: Mapping[Outcome, float] = {"pass": 0.95, "warn": 0.005, "fail": 0.002, "unknown": 0.01}
_NONE_UNIVERSAL = 0.002
_NONE_NAMED = 0.05
_OTHERWISE_PASS = 0.9
_OTHERWISE_NAMED = 0.3


class Belief(msgspec.Struct, frozen=True):
    """`odds[cause]` is the probability of each cause; the rest explains it."""

    guide: Guide
    causes: Mapping[str, Cause]
    evidence: Sequence[Evidence]
    odds: Mapping[str, float]
    sizes: Mapping[str, int]

    def likelihood(self, cause: str, evidence: Evidence) -> float:
        """Of this reading, if this cause were true."""
        otherwise = _otherwise(evidence, self.sizes)
        if cause == UNKNOWN:
            return otherwise
        if cause == NONE:
            # Never above the least a cause can give: silence must not speak for health.
            return _under_none(evidence)
        table = self.causes[cause].expects.get(evidence.probe)
        if table is None:
            return otherwise
        given = table.get(evidence.reading)
        universal = evidence.reading in UNIVERSAL_READINGS
        if given is None and universal and table.keys().isdisjoint(UNIVERSAL_READINGS):
            return otherwise
        if given is None:
            rest = max(0.0, 1.0 - sum(table.values()))
            given = rest / max(1, self.sizes.get(evidence.probe, 1) - len(table))
        return min(1.0, max(FLOOR, given))

    def explains(self, cause: str, evidence: Evidence) -> bool:
        """Whether the cause makes an abnormal reading likelier than chance does."""
        if evidence.outcome == "pass" or cause in (NONE, UNKNOWN):
            return False
        return self.likelihood(cause, evidence) > 1.2 * _otherwise(evidence, self.sizes)

    def ranking(self) -> list[str]:
        """Causes from the likeliest; equals in the order of their names."""
        return sorted(self.odds, key=lambda cause: (-self.odds[cause], cause))

    def winner(self) -> str:
        """The likeliest cause that at least one abnormal reading of the guide's own speaks for;
        else `none` or `unknown`, whichever is likelier. What probes of other guides saw may
        follow from a cause, and names none."""
        own = [one for one in self.evidence if self._own(one)]
        for cause in self.ranking():
            if cause in (NONE, UNKNOWN) or any(self.explains(cause, one) for one in own):
                return cause
        return NONE

    def _own(self, evidence: Evidence) -> bool:
        return evidence.probe.startswith(SYMPTOM) or any(
            probe.id == evidence.probe for probe in self.guide.probes
        )


def believe(guide: Guide, evidence: Mapping[str, Evidence], sizes: Mapping[str, int]) -> Belief:
    """`evidence` by probe id, all of it: those that the guide knows are taken."""
    mentioned = {probe.id for probe in guide.probes} | {f"{SYMPTOM}{guide.id}"}
    for cause in guide.causes:
        mentioned.update(cause.expects)
    taken = [
        evidence[probe]
        for probe in sorted(mentioned & evidence.keys())
        if evidence[probe].outcome != "skip"
    ]
    causes = {cause.id: cause for cause in guide.causes}
    belief = Belief(guide, causes, taken, {}, sizes)
    priors = {NONE: NONE_PRIOR, UNKNOWN: UNKNOWN_PRIOR}
    priors |= {cause.id: cause.prior for cause in guide.causes}
    logs = {
        name: math.log(max(prior, 1e-9))
        + math.fsum(math.log(belief.likelihood(name, one)) for one in taken)
        for name, prior in sorted(priors.items())
    }
    top = max(logs.values())
    shares = {name: math.exp(value - top) for name, value in logs.items()}
    total = math.fsum(shares.values())
    odds = {name: share / total for name, share in shares.items()}
    return msgspec.structs.replace(belief, odds=odds)


def _under_none(evidence: Evidence) -> float:
    if evidence.probe.startswith(SYMPTOM):
        return _NONE_NAMED
    if evidence.reading in UNIVERSAL_READINGS:
        return _NONE_UNIVERSAL
    return _NONE.get(evidence.outcome, 0.01)


def _otherwise(evidence: Evidence, sizes: Mapping[str, int]) -> float:
    if evidence.probe.startswith(SYMPTOM):
        return _OTHERWISE_NAMED
    if evidence.outcome == "pass":
        return _OTHERWISE_PASS
    return 1.0 / max(2, sizes.get(evidence.probe, 5))
