"""The loop that runs workflows: turns the crank, makes the leased calls, settles what came back.

Everything it holds in memory (`_flying`) may be lost at any moment: a call whose process died is
found by its lease and counts as unknown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from backstay.app.flow import machine, rows
from backstay.app.flow.flights import Flights
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome, Phase
from backstay.app.flow.pump import pump
from backstay.app.flow.steady import Steady
from backstay.app.flow.turn import Claim, Ground, Notes, Turn
from backstay.app.store.session import Database, Session
from backstay.core.clock import Clock
from backstay.core.errors import Fault

_log = structlog.get_logger("app.flow")
_STORE_PAUSE = 0.5
TURNS = 64
"""Commits in one step: workflows that start each other have no end."""

LOOK_AGAIN = 2.0
"""Seconds between looks for work that another process, now gone, has left."""


class Caller(Protocol):
    """Makes one call of an integration. Never raises but for cancellation."""

    async def call(self, claim: Claim) -> Outcome: ...


class Runner:
    """A Loop. Several may share a database: each step is leased to one of them. `sole` says that
    nobody else adds work to it."""

    name = "workflow-runner"

    def __init__(
        self,
        database: Database,
        ground: Ground,
        caller: Caller,
        clock: Clock,
        steady: Steady,
        metrics: FlowMetrics,
        limit: int = 128,
        *,
        sole: bool = True,
    ) -> None:
        self._database = database
        self._ground = ground
        self._caller = caller
        self._clock = clock
        self._steady = steady
        self._metrics = metrics
        self.limit = limit
        """Most calls under way at once."""
        self._look_again = float("inf") if sole else LOOK_AGAIN
        self._flying = Flights(clock)
        self._stopped = False
        self.wake = asyncio.Event()
        self.on_outbox: Callable[[], None] = lambda: None
        self.on_timer: Callable[[float], None] = lambda _due: None

    @property
    def flying(self) -> frozenset[str]:
        """Lease tokens of the calls under way in this process."""
        return frozenset(self._flying.tasks)

    async def step(self) -> float | None:
        """Run what is due now. Returns the tick of the next pending step."""
        for _ in range(TURNS):
            if self._stopped:
                return None
            notes = await self.write(_nothing)
            again = self._clock.tick() + self._look_again
            if notes.next_due is None:
                # Woken by a start, an answer or the end of a call.
                return again if again < float("inf") else None
            if notes.next_due > self._steady.now():
                return min(again, self._steady.tick_of(notes.next_due))
        return self._clock.tick()

    async def write(self, change: Callable[[Turn], None], *, crank: bool = True) -> Notes:
        """Apply `change` and turn the crank in one commit, then do what the notes say."""
        room = max(0, self.limit - len(self._flying)) if crank and not self._stopped else 0

        def work(conn: Session) -> Notes:
            turn = Turn(self._ground, conn, self._steady.now())
            change(turn)
            if crank and not self._stopped:
                pump(turn, room)
            return turn.notes

        # A cancelled caller does not take its work back: the claims in it must not be lost.
        return await asyncio.shield(asyncio.ensure_future(self._written(work)))

    async def _written(self, work: Callable[[Session], Notes]) -> Notes:
        notes = await self._database.write(work, alone=True)
        self._metrics.note(notes)
        for claim in notes.claims:
            self._flying.start(claim.token, self._fly(claim), claim.key)
        if notes.outbox:
            self.on_outbox()
        if notes.timer < float("inf"):
            self.on_timer(notes.timer)
        if notes.pending:
            self.wake.set()
        return notes

    async def landed(self) -> None:
        """Wait for the end of every call under way."""
        await self._flying.landed()

    async def drain(self, seconds: float) -> None:
        """Claim nothing more; let calls under way end for `seconds`. What is cut off is unknown,
        and the next incarnation tries it again with the same key."""
        self._stopped = True
        await self._flying.drain(seconds)

    async def _fly(self, claim: Claim) -> None:
        try:
            outcome = await self._caller.call(claim)
            await self._persist(lambda: self.write(lambda turn: settle_claim(turn, claim, outcome)))
        finally:
            self._flying.end(claim.token)
            self.wake.set()

    async def _persist(self, write: Callable[[], Awaitable[Notes]]) -> None:
        """The outcome is known only here: keep on until the store takes it."""
        while True:
            try:
                await write()
                return
            except Fault as trouble:
                _log.error("an outcome could not be stored yet", error=trouble.message)
                await self._clock.sleep(self._clock.tick() + _STORE_PAUSE)


def _nothing(_turn: Turn) -> None:
    """Only turn the crank."""


def settle_claim(turn: Turn, claim: Claim, outcome: Outcome) -> None:
    """Store the outcome of a leased call, if the lease still holds; a late one changes nothing."""
    phase: Phase = "compensate" if claim.phase == "compensate" else "forward"
    step = rows.step(turn.conn, claim.execution, phase, claim.position, claim.item)
    if step is None or step.state != "running" or step.lease_token != claim.token:
        _log.warning("an outcome came after its lease", key=claim.key, outcome=outcome.kind)
        return
    settle_row(turn, step, outcome)


def settle_row(turn: Turn, step: rows.Step, outcome: Outcome) -> None:
    """Settle a step whose execution and plan are still to be looked up."""
    row = rows.execution(turn.conn, step.execution)
    plan = turn.plan(row) if row is not None else None
    if row is not None and plan is not None:
        machine.settle(turn, row, plan, step, outcome)
