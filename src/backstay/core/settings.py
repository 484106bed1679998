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
from backstay.core.redact import MASK, redactor

S = TypeVar("S", bound=msgspec.Struct)
Flag = Plain | Path | tuple[str, ...]
"""What a command line parser may give for one flag."""

Source = Literal["flag", "env", "file", "default"]


class Secret:
    """A value that does not print. `reveal()` is the only way to it, and every text that leaves
    through the redactor is searched for it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        redactor().learn(value)

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
    """How a field is given: environment names (first wins), key in the YAML file, flag.

    `key` is the field's name unless given; dots go into nested mappings (`rateLimit.burst`).
    `duration` marks a float of seconds that is written as Go-style text.
    """

    help: str
    env: tuple[str, ...] = ()
    key: str = ""
    flag: str = ""
    duration: bool = False


class Given(msgspec.Struct, frozen=True):
    """What the outside said. `flags` holds only flags that were typed, by their text (`--port`)
    or by the field's name; a value of None was not typed."""

    flags: Mapping[str, Flag] = {}
    env: Mapping[str, str] = {}
    file: Path | None = None


class Value(msgspec.Struct, frozen=True):
    """One setting as it is in force. `where` is `config.yaml:12`, `REDIS_ADDR`, `--port` or ``."""

    name: str
    value: object
    source: Source
    where: str

    def shown(self) -> Plain:
        """For people and JSON: paths and lists as text, secrets masked, an empty one None."""
        if isinstance(self.value, Secret):
            return MASK if self.value else None
        if isinstance(self.value, tuple):
            return [str(part) for part in self.value]
        if self.value is None or isinstance(self.value, (str, int, float, bool)):
            return redactor().redact_plain(self.value)
        return redactor().redact(str(self.value))


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """The settings and where each came from."""

    settings: S
    values: tuple[Value, ...]


def load(spec: type[S], given: Given) -> Loaded[S]:
    """Fill `spec` from `given`; a field without a default must be given.

    Fields are declared `name: Annotated[type, Option(...)] = default`; further `msgspec.Meta`
    bounds hold, and a method `problems() -> Iterable[str]` may judge fields against each other.
    Raises one Fault CORE001 that names every problem with its place.
    """
    # Reading costs imports (YAML, type hints) that a module which only declares must not pay.
    from backstay.core.settings_load import fill

    return fill(spec, given)
