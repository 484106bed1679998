"""The memory engine as a judge: it follows what another engine did, and objects.

Whose turn it is among tenants and commands is the engine's choice (it may forget the row at a
restart), so the model follows the choice of each claim and judges it; all else must be equal.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.model import Delivery, Rules, Subscription, Task, TaskQuery
from backstay.queue.operations import Claim, Move, Op, OpResult, SettleDelivery, TakeDeliveries
from backstay.queue.store import Engine
from backstay.queue.store.memory import MemoryEngine
from backstay.queue.store.memory_operations import Operations
from backstay.queue.store.memory_world import Entry, World

RULES = Rules(backoff=Backoff("exponential", 2.0, 60.0), retention=600.0)


class Divergence(AssertionError):  # noqa: N818 - what it is
    """The engine did what the specification does not allow."""


class InDoubt(Protocol):
    """An apply that was never answered."""

    ops: Sequence[Op]
    now: float
    tick: float


class Following(Operations):
    """Claims are led by `answers`: what the engine gave, one list of tasks for each claim."""

    answers: list[list[Task]]
    rates_in_doubt = False
    """A claim that was rolled back has cost its tokens: the engine may give less than it could."""

    def claim(self, op: Claim) -> list[Task]:
        taken: list[Task] = []
        given = self.answers.pop(0)
        for token, told in zip(op.tokens, given, strict=False):
            taken.append(self._lease(op, self._judged(op, told), token))
        left = [entry for entry in self._wanted(op) if self._certain(entry)]
        if len(given) < op.count and left:
            raise Divergence(f"{op} got {len(given)} and there was {left[0].task}")
        return taken

    def _certain(self, entry: Entry) -> bool:
        policy = self._bounds.policy(entry.queue)
        rated = policy is not None and (policy.rate or policy.key_rate)
        return not (rated and Following.rates_in_doubt)

    def _judged(self, op: Claim, told: Task) -> Entry:
        """The entry of a task that was given, if it was its turn inside its queue."""
        rivals = self._wanted(op)
        entry = self._world.entries.get(told.id)
        if entry is None or entry not in rivals:
            state = entry.task if entry else "not there"
            raise Divergence(f"{told.id} cannot be claimed by {op}: it is {state}")
        rivals = [rival for rival in rivals if rival is entry or self._certain(rival)]
        first = next(rival for rival in rivals if rival.queue == entry.queue)
        if first is not entry:
            raise Divergence(f"{told.id} was served before {first.task}")
        if op.commands:
            preferred = min(op.commands.index(rival.task.command) for rival in rivals)
            if op.commands.index(entry.task.command) > preferred:
                raise Divergence(f"{told.id} was served before {op.commands[preferred]}")
        return entry


class Model(MemoryEngine):
    """`follow` applies what the engine applied and compares what both answered."""

    def __init__(self, clock: Clock, world: World, names: dict[str, str]) -> None:
        """`names`: what the engine calls a delivery, and what this model does; kept by the caller
        over restarts."""
        super().__init__(RULES, clock, FixedDice(), world)
        self._names = names
        self._rates_in_doubt = False

    def doubt(self, ops: Sequence[Op]) -> None:
        """These were rolled back, as far as anybody knows."""
        self._rates_in_doubt |= any(isinstance(op, Claim) for op in ops)

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        """Nobody waits on a model, so it need not find out what became claimable."""
        operations = Following(self._kept, now, self._clock.tick(), lifted=0)
        return [operations.apply(op) for op in ops]

    async def follow(self, ops: Sequence[Op], now: float, results: Sequence[OpResult]) -> None:
        """Raises `Divergence`."""
        Following.rates_in_doubt = self._rates_in_doubt
        Following.answers = [
            [task for task in result if isinstance(task, Task)]
            for op, result in zip(ops, results, strict=True)
            if isinstance(op, Claim) and isinstance(result, list)
        ]
        answers = await self.apply([self._renamed(op) for op in ops], now)
        for op, mine, theirs in zip(ops, answers, results, strict=True):
            # What a bound lets through again may be told, and counted, more than once.
            loose = isinstance(op, Move) and self._world.policies
            if not loose and _plain(mine) != _plain(theirs):
                raise Divergence(f"{op}\n  gave {theirs}\n  not  {mine}")
            if isinstance(op, TakeDeliveries):
                self._learn(mine, theirs)

    def _renamed(self, op: Op) -> Op:
        if isinstance(op, SettleDelivery):
            return msgspec.structs.replace(op, id=self._names.get(op.id, op.id))
        return op

    def _learn(self, mine: OpResult, theirs: OpResult) -> None:
        lists = [sorted(each, key=_by_plain) for each in (mine, theirs) if isinstance(each, list)]
        for own, other in zip(*lists, strict=True):
            assert isinstance(own, Delivery)
            assert isinstance(other, Delivery)
            self._names[other.id] = own.id

    async def replayed(self, group: Sequence["InDoubt"], engine: Engine) -> World:
        """A copy of this model's world after applies that nobody answered, as the engine's state
        tells what their claims gave. Raises `Divergence`."""
        twin = self._twin()
        tasks = (await engine.page(TaskQuery(limit=10_000))).items
        for asked in group:
            twin._clock = VirtualClock(asked.now, asked.tick)
            Following.answers = [
                sorted(
                    (task for task in tasks if task.lease_token in op.tokens),
                    key=lambda task, op=op: op.tokens.index(task.lease_token),
                )
                for op in asked.ops
                if isinstance(op, Claim)
            ]
            await twin.apply([self._renamed(op) for op in asked.ops], asked.now)
        return twin._world

    def _twin(self) -> "Model":
        twin = Model(self._clock, _copied(self._world), self._names)
        twin._bounds._buckets = dict(self._bounds._buckets)
        return twin

    async def compare(self, engine: Engine) -> None:
        """Everything that both show must be equal. Raises `Divergence`."""
        mine, theirs = await _shown(self), await _shown(engine)
        for name, value in mine.items():
            if value != theirs[name]:
                raise Divergence(f"{name}: the engine shows\n  {theirs[name]}\n  not\n  {value}")


def _copied(world: World) -> World:
    """Tasks are frozen and histories are replaced, so entries need no deeper copy."""
    values = {name: copy.copy(getattr(world, name)) for name in World.__struct_fields__}
    values["entries"] = {name: copy.copy(entry) for name, entry in world.entries.items()}
    return World(**values)


def _plain(result: OpResult) -> Any:
    """Without what an engine names as it likes."""
    if isinstance(result, Fault):
        return result.entry.code
    if isinstance(result, list):
        items = [_plain_item(each) for each in result]
        return items if all(isinstance(each, Task) for each in items) else sorted(items, key=repr)
    return result


def _plain_item(item: Task | Subscription | Delivery) -> Task | Subscription | Delivery:
    return msgspec.structs.replace(item, id="") if isinstance(item, Delivery) else item


async def _shown(engine: Engine) -> dict[str, Any]:
    page = await engine.page(TaskQuery(limit=10_000))
    return {
        "tasks": page.items,
        "attempts": [await engine.attempts(task.tenant, task.id) for task in page.items],
        "policies": await engine.policies(None),
        "periodics": await engine.periodics(None),
        "subscriptions": sorted(await engine.subscriptions(None), key=repr),
        "stats": [
            msgspec.structs.replace(stats, last_claim_at=0.0) for stats in await engine.stats(None)
        ],
        "deliveries": _unnamed(await _deliveries(engine, given_up=False)),
        "given up": _unnamed(await _deliveries(engine, given_up=True)),
    }


async def _deliveries(engine: Engine, *, given_up: bool) -> list[Delivery]:
    found = await engine.deliveries(None, given_up=given_up, limit=10_000)
    return sorted(found, key=_by_plain)


def _by_plain(item: Task | Subscription | Delivery) -> str:
    return repr(_plain_item(item))


def _unnamed(deliveries: Iterable[Delivery]) -> list[Delivery]:
    return [msgspec.structs.replace(each, id="") for each in deliveries]
