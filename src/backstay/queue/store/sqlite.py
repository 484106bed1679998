"""The embedded engine: one SQLite file, each `apply` one piece of a group commit."""

import math
from collections.abc import Sequence
from pathlib import Path

import apsw

from backstay.core.clock import Clock, Dice
from backstay.core.sqlite import Database, Durability, Schema, Stats
from backstay.queue.model import (
    ANY_TENANT,
    Claim,
    Inconsistency,
    Op,
    OpResult,
    Page,
    QueueStats,
    Rules,
    Task,
    TaskQuery,
)
from backstay.queue.store import Happened, Listener
from backstay.queue.store.sql import MIGRATIONS, SQL
from backstay.queue.store.sqlite_operations import Operations, read_row
from backstay.queue.store.sqlite_reads import audit, read_page, read_stats
from backstay.queue.store.turns import Turns

_POLLED = 10_000

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
        self._turns = Turns()
        self._turns_as_of = -1
        self._polled: dict[str, float] = {}
        self._listeners: list[Listener] = []

    async def open(self) -> None:
        """Raises a Fault (CORE010, CORE040 to CORE048) naming the file."""
        await self._db.open()
        await self._db.write(self._adopt_leases)

    def listen(self, tell: Listener) -> None:
        self._listeners.append(tell)

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        """One durable commit, shared with whoever else writes at this moment."""
        for op in ops:
            if isinstance(op, Claim):
                self._note_poll(op, now)
        results, happened = await self._db.write(lambda db: self._run(db, ops, now))
        for tell in self._listeners:
            tell(happened)
        return results

    async def due(self, now: float) -> float | None:
        return await self._db.read(lambda db: self._due(db, now))

    async def task(self, tenant: str, id: str) -> Task | None:
        """`tenant` may be `ANY_TENANT`."""

        def find(db: apsw.Connection) -> Task | None:
            values = db.execute(SQL["by_id"], (id,)).fetchone()
            return read_row(values).task if values else None

        found = await self._db.read(find)
        return found if found and tenant in (ANY_TENANT, found.tenant) else None

    async def page(self, query: TaskQuery) -> Page[Task]:
        return await self._db.read(lambda db: read_page(db, query))

    async def stats(self, command: str | None) -> list[QueueStats]:
        return await self._db.read(lambda db: read_stats(db, command, self._polled))

    async def audit(self, repair: bool, command: str = "") -> list[Inconsistency]:
        now = self._clock.now()
        if repair:
            return await self._db.write(lambda db: audit(db, now, repair=True))
        return await self._db.read(lambda db: audit(db, now, repair=False))

    async def close(self) -> None:
        await self._db.close()

    async def backup(self, target: Path) -> None:
        """A consistent copy while in use."""
        await self._db.backup(target)

    async def touch(self) -> None:
        """A real, durable, tiny write: the only honest answer to "is it writable?"."""
        await self._db.write(lambda db: db.pragma("user_version", SCHEMA.version))

    def write_stats(self) -> Stats:
        """Commits and log size, for metrics."""
        return self._db.stats()

    def polled(self) -> dict[str, float]:
        """Wall time of the last claim per command since the start; "" is a claim of any."""
        return dict(self._polled)

    def _note_poll(self, claim: Claim, now: float) -> None:
        for command in claim.commands or ("",):
            # Taken out first, so that the longest silent one stands in front and goes first.
            self._polled.pop(command, None)
            self._polled[command] = now
        while len(self._polled) > _POLLED:
            del self._polled[next(iter(self._polled))]

    # --- on the writing thread ---------------------------------------------------------------

    def _run(
        self, db: apsw.Connection, ops: Sequence[Op], now: float
    ) -> tuple[list[OpResult], Happened]:
        failures = self._db.stats().failures
        if failures != self._turns_as_of:
            # The turns may remember a commit that never was.
            self._turns = _turns_of(db)
            self._turns_as_of = failures
        operations = Operations(db, self._rules, self._turns, self._clock, self._dice, now)
        return [operations.apply(op) for op in ops], operations.happened()

    def _adopt_leases(self, db: apsw.Connection) -> None:
        db.execute(SQL["recompute_leases"], {"tick": self._clock.tick(), "now": self._clock.now()})

    def _due(self, db: apsw.Connection, now: float) -> float | None:
        due, lease, ended = (
            db.execute(SQL[name]).get for name in ("next_due", "next_lease", "next_retention")
        )
        wishes = (
            math.inf if due is None else due,
            math.inf if lease is None else now + lease - self._clock.tick(),
            math.inf if ended is None else ended + self._rules.retention,
        )
        return None if min(wishes) == math.inf else min(wishes)


def _turns_of(db: apsw.Connection) -> Turns:
    """What has ready tasks, by one seek per queue instead of a scan over tasks."""
    turns = Turns()
    command = db.execute(SQL["next_command"], ("",)).get
    while command is not None:
        tenant = db.execute(SQL["next_tenant"], (command, "")).get
        while tenant is not None:
            turns.add(command, tenant)
            tenant = db.execute(SQL["next_tenant"], (command, tenant)).get
        command = db.execute(SQL["next_command"], (command,)).get
    return turns
