"""What one write transaction of the engine stands in, and what it leaves for after the commit.

Transitions (`machine.py`, `pump.py`) are functions of a Turn: they change rows, and they note
what the event loop has to do once those rows are durable. A turn whose commit fails is thrown
away with its notes, so nothing is counted or called that did not happen.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from backstay.app.flow import rows
from backstay.app.flow.model import Order
from backstay.app.flow.plans import Catalog, WorkflowPlan
from backstay.app.flow.rows import Execution
from backstay.app.plan.unit import Emitter, Starter, Unit
from backstay.app.store.session import Session
from backstay.core.clock import Dice, Ids


class Claim(msgspec.Struct, frozen=True):
    """A call that this process has leased: made after the commit, settled with `token`."""

    execution: str
    workflow: str
    phase: str
    position: int
    item: int
    name: str
    attempt: int
    token: str
    key: str
    target: str
    payload: str
    timeout: float


class Ended(msgspec.Struct, frozen=True):
    """An execution that came to an end in this turn. `took` is seconds since its creation."""

    workflow: str
    execution: str
    status: str
    error: str
    took: float


class Attempted(msgspec.Struct, frozen=True):
    """One attempt of a step that ended in this turn. `took` is seconds."""

    workflow: str
    execution: str
    step: str
    phase: str
    attempt: int
    outcome: str
    error: str
    took: float


class Notes(msgspec.Struct):
    """What is left to do after the commit. `timer` is the earliest new expiry (epoch seconds);
    `jobs` are the runs of jobs that ended, with their status."""

    claims: list[Claim] = []
    ended: list[Ended] = []
    attempted: list[Attempted] = []
    jobs: list[tuple[str, str]] = []
    timer: float = float("inf")
    outbox: bool = False
    pending: bool = False
    next_due: float | None = None


Orders = dict[tuple[str, int], Order]
"""In which order executions, each in one of its runs, are undone (`flow.order`)."""


class StartersOf(Protocol):
    def __call__(self, program: str) -> Starter:
        """How statements of this program begin workflows."""
        ...


class EmittersOf(Protocol):
    def __call__(self, program: str, origin: str = "") -> Emitter:
        """How statements of this program publish events."""
        ...


class Ground(msgspec.Struct, frozen=True):
    """What all turns of a process share. `owner` is this incarnation; `call_margin` is how many
    seconds a lease outlives the longest call it covers; `call_timeouts` are seconds by target;
    `dead_letters` are commands by integration."""

    catalog: Catalog
    ids: Ids
    dice: Dice
    env: Mapping[str, str | None]
    starters: StartersOf
    emitters: EmittersOf
    owner: str
    call_timeouts: Mapping[str, float] = {}
    dead_letters: Mapping[str, str] = {}
    call_margin: float = 15.0
    orders: Orders = {}


class Turn:
    """One transaction at one moment. `now` is the engine's steady epoch time in seconds."""

    __slots__ = ("_lists", "conn", "ground", "notes", "now")

    def __init__(self, ground: Ground, conn: Session, now: float) -> None:
        self.ground = ground
        self.conn = conn
        self.now = now
        self.notes = Notes()
        self._lists: dict[tuple[str, int, int], str] = {}

    def items_of(self, row: Execution, position: int) -> str:
        """The list that a for_each keeps, as JSON. It is long, and many items of one turn ask."""
        place = (row.id, row.run, position)
        if place not in self._lists:
            found = rows.step(self.conn, row.id, "forward", position)
            if found is None or found.input is None:
                raise LookupError(f"{row.workflow} has no list at its step {position}")
            self._lists[place] = found.input
        return self._lists[place]

    def plan(self, row: Execution) -> WorkflowPlan | None:
        """The plan of the program that the execution is pinned to."""
        return self.ground.catalog.workflow(row.program, row.workflow)

    def unit(self, program: str, origin: str = "") -> Unit:
        """A fresh unit: one for each body, since a rolled-back body must not leave cached rows.
        `origin` is the execution or job that events are emitted by."""
        ground = self.ground
        return Unit(
            self.conn,
            round(self.now * 1_000_000),
            ground.ids,
            ground.env,
            start=ground.starters(program),
            emit=ground.emitters(program, origin),
            dice=ground.dice,
        )
