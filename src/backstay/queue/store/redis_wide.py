"""Operations that may concern several commands, each of which is a step of its own: claims of any
work, what time does, purges; and what lies under no command: the calendar's index, subscriptions.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from backstay.core.clock import Clock
from backstay.queue.model import Delivery, Subscription, Task
from backstay.queue.operations import (
    Ack,
    Claim,
    Fire,
    Move,
    Op,
    OpResult,
    Purge,
    SetPeriodic,
    Subscribe,
    TakeDeliveries,
    TakeNotices,
)
from backstay.queue.store.lua import NOTICES
from backstay.queue.store.polls import Polls
from backstay.queue.store.redis_calls import Calls
from backstay.queue.store.redis_layout import (
    PERIODICS,
    POLLED,
    SUBSCRIPTIONS,
    command_of,
    split_id,
    tag_of,
)
from backstay.queue.store.redis_link import Link, LostError
from backstay.queue.store.redis_ops import Wire, asked, claim, delivery_of, place
from backstay.queue.store.redis_watch import Watch

_NOTED_EVERY = 1.0
"""Seconds between two notes of a claim of one command: an idle poll must not be a write."""
_MOST_NOTED = 10_000

Stamp = Callable[[float], int]


class Wide:
    """Knows which commands to ask, and in which order."""

    def __init__(self, link: Link, calls: Calls, watch: Watch, stamp: Stamp, clock: Clock) -> None:
        self._link = link
        self._calls = calls
        self._watch = watch
        self._stamp = stamp
        self._clock = clock
        self.polls = Polls()
        self._noted: dict[tuple[tuple[str, ...], str], float] = {}
        self._runs: dict[type, Callable[[Any, float], Awaitable[Any]]] = {
            Claim: self.claim,
            Move: self.move,
            Purge: self.purge,
            Ack: self.ack,
            SetPeriodic: self.set_periodic,
            Fire: self.fire,
            Subscribe: self.subscribe,
            TakeNotices: self.take_notices,
            TakeDeliveries: self.take_deliveries,
        }

    async def apply(self, op: Op, now: float) -> OpResult:
        """Its result, or its own Fault."""
        result: OpResult = await self._runs[type(op)](op, now)
        return result

    def polled(self) -> dict[str, float]:
        """Wall time of the last claim per command, by any server; "" is a claim of any."""
        found = {
            command_of(tag): seen.polled for tag, seen in self._watch.seen.items() if seen.polled
        }
        found |= {"": self._watch.polled_any} if self._watch.polled_any else {}
        for command, at in self.polls.by_command().items():
            found[command] = max(at, found.get(command, 0.0))
        return found

    def note(self, op: Claim, command: str, now: float) -> bool:
        """Somebody asks for this command; whether the store has to be told."""
        self.polls.note_one(op, command, now)
        tick, name = self._clock.tick(), (op.tenants, command)
        if tick - self._noted.get(name, -1e9) < _NOTED_EVERY:
            return False
        self._noted.pop(name, None)
        self._noted[name] = tick
        if len(self._noted) > _MOST_NOTED:
            del self._noted[next(iter(self._noted))]
        return True

    # --- tasks -------------------------------------------------------------------------------

    async def claim(self, op: Claim, now: float) -> list[Task]:
        """In the order of preference, or the longest unserved command first."""
        if not op.commands and self.note(op, "", now):
            await self._link.ask("SET", POLLED, f"{now:.6f}")
        taken: list[Task] = []
        for command in op.commands or tuple(self._watch.work):
            if len(taken) >= op.count:
                break
            tokens, count = op.tokens[len(taken) :], op.count - len(taken)
            # A claim of anything is no interest in this command: it might be in all of them.
            noted = bool(op.commands) and self.note(op, command, now)
            tasks, more = await self._one(
                tag_of(command), op, now, claim(op, tokens, count, noted=noted)
            )
            taken += tasks
            if not op.commands:
                self.served(command, bool(tasks), more)
        return taken

    def served(self, command: str, served: bool, more: bool) -> None:
        """To the end of the row, or out of it when nothing is left."""
        work = self._watch.work
        if not more:
            work.pop(command, None)
        elif served:
            work.pop(command, None)
            work[command] = None

    async def move(self, op: Move, now: float) -> int:
        """In each command in which time has work now."""
        moved = 0
        # Others may have moved it meanwhile; `due` looks once more where something seems due.
        await self._watch.due(now)
        for tag in await self._watch.due_tags(now):
            moved += await self._one(tag, op, now)
            await self._watch.peek(tag)
        return moved

    async def purge(self, op: Purge, now: float) -> int:
        """A stretch at a time, so that no other caller waits long."""
        gone = 0
        for tag in [tag_of(op.command)] if op.command else await self._watch.tags():
            skip = 0
            while gone < op.limit and skip >= 0:
                arguments = [op.tenant, op.before, op.limit - gone, op.states, skip]
                some, skip = await self._one(tag, op, now, arguments)
                gone += some
        return gone

    async def ack(self, op: Ack, now: float) -> int:
        """Each id at the command it tells of."""
        by_tag: dict[str, list[str]] = {}
        for task_id in op.ids:
            by_tag.setdefault(split_id(task_id)[1], []).append(task_id)
        by_tag.pop("", None)
        counts = [
            await self._one(tag, Ack(op.tenant, op.reply_to, tuple(ids)), now)
            for tag, ids in by_tag.items()
        ]
        return sum(counts)

    # --- the calendar ------------------------------------------------------------------------

    async def set_periodic(self, op: SetPeriodic, now: float) -> int:
        """One per (tenant, name): the index names the command that holds it. What a change of the
        command leaves behind is not in the index, so it never fires."""
        field = place(op.periodic.tenant, op.periodic.name)
        new = tag_of(op.periodic.command)
        before = await self._link.ask("HGET", PERIODICS, field)
        old = before.decode() if before else ""
        if op.remove:
            if not old:
                return 0
            await self._link.ask("HDEL", PERIODICS, field)
            return int(await self._one(old, op, now))
        await self._watch.register([new])
        await self._one(new, op, now)
        await self._link.ask("HSET", PERIODICS, field, new)
        if old and old != new:
            await self._one(old, SetPeriodic(op.periodic, remove=True), now)
        return 1

    async def fire(self, op: Fire, now: float) -> OpResult:
        """Where the periodic task is kept, its task is made."""
        tag = await self._link.ask("HGET", PERIODICS, place(op.tenant, op.name))
        if tag is None:
            return 0
        if op.task is not None and tag_of(op.task.command) != tag.decode():
            return 0  # it was given another command since it was looked at
        result: OpResult = await self._one(tag.decode(), op, now)
        return result

    # --- who wants to hear -------------------------------------------------------------------

    async def subscribe(self, op: Subscribe, now: float) -> int:  # noqa: ARG002 - as the others
        each = op.subscription
        field = place(each.tenant, each.id)
        if op.remove:
            return int(await self._link.ask("HDEL", SUBSCRIPTIONS, field))
        packed = msgspec.msgpack.encode(msgspec.structs.astuple(each))
        await self._link.ask("HSET", SUBSCRIPTIONS, field, packed)
        return 1

    async def take_notices(self, op: TakeNotices, now: float) -> list[Subscription]:
        again = False
        for _ in range(2):
            sent = msgspec.msgpack.encode([op.tenant, op.command, now, again])
            try:
                told = await self._link.run(NOTICES, [SUBSCRIPTIONS], sent)
            except LostError:
                if again:
                    raise
                again = True
                continue
            return [_subscription(raw) for raw in told]
        return []

    async def take_deliveries(self, op: TakeDeliveries, now: float) -> list[Delivery]:
        taken: list[Delivery] = []
        await self._watch.callbacks_due(now)
        for tag, seen in list(self._watch.seen.items()):
            if seen.callbacks <= now and len(taken) < op.limit:
                part = [op.seconds, op.limit - len(taken)]
                raws = await self._one(tag, op, now, part)
                taken += [delivery_of(raw, tag) for raw in raws]
                await self._watch.peek(tag)
        return sorted(taken, key=lambda each: each.due_at)

    async def _one(self, tag: str, op: Op, now: float, arguments: Wire | None = None) -> Any:
        [answer] = await self._calls.add(tag, [asked(op, now, self._stamp(now), arguments)])
        return answer


def _subscription(raw: bytes) -> Subscription:
    values = msgspec.msgpack.decode(raw)
    named = dict(zip(Subscription.__struct_fields__, values, strict=True))
    return msgspec.convert(named, Subscription)
