"""The nouns of patchgen. All are frozen: each stage of the pipeline makes new values of old ones.

bytes → `Report` (with an `Intent` when it is valid) → `Package` (name and files as bytes) →
`Placed` (where it is on disk, and whether anything had to be written).
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen.names import (
    NAMESPACE_LIMIT,
    TARGET_LIMIT,
    control_in,
    is_correlation_id,
    is_kubernetes_name,
)

SCHEMA_VERSION = "1.0.0"
"""Of intent.schema.json; a change that refuses what was accepted raises the first number."""
GENERATOR = "patchgen/1"
"""The form of the bytes that are written. It changes only when they change, not with releases: a
release must not turn every package on disk into a conflict."""

Kind = Literal["Deployment", "StatefulSet"]
KINDS: tuple[Kind, ...] = ("Deployment", "StatefulSet")
REPLICAS_MAX = 100
SIZE_LIMIT = 1_048_576
"""Bytes of one intent."""
DEPTH_LIMIT = 32
REASON_LIMIT = 4096
SOURCE_LIMIT = 253
CORRELATION_LIMIT = 128


class Constraints(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True
):
    """Bounds that the sender wants to hold; None and () say nothing."""

    min_replicas: int | None = None
    max_replicas: int | None = None
    allowed_namespaces: tuple[str, ...] = ()


_FREE = Constraints()


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that holds all rules: made by `validate.validate`, or by hand, which applies the same
    rules and raises `InvalidIntent`. Lengths count characters."""

    intent_type: Literal["scaling"]
    target: str
    namespace: str
    replicas: int
    target_kind: Kind = "Deployment"
    reason: str = ""
    source: str = ""
    correlation_id: str = ""
    constraints: Constraints = _FREE

    def __post_init__(self) -> None:
        if not self.sound():
            from backstay.patchgen.rules import refuse_made

            refuse_made(self)

    def sound(self) -> bool:
        """Whether every rule holds. Says nothing of which one does not: that costs more."""
        told: object = self.intent_type  # by hand it can be anything
        return (
            told == "scaling"
            and self.target_kind in KINDS
            and type(self.replicas) is int
            and 0 <= self.replicas <= REPLICAS_MAX
            and type(self.target) is str
            and type(self.namespace) is str
            and len(self.target) <= TARGET_LIMIT
            and len(self.namespace) <= NAMESPACE_LIMIT
            and is_kubernetes_name(self.target)
            and is_kubernetes_name(self.namespace)
            and self._sound_texts()
            and (self.constraints is _FREE or self._within())
        )

    def canonical(self) -> bytes:
        """The same bytes for the same wish, however it was written: what the hash is made of."""
        told = {
            "intent_type": self.intent_type,
            "namespace": self.namespace,
            "replicas": self.replicas,
            "target": self.target,
            "target_kind": self.target_kind,
        }
        for name in ("reason", "source", "correlation_id"):
            if value := getattr(self, name):
                told[name] = value
        if self.constraints != _FREE:
            told["constraints"] = self.constraints
        return _ENCODER.encode(told)

    @property
    def hash(self) -> str:
        """SHA-256 of `canonical()`, in hex."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def _sound_texts(self) -> bool:
        reason, source, correlation = self.reason, self.source, self.correlation_id
        if not (type(reason) is str and type(source) is str and type(correlation) is str):
            return False
        return (
            (not reason or (len(reason) <= REASON_LIMIT and not control_in(reason)))
            and (not source or (len(source) <= SOURCE_LIMIT and not control_in(source)))
            and (
                not correlation
                or (len(correlation) <= CORRELATION_LIMIT and is_correlation_id(correlation))
            )
        )

    def _within(self) -> bool:
        bounds = self.constraints
        low, high, allowed = bounds.min_replicas, bounds.max_replicas, bounds.allowed_namespaces
        return (
            (low is None or (type(low) is int and 0 <= low <= self.replicas))
            and (high is None or (type(high) is int and high >= 1 and self.replicas <= high))
            and (not allowed or self.namespace in allowed)
            and all(type(name) is str and is_kubernetes_name(name) for name in allowed)
        )


_ENCODER = msgspec.json.Encoder(order="sorted")


class Diagnosis(msgspec.Struct, frozen=True):
    """One thing that is wrong with an intent, with its place.

    `offset` counts bytes from 0, `line` and `column` (in characters) from 1; they are those of the
    value, or of the object in which something is missing, and -1/0/0 for a value without a text.
    `window` shows up to 20 bytes to each side, and `caret` is the column under which the very
    spot is. `says` is the sentence for people, `remedy` what to do.
    """

    code: str
    message: str
    says: str
    remedy: str
    pointer: str = ""
    offset: int = -1
    line: int = 0
    column: int = 0
    window: str = ""
    caret: int = 0
    value: str = ""
    rule: str = ""


class Report(msgspec.Struct, frozen=True):
    """What validation found. `intent` is None exactly when there are errors. `shape` is the form it
    was written in, `took` is in seconds."""

    intent: Intent | None
    errors: tuple[Diagnosis, ...] = ()
    warnings: tuple[Diagnosis, ...] = ()
    shape: str = "flat"
    size: int = 0
    sha256: str = ""
    strict: bool = False

    @property
    def message(self) -> str:
        """All errors in one line, as older clients expect it: `schema validation failed: …` or
        `invalid JSON: …`; "" when there are none."""
        if not self.errors:
            return ""
        told = "; ".join(one.message for one in self.errors)
        return told if self.errors[0].rule == "json" else f"schema validation failed: {told}"


class Package(msgspec.Struct, frozen=True):
    """A package before it touches a disk: relative POSIX paths to bytes, in order of writing."""

    name: str
    files: Mapping[str, bytes]
    intent_hash: str


class Provenance(msgspec.Struct, frozen=True):
    """Where a package says it comes from; read back by `packages.read_package`."""

    intent_hash: str
    schema: str
    generator: str
    reason: str = ""
    source: str = ""
    correlation_id: str = ""


class Placed(msgspec.Struct, frozen=True):
    """A package on disk. `unchanged`: exactly it was there before; `planned`: a dry run."""

    name: str
    path: Path
    state: Literal["written", "unchanged", "planned"]
    intent_hash: str


class Writer(Protocol):
    """The only part of patchgen that changes a disk."""

    def place(self, packages: Sequence[Package]) -> Sequence[Placed | Fault]:
        """Put packages into the output folder, each whole or not at all; answers in their order."""
        ...
