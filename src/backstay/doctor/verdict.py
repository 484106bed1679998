"""What the doctor says: frozen data, so that a verdict can be kept, compared and shown anywhere."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from backstay.core.errors import Plain
from backstay.core.health import Outcome

Status = Literal["healthy", "wrong", "unclear"]


class Weighed(msgspec.Struct, frozen=True):
    """One piece of evidence and how much it counts: `weight` is the decimal logarithm of how much
    likelier the reading is under the cause than when all is well."""

    probe: str
    asks: str
    reading: str
    outcome: Outcome
    weight: float
    facts: Mapping[str, Plain]
    sha256: str


class Ranked(msgspec.Struct, frozen=True):
    """A cause that was considered; `none` and `unknown` are causes, too."""

    cause: str
    says: str
    probability: float


class RuledOut(msgspec.Struct, frozen=True):
    """A cause and the one piece of evidence that speaks most against it."""

    guide: str
    cause: str
    says: str
    probe: str
    reading: str
    expected: str


class Prescription(msgspec.Struct, frozen=True):
    """What to type. `risk` says what it may cost: nothing, a restart, or data."""

    id: str
    says: str
    command: str
    risk: Literal["none", "restart", "data"]


class Diagnosis(msgspec.Struct, frozen=True):
    """The verdict of one guide. `follows` are other findings that this one explains."""

    guide: str
    title: str
    seed: str
    cause: str
    says: str
    probability: float
    evidence: tuple[Weighed, ...]
    ranking: tuple[Ranked, ...]
    ruled_out: tuple[RuledOut, ...]
    would_change_my_mind: tuple[str, ...]
    fixes: tuple[Prescription, ...]
    escalation: str = ""
    follows: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """`findings` are causes that are named, `unclear` is trouble that no cause explains,
    `ruled_out` is what the guides asked about do not find (all of them, when healthy)."""

    status: Status
    asked: int
    findings: tuple[Diagnosis, ...] = ()
    unclear: tuple[Diagnosis, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()


def encode(verdict: Verdict) -> bytes:
    """JSON, always the same for the same verdict."""
    return msgspec.json.encode(verdict, order="sorted")
