"""One history: clients, time, crashes, restarts, all from one seed; judged as it happens.

The engine is the SQLite one on a simulated disk. After each commit the memory engine must agree
(`strict`); in the end the history that the clients saw goes to the checker.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

from tests.queue.history.checker import check
from tests.queue.history.events import Seen, Violation
from tests.queue.simulation.clients import Clients, Profile, profile
from tests.queue.simulation.disk import Disk
from tests.queue.simulation.model import RULES, Divergence, Model
from tests.queue.simulation.observing import Moment, final, observe
from tests.queue.simulation.parts import Asked, Receivers, Tracked
from tests.queue.simulation.stepped import SteppedDatabase
from tests.queue.together import TogetherEngine

from backstay.core.metrics import Registry
from backstay.core.service import Loop
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.loops.callbacks import Callbacks, Tries
from backstay.queue.loops.cron import Cron
from backstay.queue.loops.mover import Mover
from backstay.queue.metrics import METRICS, QueueMetrics
from backstay.queue.model import ANY_TENANT, ENDED, Policy, Task, TaskQuery
from backstay.queue.operations import (
    Claim,
    Finish,
    Op,
    OpResult,
    Reschedule,
    SetPolicy,
    TakeDeliveries,
)
from backstay.queue.outgoing import Outgoing
from backstay.queue.store import sqlite
from backstay.queue.store.memory_world import World
from backstay.queue.store.sqlite import SqliteEngine

STEPS = 60
INF = float("inf")
_MOMENT = 2.0**-8
"""Seconds that each step takes, so that nothing is at the same time. A power of two adds exactly."""


class Simulation:
    """`run` gives the violations, or raises `Divergence`."""

    def __init__(
        self,
        seed: int,
        path: Path,
        *,
        steps: int = STEPS,
        strict: bool = True,
        spoil: Callable[[SqliteEngine], None] | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._dice = random.Random(seed)
        self._path = path
        # Every other queue is asked as the HTTP face asks it.
        self._kind: type[SqliteEngine] = TogetherEngine if seed % 2 else SqliteEngine
        self._steps = steps
        self._strict = strict
        self._spoil = spoil
        self._trace = trace
        self._clock = VirtualClock()
        self._elapsed = 0.0
        self._profile: Profile = profile(self._dice)
        self._clients = Clients(self._dice, self._clock, self._profile)
        self._disk = Disk(random.Random(seed))
        self._names: dict[str, str] = {}
        self._ids = CountingIds("c")
        self._flushes = self._requests = 0
        self._in_doubt: list[Asked] = []
        self._doubted_log = 0
        self.history: list[Seen] = []
        self.crashes = 0

    async def run(self) -> list[Violation]:
        try:
            await self._open()
            self._model = Model(self._clock, World(), self._names)
            for number in range(self._steps):
                self._say("--- step", number)
                await self._step()
            await self._drain()
            await self._close()
        finally:
            self._database.die()
            self._disk.close()
        jumps = self._profile.jumps
        retention = 0.0 if jumps else RULES.retention
        return check(self.history, retention=retention, drained=True, steady=not jumps)

    # --- what may happen ---------------------------------------------------------------------

    async def _step(self) -> None:
        self._pass(_MOMENT)
        chance = self._dice.random()
        if chance < 0.20:
            self._pass(self._dice.choice((0.25, 1.0, 1.0, 3.0, 10.0, 40.0)))
            await self._run([self._let_time_work()])
        elif chance < 0.22:
            self._pass(self._dice.choice((100.0, 700.0)))
        elif chance < 0.26 and self._profile.jumps:
            self._clock.jump(self._dice.choice((-86400.0, -30.0, -5.0, 5.0, 30.0, 86400.0)))
        elif chance < 0.28:
            await self._restart(power_cut=self._dice.random() < 0.5)
        elif chance < 0.31:
            await self._compare()
        else:
            await self._commit()

    async def _commit(self) -> None:
        """Some clients ask at once, sometimes while the mover runs; sometimes the disk ends it."""
        if self._dice.random() < self._profile.crashes:
            self._disk.cut_after(self._dice.randint(1, 30))
        elif self._dice.random() < self._profile.crashes / 2:
            self._disk.fail_after(self._dice.randint(1, 30))
        many = self._dice.choice((1, 1, 1, 2, 4))
        parts: list[Awaitable[Any]] = [
            self._engine.apply(self._clients.asks(), self._clock.now()) for _ in range(many)
        ]
        if self._dice.random() < 0.1:
            parts.append(self._let_time_work())
        await self._run(parts)
        self._disk.calm()

    async def _run(self, parts: Sequence[Awaitable[Any]]) -> None:
        """Let them go on until all are done, committing whenever all of them wait for it."""
        tasks = [asyncio.ensure_future(part) for part in parts]
        while self._disk.powered and not (all(task.done() for task in tasks) and self._quiet()):
            await _turns()
            self._flushes += 1
            for each in self._engine.asked:
                each.group = each.group or self._flushes
            self._database.flush()
            await _turns()
            await self._settle_all()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await self._settle_all()
        self._pass(_MOMENT)
        if not self._disk.powered:
            await self._restart(power_cut=self._dice.random() < 0.5)
            return
        for end in ends:
            if isinstance(end, BaseException) and not self._disk.failed:
                raise end

    def _quiet(self) -> bool:
        """No callback is on its way and nothing waits for a commit."""
        return not self._callbacks.lanes._running and not self._database.waiting

    async def _let_time_work(self) -> None:
        """The loops, as if on several servers at once, until they go to sleep; they must."""
        loops: list[Loop] = [self._mover]
        if "periodic" in self._profile.weights:
            loops += self._crons
        if self._profile.calls:
            loops.append(self._callbacks)
        await asyncio.gather(*(self._until_rest(loop) for loop in loops))

    async def _until_rest(self, loop: Loop) -> None:
        for _ in range(10):
            wish = await loop.step()
            if wish is None or wish > self._clock.tick():
                return
        raise Divergence(f"the {loop.name} does not come to rest")

    async def _settle_all(self) -> None:
        asked, self._engine.asked = self._engine.asked, []
        for each in asked:
            if each.results is None and each.failure is None and self._disk.powered:
                self._engine.asked.append(each)  # on its way still
                continue
            await self._settle(each)

    async def _settle(self, asked: Asked) -> None:
        ended = self._elapsed + _MOMENT if asked.results is not None else INF
        self._requests += 1
        when = Moment(asked.began, ended, asked.now, self._requests)
        results = asked.results or [None] * len(asked.ops)
        for order, (op, result) in enumerate(zip(asked.ops, results, strict=True)):
            self._say(op, "->", result)
            self.history += observe(op, result, when, order)
            if result is not None:
                self._clients.told(op, result)
                await self._note_call(op, result, when)
        if asked.results is None:
            if asked.group:  # else it was never part of a commit
                self._in_doubt.append(asked)
                self._doubted_log = self._log_version()
                self._model.doubt(asked.ops)
            return
        if self._log_version() != self._doubted_log:
            self._in_doubt = []  # written over: it can no longer come back
        if self._strict:
            await self._model.follow(asked.ops, asked.now, asked.results)

    def _log_version(self) -> int:
        log = self._disk.files.get(f"{self._path}-wal")
        return log.version if log else -1

    async def _note_call(self, op: Op, result: OpResult, when: Moment) -> None:
        """Callbacks that were taken by hand count as made."""
        if (
            self._profile.calls
            or not isinstance(op, TakeDeliveries)
            or not isinstance(result, list)
        ):
            return
        for call in result:
            task = await self._engine.task(ANY_TENANT, call.task_id)
            if task is not None:
                fields = {"id": task.id, "owner": task.tenant, "state": task.state}
                self.history.append(when.seen("call", **fields))

    def _called(self, id: str, state: str) -> None:
        when = Moment(self._elapsed, self._elapsed + _MOMENT, self._clock.now())
        self.history.append(when.seen("call", id=id, state=state))

    # --- restarts ----------------------------------------------------------------------------

    async def _open(self) -> None:
        self._database = SteppedDatabase(self._disk, self._path, sqlite.SCHEMA, self._clock)
        # The one thing that is not as in production.
        with mock.patch.object(sqlite, "Database", return_value=self._database):
            engine = self._kind(self._path, RULES, self._clock, FixedDice())
        self._engine = Tracked(engine, lambda: (self._elapsed, self._clock.tick()))
        opening = asyncio.ensure_future(engine.open())
        while not opening.done():
            await asyncio.sleep(0)
            self._database.flush()
        opening.result()
        if self._spoil is not None:
            self._spoil(engine)
        self._mover = Mover(self._engine, self._clock)
        self._callbacks = Callbacks(
            self._engine,
            cast("Outgoing", Receivers(self._dice, self._called)),
            self._clock,
            QueueMetrics(Registry(METRICS, self._clock), self._clock),
            Tries(most=3),
        )
        self._crons = [
            Cron(self._engine, self._clock, self._ids, lambda _command: None) for _ in range(2)
        ]

    async def _close(self) -> None:
        await self._compare()
        await self._engine.close()

    async def _restart(self, *, power_cut: bool) -> None:
        """kill -9, or the power goes; another process with another monotonic clock begins."""
        self._say("=== restart", "power cut" if power_cut else "kill")
        self.crashes += 1
        began = self._elapsed
        self._database.die()
        await self._callbacks.lanes.drain(0.0)
        self._disk.reboot(power_cut=power_cut)
        self._pass(self._dice.choice((0.0, 0.5, 8.0)))
        if self._profile.jumps and self._dice.random() < 0.3:
            self._clock.jump(self._dice.choice((-60.0, 60.0)))
        self._clock._tick = self._dice.uniform(10.0, 10_000.0)
        in_doubt, self._in_doubt = self._in_doubt, []
        await self._open()
        self._pass(_MOMENT)
        when = Moment(began, self._elapsed, self._clock.now())
        self.history.append(
            when.seen("restart", state="jumped" if self._profile.jumps else "killed")
        )
        await self._resolve(in_doubt, self._model)

    async def _resolve(self, in_doubt: Sequence[Asked], before: Model) -> None:
        """A commit without an answer is there as a whole, or not at all; of several that failed,
        one at most, for each was written over the one before."""
        if not self._strict:
            return
        groups = {
            asked.group: [each for each in in_doubt if each.group == asked.group]
            for asked in in_doubt
        }
        objections: list[str] = []
        for group in ([], *groups.values()):
            try:
                world = await before.replayed(group, self._engine.engine)
                self._model = Model(self._clock, world, self._names)
                await self._model.open()
                await self._model.compare(self._engine.engine)
            except Divergence as found:
                objections.append(str(found))
            else:
                self._say("after the restart there is", [asked.ops for asked in group])
                return
        raise Divergence("after a restart nothing fits:\n" + "\n".join(objections))

    # --- the end -----------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Bounds are lifted, time passes, one honest worker does all that is left."""
        for tenant in (*self._profile.tenants, ANY_TENANT):
            for command in self._profile.commands:
                await self._ask(SetPolicy(Policy(tenant, command)))
        for round_ in range(40):
            page = await self._engine.page(TaskQuery(limit=1000))
            left = [task for task in page.items if task.state not in ENDED]
            if not left:
                break
            waiting = [task for task in left if task.state == "delayed"]
            await self._ask(*(Reschedule(task.tenant, task.id) for task in waiting))
            tokens = tuple(f"drain-{round_}-{n}" for n in range(50))
            [claimed] = await self._ask(Claim("drain", tokens, 60.0, count=50))
            assert isinstance(claimed, list)
            ends = [
                Finish(task.tenant, task.id, "drain", task.lease_token, ok=True, result='"done"')
                for task in claimed
                if isinstance(task, Task)
            ]
            await self._ask(*ends)
            self._pass(31.0)
            await self._run([self._let_time_work()])
        when = Moment(self._elapsed, self._elapsed, self._clock.now())
        page = await self._engine.page(TaskQuery(limit=10_000))
        self.history += [final(task, when) for task in page.items]
        for given_up in (False, True):
            owed = await self._engine.deliveries(None, given_up=given_up, limit=10_000)
            self.history += [when.seen("owed", id=call.task_id, owner=call.tenant) for call in owed]

    async def _ask(self, *ops: Op) -> list[OpResult]:
        self._pass(_MOMENT)
        asking = asyncio.ensure_future(self._engine.apply(ops, self._clock.now()))
        await self._run([asking])
        return asking.result()

    async def _compare(self) -> None:
        if self._strict:
            await self._model.compare(self._engine.engine)

    def _pass(self, seconds: float) -> None:
        self._elapsed += seconds
        self._clock.advance_now(seconds)

    def _say(self, *words: object) -> None:
        if self._trace is not None:
            self._trace(f"{self._elapsed:12.4f} " + " ".join(map(str, words)))


async def _turns() -> None:
    """Enough of the event loop for everybody to come to their next wait."""
    for _ in range(6):
        await asyncio.sleep(0)
