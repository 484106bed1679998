"""The memory engine as a judge: it follows what another engine did, and objects.

Whose turn it is among tenants and commands is the engine's choice (it may forget the row at a
restart), so the model follows the choice of each claim and judges it; all else must be equal.
"""

from collections.abc import Sequence

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.virtual import FixedDice
from backstay.queue.model import (
    Claim,
    Delivery,
    Move,
    Op,
    OpResult,
    Rules,
    SettleDelivery,
    Subscription,
    TakeDeliveries,
    Task,
    TaskQuery,
)
from backstay.queue.store import Engine
from backstay.queue.store.memory import MemoryEngine
from backstay.queue.store.memory_operations import Operations
from backstay.queue.store.memory_world import World

RULES = Rules(backoff=Backoff("exponential", 2.0, 60.0), retention=600.0)


class Divergence(AssertionError):
    """The engine did what the specification does not allow."""


class Following(Operations):
    """Claims are led by `answers`, the tasks that the engine gave, one list for each claim."""

    answers: list[list[Task]]

    def claim(self, op: Claim) -> list[Task]:
        taken: list[Task] = []
        given = self.answers.pop(0)
        for token, told in zip(op.tokens, given, strict=False):
            entry = self._world.entries.get(told.id)
            rivals = self._wanted(op)
            if entry is None or entry not in rivals:
                state = entry.task if entry else "not there"
                raise Divergence(f"{told.id} cannot be claimed by {op}: it is {state}")
            first = next(rival for rival in rivals if rival.queue == entry.queue)
            if first is not entry:
                raise Divergence(f"{told.id} was served before {first.task.id}: {first.task}")
            if op.commands:
                preferred = min(op.commands.index(rival.task.command) for rival in rivals)
                if op.commands.index(entry.task.command) > preferred:
                    raise Divergence(f"{told.id} was served before {op.commands[preferred]}")
            taken.append(self._lease(op, entry, token))
        if len(given) < op.count and (left := self._next(op)) is not None:
            raise Divergence(f"{op} got {len(given)} and there was {left.task}")
        return taken


class Model(MemoryEngine):
    """`follow` applies what the engine applied and compares what both answered."""

    operations = Following

    def __init__(self, clock: Clock, world: World) -> None:
        super().__init__(RULES, clock, FixedDice(), world)
        self.world = world

    async def follow(self, ops: Sequence[Op], now: float, results: Sequence[OpResult]) -> None:
        Following.answers = [
            claimed for claimed in results if isinstance(claimed, list) and _all_tasks(claimed)
        ] if any(isinstance(op, Claim) for op in ops) else []
        Following.answers = [
            list(result) if isinstance(result, list) else []  # type: ignore[misc]
            for op, result in zip(ops, results, strict=True)
            if isinstance(op, Claim)
        ]
        for op, mine, theirs in zip(ops, await self.apply(ops, now), results, strict=True):
            if isinstance(op, TakeDeliveries):
                self._adopt(mine, theirs)
            elif _plain(mine) != _plain(theirs) and not _about(op, mine, theirs):
                raise Divergence(f"{op}\n  gave   {theirs}\n  not    {mine}")
