"""A troubleshooting guide as data: what the doctor judges by, what the docs print.

Nothing here knows the doctor. Probes only read; fixes are previewed, applied on approval and
verified. `silent`, `forbidden` and `late` are readings of every probe: the silence of a system
is evidence about it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from backstay.core.errors import Plain
from backstay.core.health import Outcome

SILENT, FORBIDDEN, LATE = "silent", "forbidden", "late"
UNIVERSAL_READINGS = (SILENT, FORBIDDEN, LATE)

SymptomKind = Literal["text", "status", "metric", "state", "absence"]


class Symptom(msgspec.Struct, frozen=True):
    """How a user meets the trouble. `match` is a regular expression for `text`, a number for
    `status`, `PROBE=READING` for `state` and `absence`, `NAME>NUMBER` for `metric`."""

    kind: SymptomKind
    match: str
    says: str


class Target(msgspec.Struct, frozen=True):
    """What a probe may look at: the data folder, the runtime folder with the control sockets and
    `state.json`, the outside address, the words and the token the user gave. `patience` is how
    many times their usual deadlines probes may wait."""

    data: Path
    runtime: Path
    base_url: str
    text: str = ""
    token: str = ""
    app_file: Path | None = None
    patience: float = 1.0


class Evidence(msgspec.Struct, frozen=True):
    """What a probe saw, redacted before it exists. `sha256` is that of the captured bytes."""

    probe: str
    reading: str
    outcome: Outcome
    facts: Mapping[str, Plain] = {}
    at: float = 0.0
    took: float = 0.0
    sha256: str = ""


class Probe(msgspec.Struct, frozen=True):
    """A question with a closed set of answers. `cost` (expected seconds) ranks what to ask."""

    id: str
    asks: str
    where: Literal["outside", "inside"]
    readings: tuple[str, ...]
    run: Callable[[Target], Awaitable[Evidence]]
    deadline: float = 1.0
    cost: float = 0.05


class Cause(msgspec.Struct, frozen=True):
    """`expects[probe][reading]` is the likelihood of that reading when this cause is true.

    A probe that is not named says nothing about this cause. `says` (and the texts of fixes) are
    filled with facts of the evidence: `{pid}`; a part in `[[…]]` is left out when a fact in it is
    not known.
    """

    id: str
    says: str
    prior: float
    expects: Mapping[str, Mapping[str, float]]
    fixes: tuple[str, ...] = ()


class Undo(msgspec.Struct, frozen=True):
    """How to take a fix back."""

    says: str
    run: Callable[[], Awaitable[None]]


class Fix(msgspec.Struct, frozen=True):
    """`command` is what a person types; `apply` does the same, where it can be automated."""

    id: str
    says: str
    command: str
    risk: Literal["none", "restart", "data"]
    preview: Callable[[Target], Awaitable[str]] | None = None
    apply: Callable[[Target], Awaitable[Undo]] | None = None
    verify: Mapping[str, str] = {}


class Guide(msgspec.Struct, frozen=True):
    """One troubleshooting entry. `seed` names the document section it answers."""

    id: str
    title: str
    seed: str
    symptoms: Sequence[Symptom]
    probes: Sequence[Probe]
    causes: Sequence[Cause]
    fixes: Sequence[Fix]
    escalation: str = ""
