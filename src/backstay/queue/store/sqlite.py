"""The embedded engine: one SQLite file, each `apply` one piece of a group commit."""

import math
from collections.abc import Sequence
from pathlib import Path

import apsw

from backstay.core.clock import Clock, Dice
from backstay.core.sqlite import Database, Durability, Schema, Stats
from backstay.queue.model import (
    Attempt,
    Delivery,
    Inconsistency,
    Page,
    Periodic,
    Policy,
    QueueStats,
    Rules,
    Subscription,
    Task,
    TaskQuery,
)
from backstay.queue.operations import Claim, Op, OpResult
from backstay.queue.store import Happened, Listener
from backstay.queue.store import sqlite_reads as reads
from backstay.queue.store.polls import Polls
from backstay.queue.store.sql import MIGRATIONS, SQL
from backstay.queue.store.sqlite_audit import audit
from backstay.queue.store.sqlite_bounds import Bounds
from backstay.queue.store.sqlite_commits import Call, Commits
from backstay.queue.store.sqlite_operations import apply
from backstay.queue.store.sqlite_pages import read_page
from backstay.queue.store.sqlite_rows import Queues
from backstay.queue.store.sqlite_step import Known, Step
from backstay.queue.store.turns import Turns

SCHEMA = Schema("backstay.queue", MIGRATIONS)


class SqliteEngine:
    """Implements `store.Engine`. Leases are judged by `clock.tick()`; what is left of them is
    recomputed at `open`, because ticks of another process mean nothing (decision 6)."""

    def __init__(
        self,
        path: Path,
        rules: Rules,
        clock: Clock,
        dice: Dice,
        durability: Durability = "power",
    ) -> None:
        self.path = path
        self._rules = rules
        self._clock = clock
        self._dice = dice
        self._db = Database(path, SCHEMA, durability, clock=clock)
        self._known = Known(Queues(), Turns(), Bounds())
        self._known_as_of = -1
        self._commits = Commits(self._db, self._run, self._tell)
        self._polls = Polls()
        self._listeners: list[Listener] = []

    async def open(self) -> None:
        """Raises a Fault (CORE010, CORE040 to CORE048) naming the file."""
        await self._db.open()
        self._commits = Commits(self._db, self._run, self._tell)
        await self._db.write(self._adopt)

    def listen(self, tell: Listener) -> None:
        self._listeners.append(tell)

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        """One durable commit, shared with whoever else writes at this moment."""
        for op in ops:
            if isinstance(op, Claim):
                self._polls.note(op, now)
        return await self._commits.give(ops, now)

    async def due(self, now: float) -> float | None:
        return await self._db.read(lambda db: self._due(db, now))

    async def task(self, tenant: str, id: str) -> Task | None:
        """`tenant` may be `ANY_TENANT`."""
        row = await self._db.read(lambda db: reads.read_task(db, self._known.queues, tenant, id))
        return row.task if row else None

    async def page(self, query: TaskQuery) -> Page[Task]:
        return await self._db.read(lambda db: read_page(db, self._known.queues, query))

    async def stats(self, command: str | None) -> list[QueueStats]:
        return await self._db.read(
            lambda db: reads.read_stats(db, self._known.queues, command, self._polls)
        )

    async def attempts(self, tenant: str, id: str) -> list[Attempt]:
        return await self._db.read(
            lambda db: reads.read_attempts(db, self._known.queues, tenant, id)
        )

    async def policies(self, tenant: str | None) -> list[Policy]:
        return await self._db.read(lambda db: reads.read_policies(db, tenant))

    async def periodics(self, tenant: str | None) -> list[Periodic]:
        return await self._db.read(lambda db: reads.read_periodics(db, tenant))

    async def subscriptions(self, tenant: str | None) -> list[Subscription]:
        return await self._db.read(
            lambda db: reads.read_all(db, "all_subscriptions", Subscription, tenant)
        )

    async def deliveries(self, tenant: str | None, *, given_up: bool, limit: int) -> list[Delivery]:
        queues = self._known.queues
        return await self._db.read(
            lambda db: reads.read_deliveries(db, queues, tenant, given_up=given_up, limit=limit)
        )

    async def delivery_due(self) -> float | None:
        due: float | None = await self._db.read(lambda db: db.execute(SQL["next_delivery"]).get)
        return due

    async def audit(self, repair: bool, command: str = "") -> list[Inconsistency]:
        now = self._clock.now()
        if repair:
            found = await self._db.write(lambda db: audit(db, now, command, repair=True))
            self._known_as_of = -1  # what was mended may have been counted
            return found
        return await self._db.read(lambda db: audit(db, now, command, repair=False))

    async def close(self) -> None:
        await self._commits.finished()
        await self._db.close()

    async def backup(self, path: Path) -> None:
        """A consistent copy while in use."""
        await self._db.backup(path)

    async def touch(self) -> None:
        """A real write: see `core.sqlite.Database.touch`."""
        await self._db.touch()

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    def doubts(self) -> tuple[str, ...]:
        """None: what this store promises it decides itself."""
        return ()

    def write_stats(self) -> Stats:
        """Commits and log size, for metrics."""
        return self._db.stats()

    def polled(self) -> dict[str, float]:
        """Wall time of the last claim per command since the start; "" is a claim of any."""
        return self._polls.by_command()

    def _tell(self, happened: Happened) -> None:
        for tell in self._listeners:
            tell(happened)

    # --- on the writing thread ---------------------------------------------------------------

    def _run(self, db: apsw.Connection, calls: Sequence[Call]) -> Happened:
        step = Step(db, self._known, self._rules, self._clock, self._dice)
        failures = self._db.stats().failures
        if failures != self._known_as_of:
            # What is known may come of a commit that never was.
            step.recall()
            self._known_as_of = failures
        for call in calls:
            step.now = call.now
            call.results = self.do(step, call.ops)
        return step.happened()

    def do(self, step: Step, ops: Sequence[Op]) -> list[OpResult]:
        """What one caller asks, inside a commit."""
        return [apply(step, op) for op in ops]

    def _adopt(self, db: apsw.Connection) -> None:
        db.execute(SQL["recompute_leases"], {"tick": self._clock.tick(), "now": self._clock.now()})
        self._run(db, ())

    def _due(self, db: apsw.Connection, now: float) -> float | None:
        due, lease, ended = (
            db.execute(SQL[name]).get for name in ("next_due", "next_lease", "next_retention")
        )
        gate = self._known.bounds.next_gate
        wishes = (
            math.inf if due is None else due,
            math.inf if lease is None else now + lease - self._clock.tick(),
            math.inf if ended is None else ended + self._rules.retention,
            now + gate - self._clock.tick(),
        )
        return None if min(wishes) == math.inf else min(wishes)
