"""The queue's loops in this process, over an engine, with real sockets to real receivers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from backstay.core.backoff import Backoff
from backstay.core.breaker import Breaker
from backstay.core.clock import Clock, SystemClock, SystemDice, Uuid7
from backstay.core.egress import EgressRules
from backstay.core.metrics import Registry
from backstay.core.service import Loop, Service, run
from backstay.core.settings import Secret
from backstay.core.tracing import OFF, Tracer
from backstay.queue.loops.callbacks import Callbacks, Tries
from backstay.queue.loops.cron import Cron
from backstay.queue.loops.mover import Mover
from backstay.queue.loops.notices import Notices
from backstay.queue.metrics import QueueMetrics
from backstay.queue.model import Rules, Task
from backstay.queue.operations import Claim, Create, Finish, Op, OpResult
from backstay.queue.outgoing import Outgoing
from backstay.queue.store import Engine
from backstay.queue.store.memory import MemoryEngine

RULES = Rules(backoff=Backoff("fixed", 0.05, 0.05), retention=3600.0, abandon_delay=0.05)
FAST = Tries(most=3, base=0.02, cap=0.05)


class Yard:
    """Everything around one engine. `engine` may be handed on to the next yard: a restart."""

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        clock: Clock | None = None,
        allow: tuple[str, ...] = ("loopback",),
        secret: str = "",
        seconds: float = 5.0,
        tries: Tries = FAST,
        tracer: Tracer = OFF,
    ) -> None:
        self.clock = clock or SystemClock()
        self.engine = engine or MemoryEngine(RULES, self.clock, SystemDice())
        self.ids = Uuid7(self.clock)
        self.breakers: dict[str, Breaker] = {}
        self.registry = Registry((), self.clock)
        metrics = QueueMetrics(self.registry, self.clock)
        self.outgoing = Outgoing(
            self.clock, EgressRules(allow), Secret(secret), seconds, self.breakers, tracer
        )
        self.callbacks = Callbacks(self.engine, self.outgoing, self.clock, metrics, tries)
        self.notices = Notices(self.engine, self.outgoing, self.clock, self.ids, metrics)
        self.mover = Mover(self.engine, self.clock)
        self.cron = Cron(self.engine, self.clock, self.ids, metrics.created)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Yard"]:
        """All loops, as a server runs them."""
        parts: Sequence[Service | Loop] = [
            self.outgoing,
            self.mover,
            self.callbacks,
            self.notices,
            self.cron,
        ]
        await self.engine.open()
        stopping = asyncio.Event()
        running = asyncio.create_task(run(parts, self.clock, stopping, grace=1.0))
        try:
            yield self
        finally:
            stopping.set()
            await running

    async def one(self, op: Op) -> OpResult:
        [result] = await self.engine.apply([op], self.clock.now())
        return result

    async def create(self, command: str = "PACK", **fields: Any) -> Task:
        fields = {"tenant": "default", "payload": "{}", **fields}
        task = await self.one(Create(self.ids.new(), command=command, **fields))
        assert isinstance(task, Task), task
        return task

    async def claim(self, command: str = "PACK", lease: float = 60.0) -> Task:
        found = await self.one(Claim("w", (self.ids.new(),), lease, commands=(command,)))
        assert isinstance(found, list)
        [task] = found
        assert isinstance(task, Task)
        return task

    async def finish(self, task: Task, **fields: Any) -> OpResult:
        fields = {"ok": True, "result": '{"n":1}', **fields}
        return await self.one(Finish(task.tenant, task.id, "w", task.lease_token, **fields))

    async def end(self, webhook: str, command: str = "PACK", **fields: Any) -> Task:
        """A task that was created, claimed and completed."""
        await self.create(command, webhook=webhook, **fields)
        task = await self.claim(command)
        await self.finish(task)
        return task

    async def given_up(self) -> Sequence[Any]:
        return await self.engine.deliveries(None, given_up=True, limit=1000)

    async def waiting(self) -> Sequence[Any]:
        return await self.engine.deliveries(None, given_up=False, limit=1000)


async def until(true: Callable[[], Any], seconds: float = 15.0) -> Any:
    """The first truthy answer (awaited when it is awaitable); AssertionError after `seconds`."""
    clock = SystemClock()
    end = clock.tick() + seconds
    while clock.tick() < end:
        found = true()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"not true within {seconds} s")


async def none(found: Awaitable[object]) -> bool:
    """Whether what is waited for is empty."""
    return not await found
