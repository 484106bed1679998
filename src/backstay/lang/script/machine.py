"""What bounds a script: steps, memory, calls, and the place at which one of them ran out."""

from collections.abc import Callable, Mapping

import msgspec

from backstay.core.errors import ErrorEntry, Fault, Plain
from backstay.lang import syntax as s
from backstay.lang.library import values as v
from backstay.lang.library.values import Value
from backstay.lang.script import errors as e
from backstay.lang.script.application import Application

MAX_CALLS = 40
"""Functions of the script that call each other."""
_ITEMS_A_STEP, _LETTERS_A_STEP = 8, 256
"""What walking through a value costs: a comparison of long lists is no single step."""


class Limits(msgspec.Struct, frozen=True):
    """`steps` are statements and expressions; `memory` counts characters and items made."""

    steps: int = 1_000_000
    memory: int = 16_000_000


class Outside(msgspec.Struct, frozen=True):
    """`execute` runs a command and gives its exit code; None means that none may run. `functions`
    are those that need the world, by name, and `env` what `env()` reads. `advance` lets a virtual
    clock go on by so many seconds; `application` starts the application that a test needs."""

    execute: Callable[[str], int] | None = None
    functions: Mapping[str, Callable[[], Value]] = {}
    env: Mapping[str, str] = {}
    advance: Callable[[float], None] | None = None
    application: Callable[[], Application] | None = None


class Scope:
    """Variables by name; an inner scope hides the outer one."""

    __slots__ = ("parent", "values")

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.parent = parent
        self.values: dict[str, Value] = {}

    def holder(self, name: str) -> "Scope | None":
        """The nearest scope with this name."""
        at: Scope | None = self
        while at is not None and name not in at.values:
            at = at.parent
        return at


class Machine:
    """Counts while a script runs, and knows where it is."""

    def __init__(self, outside: Outside, limits: Limits) -> None:
        self.outside = outside
        self.limits = limits
        self.steps = self.made = self.calls = 0
        self.file, self.base = "", 0
        self.span: s.Range | None = None

    def fault(self, entry: ErrorEntry, **values: Plain) -> Fault:
        """The fault at the place that is being run."""
        return Fault(entry, place=self.place(), file=self.file, **values)

    def place(self) -> str:
        """`file:line:column`."""
        line = self.base + (self.span.line if self.span else 0)
        column = self.span.column if self.span else 1
        return f"{self.file}:{line}:{column}"

    def cannot(self, what: str) -> Fault:
        return self.fault(e.CANNOT_RUN, what=what)

    def step(self, node: s.Node) -> None:
        """One statement or expression more."""
        self.span = node.span
        self.spend(1)

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self.limits.steps:
            raise self.fault(e.STEPS_USED_UP, limit=self.limits.steps)

    def walk(self, *values: object) -> None:
        """Pays for going through values: long lists and texts take more than one step."""
        for value in values:
            if isinstance(value, str):
                self.spend(len(value) // _LETTERS_A_STEP)
            elif isinstance(value, list | dict):
                left = self.limits.steps - self.steps + 1
                self.spend(v.size(value, left * _ITEMS_A_STEP) // _ITEMS_A_STEP)

    def kept(self, value: Value) -> Value:
        """Counts what a value takes, with all that is inside: a list of twice the same list is
        twice as long to print and to compare."""
        if isinstance(value, str | list | dict):
            self.made += v.size(value, self.limits.memory - self.made)
            if self.made > self.limits.memory:
                raise self.fault(e.MEMORY_USED_UP, limit=self.limits.memory)
        return value
