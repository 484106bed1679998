"""No arrival is slept through: whenever all is quiet, nobody waits for what could be claimed.

The service and the mover's loop run on a virtual clock over the memory engine, whose commits take
a random number of turns of the event loop, so that arrivals, claims, cancelled clients and lifted
bounds meet in every order.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
import structlog.testing
from tests.queue.simulation.model import RULES

from backstay.core import service
from backstay.core.metrics import Registry
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.loops.mover import Mover
from backstay.queue.metrics import METRICS, QueueMetrics
from backstay.queue.model import ANY_TENANT, Policy, Task
from backstay.queue.operations import Create, Finish, Nack, Op, OpResult, Redrive, SetPolicy
from backstay.queue.service import Queue, Want
from backstay.queue.store.memory import MemoryEngine

HISTORIES, CHUNK, STEPS = 300, 50, 50
TENANTS, COMMANDS = ("a", "b"), ("PACK", "SEND")


class Slow(MemoryEngine):
    """Its commits take their time before and after they happen."""

    def __init__(self, clock: VirtualClock, dice: random.Random) -> None:
        super().__init__(RULES, clock, FixedDice())
        self._turns = dice

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        for _ in range(self._turns.randrange(4)):
            await asyncio.sleep(0)
        results = await super().apply(ops, now)
        for _ in range(self._turns.randrange(4)):
            await asyncio.sleep(0)
        return results

    def claimable_by(self, want: Want) -> list[str]:
        """Ids that this claim could be given at this moment."""
        return [
            entry.task.id
            for entry in self._bounds.claimable(self._clock.tick())
            if (not want.commands or entry.task.command in want.commands)
            and want.tenant in (ANY_TENANT, entry.task.tenant)
        ]


class Room:
    """Claims that wait, and what may happen to them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = VirtualClock()
        self.engine = Slow(self.clock, random.Random(seed))
        metrics = QueueMetrics(Registry(METRICS, self.clock), self.clock)
        self.queue = Queue(self.engine, self.clock, CountingIds("k"), metrics)
        self.ids = CountingIds("t")
        self.waiting: dict[asyncio.Task[list[Task]], Want] = {}
        self.held: list[Task] = []
        self.ended: list[Task] = []
        self._background: list[asyncio.Future[Any]] = []

    async def run(self) -> None:
        stopping = asyncio.Event()
        mover = Mover(self.engine, self.clock)
        running = asyncio.ensure_future(service.run([mover], self.clock, stopping))
        await self.engine.open()
        for _ in range(STEPS):
            # Some things happen at once, before anybody has come to rest.
            for _ in range(self.dice.choice((1, 1, 2, 4))):
                self._happen()
                for _ in range(self.dice.randrange(3)):
                    await asyncio.sleep(0)
            await self._settle()
            self._judge()
        stopping.set()
        for task in self.waiting:
            task.cancel()
        await asyncio.gather(running, *self.waiting, return_exceptions=True)

    def _happen(self) -> None:
        chance = self.dice.random()
        if chance < 0.30:
            self._wait()
        elif chance < 0.36 and self.waiting:
            self.dice.choice(list(self.waiting)).cancel()
        elif chance < 0.60:
            later = self.dice.choice((0.0, 0.0, 0.0, self.clock.now() + 3.0))
            self._do(
                Create(
                    self.ids.new(),
                    self.dice.choice(TENANTS),
                    self.dice.choice(COMMANDS),
                    "{}",
                    due_at=later,
                    key=self.dice.choice(("", "", "k")),
                )
            )
        elif chance < 0.75 and self.held:
            task = self.held.pop(self.dice.randrange(len(self.held)))
            hold = (task.tenant, task.id, task.worker, task.lease_token)
            if self.dice.random() < 0.5:
                self._do(Nack(*hold, reason="broke", delay=self.dice.choice((0.0, 2.0))))
            else:
                self.ended.append(task)
                self._do(Finish(*hold, ok=False, error="no"))
        elif chance < 0.80 and self.ended:
            task = self.ended.pop()
            self._do(Redrive(task.tenant, task.id))
        elif chance < 0.90:
            bound: dict[str, Any] = self.dice.choice(
                (
                    {},
                    {},
                    {"paused": True},
                    {"concurrency": 1},
                    {"rate": 0.5},
                    {"key_concurrency": 1},
                )
            )
            tenant = self.dice.choice((*TENANTS, ANY_TENANT))
            self._do(SetPolicy(Policy(tenant, self.dice.choice(COMMANDS), **bound)))
        else:
            seconds = self.dice.choice((0.5, 2.0, 2.0, 12.0))
            self._background.append(asyncio.ensure_future(self.clock.advance(seconds)))

    def _wait(self) -> None:
        commands = self.dice.choice(((), COMMANDS, ("PACK",), ("SEND",)))
        tenant = self.dice.choice((ANY_TENANT, *TENANTS))
        want = Want(f"w{self.dice.randrange(3)}", tenant, commands, 10.0, self.dice.choice((1, 2)))
        task = asyncio.ensure_future(self.queue.claim(want, wait=30.0))
        self.waiting[task] = want

    def _do(self, op: Op) -> None:
        self._background.append(asyncio.ensure_future(self.engine.apply([op], self.clock.now())))

    async def _settle(self) -> None:
        """Until nobody has anything to do, and what is over is forgotten."""
        await asyncio.gather(*self._background, return_exceptions=True)
        self._background.clear()
        for _ in range(60):
            await asyncio.sleep(0)
        for task in [task for task in self.waiting if task.done()]:
            del self.waiting[task]
            if not task.cancelled():
                self.held += task.result()

    def _judge(self) -> None:
        for want in self.waiting.values():
            missed = self.engine.claimable_by(want)
            assert not missed, f"{want} waits, and there is {missed}"


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_nobody_waits_for_what_could_be_claimed(first: int):
    for seed in range(first, first + CHUNK):
        with structlog.testing.capture_logs():
            try:
                asyncio.run(Room(seed).run())
            except AssertionError as broken:
                pytest.fail(f"Room({seed}): {broken}")


async def test_a_wakeup_that_was_used_for_other_work_goes_to_the_next_who_waits():
    """Found by Room(151). The first is woken for PACK and prefers SEND, which came meanwhile; the
    second waits for PACK alone and would have slept beside it."""
    room = Room(0)
    prefers = Want("w1", "a", ("SEND", "PACK"), 10.0)
    second = Want("w2", "a", ("PACK",), 10.0)
    both = [asyncio.ensure_future(room.queue.claim(want, 30.0)) for want in (prefers, second)]
    await room._settle()
    ops = [Create(f"t{command}", "a", command, "{}") for command in ("PACK", "SEND")]
    await room.engine.apply(ops, room.clock.now())
    await room._settle()
    assert [[task.command for task in each.result()] for each in both] == [["SEND"], ["PACK"]]
