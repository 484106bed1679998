"""What compiled expressions and statements run in: one transaction, one principal, one moment."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Protocol

import msgspec

from backstay.app.errors import CANNOT_COMPUTE, TOO_LONG
from backstay.app.store.session import Session
from backstay.app.values import SqlValue
from backstay.core.clock import Dice, Ids, SystemDice
from backstay.core.context import SYSTEM, Principal
from backstay.core.errors import Fault

MAX_DEPTH = 40
"""Functions of the program inside each other, as in scripts."""
MAX_CALLS = 100_000
"""Calls of functions of the program in one transaction: nobody waits for more."""

MAX_LOOPED = 100_000
"""Statements in the loops of one transaction: about a second in which nobody else writes."""

Scope = Mapping[str, object]
"""Variables by name: `body`, `path`, `query`, inputs, `let`s, loop variables, `steps`."""


class Changed(msgspec.Struct, frozen=True):
    """That rows of an entity were created, updated, deleted or restored; `key` of a created one."""

    do: str
    entity: str
    rows: int
    key: str | int | None = None


Row = dict[str, object]
"""A row of an entity: field → Python value (see values.py)."""


_DICE = SystemDice()


class Starter(Protocol):
    """How workflows hand in their beginning. Called inside the open transaction."""

    def __call__(self, unit: "Unit", workflow: str, input: Mapping[str, object]) -> str:
        """Insert the execution; `input` holds Python values. Returns the execution's id."""
        ...


class Emitter(Protocol):
    """How events are published. Called inside the open transaction."""

    def __call__(self, unit: "Unit", event: str, values: Mapping[str, object]) -> str:
        """Keep the event and begin what it starts; `values` holds Python values. Its id."""
        ...


class Unit:
    """One transaction. Make a new one for each; nothing of it may outlive the transaction.

    `now` is UTC microseconds and stands still, so that one transaction has one time. `env` holds
    the values of `env()` by name. `principal` SYSTEM (workflows, jobs) passes every access rule.
    """

    __slots__ = (
        *("_calls", "_depth", "_emit", "_looped", "_rows", "_start"),
        *("changes", "conn", "dice", "env", "guarded", "ids", "now", "principal"),
    )

    def __init__(
        self,
        conn: Session,
        now: int,
        ids: Ids,
        env: Mapping[str, str | None],
        principal: Principal = SYSTEM,
        start: Starter | None = None,
        emit: Emitter | None = None,
        dice: Dice = _DICE,
    ) -> None:
        self.conn = conn
        self.now = now
        self.ids = ids
        self.env = env
        self.principal = principal
        self.guarded = principal.kind != "system"
        self.dice = dice
        self._start = start
        self._emit = emit
        self.changes: list[Changed] = []
        self._depth = self._calls = self._looped = 0
        self._rows: MutableMapping[tuple[str, str, str, object], object] = {}

    def start(self, workflow: str, input: Mapping[str, object]) -> str:
        """Begin an execution of `workflow` in this transaction; its id."""
        if self._start is None:
            raise RuntimeError(f"nothing here can start the workflow {workflow}")
        return self._start(self, workflow, input)

    def emit(self, event: str, values: Mapping[str, object]) -> str:
        """Publish an event in this transaction; its id."""
        if self._emit is None:
            raise RuntimeError(f"nothing here can publish the event {event}")
        return self._emit(self, event, values)

    def cached(self, key: tuple[str, str, str, object], load: Callable[[], object]) -> object:
        """Rows that were read once in this transaction; `key` begins with the entity's name."""
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = load()
        return found

    def wrote(self, do: str, entity: str, rows: int, key: object = None) -> None:
        """Rows of `entity` were written: it is noted, and they are read anew."""
        if rows:
            named = key if key is None or isinstance(key, int) else str(key)
            self.changes.append(Changed(do, entity, rows, named))
        self.forget(entity)

    def forget(self, entity: str) -> None:
        """Rows of `entity` were written: read them anew."""
        for key in [key for key in self._rows if key[0] == entity]:
            del self._rows[key]

    def enter(self, function: str) -> None:
        """A function of the program is called; `leave` follows. Raises APP023 where calls are too
        deep, or too many for one transaction."""
        self._depth += 1
        self._calls += 1
        if self._depth > MAX_DEPTH:
            raise _too_much(function, f"calls are nested deeper than {MAX_DEPTH}")
        if self._calls > MAX_CALLS:
            raise _too_much(function, f"more than {MAX_CALLS} calls in one transaction")

    def loop(self, statements: int) -> None:
        """A loop is about to run so many statements for its next item. Raises APP077 when they are
        too many for one transaction."""
        self._looped += statements
        if self._looped > MAX_LOOPED:
            raise Fault(TOO_LONG, most=MAX_LOOPED)

    def too_deep(self, function: str) -> Fault:
        """The fault for calls whose expressions are too high for the machine."""
        return _too_much(function, "calls and what they compute are nested too deeply")

    def leave(self) -> None:
        """The function is done, whatever came of it."""
        self._depth -= 1

    def has(self, name: str) -> bool:
        """Whether the principal has the role (or the scope) `name`; `local` has every one."""
        return name in self.principal.roles or self.principal.may(name)


Closure = Callable[[Unit, Scope], object]
Param = Callable[[Unit, Scope], SqlValue]


def _too_much(function: str, reason: str) -> Fault:
    return Fault(CANNOT_COMPUTE, what=f"{function}()", reason=reason)
