"""Leases for workers: at once, or as soon as there is work. Waiting claims are woken, never polled;
a lease that was made for a client that has left is given back (decision 6).
"""

import asyncio
from collections.abc import Sequence
from typing import cast

import msgspec
import structlog

from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault
from backstay.core.logs import debugs
from backstay.queue.errors import DRAINING
from backstay.queue.metrics import QueueMetrics
from backstay.queue.model import ANY_TENANT, Task
from backstay.queue.operations import Abandon, Claim, FinishAll, Finished, Leased, Op, OpResult
from backstay.queue.store import Engine
from backstay.queue.waiting import Waiters, heard

_log = structlog.get_logger("queue")
_MOMENT = 0.01


class Want(msgspec.Struct, frozen=True):
    """A claim as a worker makes it. `commands` empty means any. `shown`: tasks may be given as the
    JSON that the worker is shown."""

    worker: str
    tenant: str
    commands: tuple[str, ...]
    lease_seconds: float
    count: int = 1
    shown: bool = False


Given = Sequence[Task | Leased]
"""What a claim is given: tasks, or where they were asked for as shown also many in one."""


class Claims:
    """The registry of those who wait, over one engine."""

    def __init__(self, engine: Engine, clock: Clock, ids: Ids, metrics: QueueMetrics) -> None:
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._waiters = Waiters()
        self._draining = False
        self._returning: set[asyncio.Future[list[OpResult]]] = set()

    async def now(self, want: Want) -> Given:
        """Up to `count` tasks, leased; an empty list when there are none now. Raises QUEUE019."""
        self._refuse_while_draining()
        now = self._clock.now()
        [tasks] = await self._engine.apply([self._claim(want)], now)
        return self._claimed(want, tasks, now)

    async def after(self, results: FinishAll, want: Want) -> tuple[Finished, Given]:
        """First these results, then up to `count` tasks that are there now, in one commit. Nothing
        is given while draining."""
        now = self._clock.now()
        ops: list[Op] = [results] if self._draining else [results, self._claim(want)]
        finished, *taken = await self._engine.apply(ops, now)
        given = self._claimed(want, taken[0], now) if taken else []
        return cast("Finished", finished), given

    async def wait(self, want: Want, seconds: float) -> Given:
        """Up to `count` tasks, leased; waits up to `seconds` for the first. When the caller is
        cancelled meanwhile, a lease that was just made is given back. Raises QUEUE019."""
        until = self._clock.tick() + seconds
        waiter = self._waiters.stand(want.commands, _tenants(want))
        rung: tuple[str, str] | None = None
        try:
            while True:
                rung = waiter.hush()
                tasks = await self._lease_or_return(want)
                if not tasks or any((task.tenant, task.command) == rung for task in tasks):
                    rung = None
                if tasks or not await heard(waiter.bell, self._clock, until):
                    return tasks
                if self._draining:
                    return []
        finally:
            self._waiters.leave(waiter)
            if rung is not None:
                # It was woken for one task and took another, or went away: the next may want it.
                self._waiters.wake(*rung, 1)

    async def handed(self, tasks: Given) -> Given:
        """The same tasks after a moment; given back when the caller is cancelled in it."""
        try:
            await self._clock.sleep(self._clock.tick() + _MOMENT)
        except asyncio.CancelledError:
            self._give_back(tasks)
            raise
        return tasks

    def wake(self, tenant: str, command: str, count: int) -> None:
        """So many tasks of this queue became ready."""
        self._waiters.wake(tenant, command, count)

    def waiting(self, command: str, tenant: str = ANY_TENANT) -> int:
        """Claims that wait for this command now, and would be given a task of this tenant."""
        return self._waiters.count(command, tenant)

    def waited_for(self) -> set[str]:
        """Commands that somebody waits for by name."""
        return self._waiters.commands()

    def drain(self) -> None:
        """Send everybody home and refuse new claims."""
        self._draining = True
        self._waiters.wake_all()

    def _claim(self, want: Want) -> Claim:
        # One new name for all of them: making a hundred costs more than a claim's SQL.
        token = self._ids.new()
        tokens = (token, *(f"{token}-{number}" for number in range(1, want.count)))
        return Claim(
            want.worker,
            tokens,
            want.lease_seconds,
            want.commands,
            _tenants(want),
            want.count,
            # The log tells of each task by itself.
            shown=want.shown and not debugs(),
        )

    async def _lease_or_return(self, want: Want) -> Given:
        self._refuse_while_draining()
        claim, now = self._claim(want), self._clock.now()
        work = asyncio.ensure_future(self._engine.apply([claim], now))
        try:
            [tasks] = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The client has gone while its lease was being made: nobody would work on it.
            self._returning.add(work)
            work.add_done_callback(self._hand_back)
            raise
        return self._claimed(want, tasks, now)

    def _claimed(self, want: Want, result: OpResult, now: float) -> Given:
        if isinstance(result, Fault):
            raise result
        tasks = cast("list[Task | Leased]", result)
        telling = debugs()
        for task in tasks:
            if isinstance(task, Leased):
                self._metrics.claimed_together(task, now)
                continue
            self._metrics.claimed(task)
            if telling:
                _log.debug(
                    "task claimed",
                    task_id=task.id,
                    command=task.command,
                    worker=want.worker,
                    attempt=task.attempts,
                )
        return tasks

    def _hand_back(self, work: "asyncio.Future[list[OpResult]]") -> None:
        self._returning.discard(work)
        if work.cancelled() or work.exception() is not None:
            return
        [tasks] = work.result()
        if not isinstance(tasks, Fault):
            self._give_back(cast("list[Task | Leased]", tasks))

    def _give_back(self, tasks: Given) -> None:
        ops = [op for task in tasks for op in _abandons(task)]
        if ops:
            returning = asyncio.ensure_future(self._engine.apply(ops, self._clock.now()))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise Fault(DRAINING)


class _Shown(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    worker_id: str
    lease_token: str


def _abandons(task: Task | Leased) -> list[Abandon]:
    if isinstance(task, Task):
        return [Abandon(task.tenant, task.id, task.worker, task.lease_token)]
    shown = msgspec.json.decode(b"[%b]" % task.tasks, type=list[_Shown])
    return [Abandon(task.tenant, one.id, one.worker_id, one.lease_token) for one in shown]


def _tenants(want: Want) -> tuple[str, ...]:
    return () if want.tenant == ANY_TENANT else (want.tenant,)
