"""Settings with provenance: flag beats environment beats file beats default, and each value says
where it came from. Secrets are wrapped before anything can print them.

A system declares a frozen Struct whose fields carry an `Option`; `load` fills it or raises one
Fault that names every problem.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from backstay.core.errors import Plain

S = TypeVar("S", bound=msgspec.Struct)
Source = Literal["flag", "env", "file", "default"]


class Secret:
    """A value that does not print. `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(****)" if self._value else "Secret(<unset>)"

    __str__ = __repr__


class Option(msgspec.Struct, frozen=True):
    """How a field is given: environment names (first wins), key in the YAML file, flag."""

    help: str
    env: tuple[str, ...] = ()
    key: str = ""
    flag: str = ""


class Given(msgspec.Struct, frozen=True):
    """What the outside said. `flags` holds only flags that were typed."""

    flags: Mapping[str, Plain] = {}
    env: Mapping[str, str] = {}
    file: Path | None = None


class Value(msgspec.Struct, frozen=True):
    """One setting as it is in force. `where` is `config.yaml:12`, `REDIS_ADDR`, `--port` or ``."""

    name: str
    value: object
    source: Source
    where: str


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """The settings and where each came from."""

    settings: S
    values: tuple[Value, ...]
