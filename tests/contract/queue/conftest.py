"""Every engine on a virtual clock. The suite runs against each name in ENGINES."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.queue.together import TogetherEngine

from backstay.core.backoff import Backoff
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.model import Rules, Task
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Move,
    Nack,
    Op,
    OpResult,
)
from backstay.queue.store import Engine, Expired, Happened
from backstay.queue.store.memory import MemoryEngine
from backstay.queue.store.memory_world import World
from backstay.queue.store.sqlite import SqliteEngine

RULES = Rules(backoff=Backoff("fixed", 10.0, 100.0), retention=3600.0)


class Bench:
    """An engine with the clock it lives by, and short words for the operations."""

    def __init__(self, make: Callable[[VirtualClock], Engine]) -> None:
        self.clock = VirtualClock()
        self.ids = CountingIds("t")
        self._make = make
        self.engine = make(self.clock)

    async def reopen(self) -> None:
        await self.engine.close()
        self.engine = self._make(self.clock)
        await self.engine.open()

    async def one(self, op: Op) -> OpResult:
        [result] = await self.engine.apply([op], self.clock.now())
        return result

    async def create(self, command: str = "PACK", **fields: object) -> Task:
        fields.setdefault("tenant", "default")
        fields.setdefault("payload", "{}")
        task = await self.one(Create(self.ids.new(), command=command, **fields))
        assert isinstance(task, Task), task
        return task

    async def claim(self, worker: str = "w", count: int = 1, **fields: object) -> list[Task]:
        fields.setdefault("lease_seconds", 60.0)
        tokens = tuple(self.ids.new() for _ in range(count))
        tasks = await self.one(Claim(worker, tokens, count=count, **fields))
        assert isinstance(tasks, list), tasks
        return tasks

    async def claim_one(self, worker: str = "w", **fields: object) -> Task:
        [task] = await self.claim(worker, **fields)
        return task

    async def finish(self, task: Task, **changes: object) -> OpResult:
        fields = {"ok": True, "result": '{"n":1}', **_hold(task), **changes}
        return await self.one(Finish(**fields))

    async def nack(self, task: Task, reason: str = "broke", **changes: object) -> OpResult:
        return await self.one(Nack(**{"reason": reason, **_hold(task), **changes}))

    async def abandon(self, task: Task, **changes: object) -> OpResult:
        return await self.one(Abandon(**{**_hold(task), **changes}))

    async def extend(self, task: Task, seconds: float = 60.0, **changes: object) -> OpResult:
        return await self.one(Extend(**{"seconds": seconds, **_hold(task), **changes}))

    async def cancel(self, task: Task, reason: str = "") -> OpResult:
        return await self.one(Cancel(task.tenant, task.id, reason))

    async def move(self) -> int:
        moved = await self.one(Move())
        assert isinstance(moved, int)
        return moved

    async def after(self, seconds: float) -> int:
        """Let time pass, then do what time does."""
        self.clock.advance_now(seconds)
        return await self.move()

    async def state(self, task: Task) -> str:
        found = await self.engine.task(task.tenant, task.id)
        return found.state if found else "gone"


class Ears:
    """What an engine tells those who wait."""

    def __init__(self, bench: Bench) -> None:
        self._heard: list[Happened] = []
        bench.engine.listen(self._heard.append)

    def ready(self) -> set[tuple[str, str]]:
        """Queues that got work since the last question."""
        heard, self._heard[:] = list(self._heard), []
        return {name for happened in heard for name, count in happened.ready.items() if count}

    def expired(self) -> list[Expired]:
        """Leases that ended since the last question of either kind."""
        heard, self._heard[:] = list(self._heard), []
        return [lost for happened in heard for lost in happened.expired]


def _hold(task: Task) -> dict[str, str]:
    return {
        "tenant": task.tenant,
        "id": task.id,
        "worker": task.worker,
        "token": task.lease_token,
    }


def _sqlite(folder: Path) -> Callable[[VirtualClock], Engine]:
    return lambda clock: SqliteEngine(folder / "queue.db", RULES, clock, FixedDice(), "process")


def _together(folder: Path) -> Callable[[VirtualClock], Engine]:
    return lambda clock: TogetherEngine(folder / "queue.db", RULES, clock, FixedDice(), "process")


def _memory(folder: Path) -> Callable[[VirtualClock], Engine]:
    world = World()  # in place of the folder, it is there at the next start
    return lambda clock: MemoryEngine(RULES, clock, FixedDice(), world)


ENGINES: dict[str, Callable[[Path], Callable[[VirtualClock], Engine]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sqlite, together": _together,
}


@pytest.fixture(params=sorted(ENGINES))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(ENGINES[request.param](tmp_path))
    await bench.engine.open()
    yield bench
    await bench.engine.close()


Opened = Callable[[], Awaitable[Bench]]
