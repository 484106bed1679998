"""The engine for more than one machine: tasks in a Redis, Valkey or KVRocks, alone or a cluster,
that several servers share.

What an operation means is said by the scripts in `lua/`; here is decided which keys it goes to, and
what is made of several answers. An `apply` is one atomic step per command it touches.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import structlog

from backstay.core.clock import Clock, Dice, Ids
from backstay.core.errors import Fault
from backstay.core.sqlite import Stats
from backstay.queue.errors import NEWER_STORE, STORE_BACKUP, TASK_NOT_FOUND
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
from backstay.queue.operations import Claim, Op, OpResult, SettleDelivery
from backstay.queue.store import Happened, Listener
from backstay.queue.store.lua import AUDIT
from backstay.queue.store.many import gathered, spread
from backstay.queue.store.redis_address import RedisStore
from backstay.queue.store.redis_calls import Calls
from backstay.queue.store.redis_layout import (
    PERIODICS,
    PREFIX,
    SCHEMA,
    SCHEMA_VERSION,
    SUBSCRIPTIONS,
    TOUCHED,
    tag_of,
)
from backstay.queue.store.redis_link import Link, LostError
from backstay.queue.store.redis_ops import Asked, asked, claim, home, makes
from backstay.queue.store.redis_reads import (
    AUDITS,
    inconsistencies,
    pairs,
    read_attempts,
    read_deliveries,
    read_page,
    read_policies,
    read_stats,
    read_task,
)
from backstay.queue.store.redis_time import LeaseClock
from backstay.queue.store.redis_watch import Watch
from backstay.queue.store.redis_wide import Wide

_T = TypeVar("_T")

_log = structlog.get_logger("queue.redis")


class RedisEngine:
    """Implements `store.Engine`."""

    def __init__(self, store: RedisStore, rules: Rules, clock: Clock, dice: Dice, ids: Ids) -> None:
        self.where = store.address.shown
        self._link = Link(store.address, store.password, store.pool)
        self._clock = clock
        self._leases = LeaseClock(clock)
        # Short, because every record says which operation changed it last.
        nonce = hashlib.sha256(ids.new().encode()).hexdigest()[:8] + ":"
        self._calls = Calls(self._link, rules, clock, dice, self._leases, nonce)
        self._watch = Watch(self._link, self._calls, clock, self._leases, nonce, rules.retention)
        self._wide = Wide(self._link, self._calls, self._watch, self._stamp, clock)
        self._watch.tell = self._happened
        self._listeners: list[Listener] = []
        self._last_stamp = 0
        self._open = False

    async def open(self) -> None:
        """Raises QUEUE031, QUEUE032 or QUEUE034 naming the address."""
        await _faults(self._link.open())
        await _faults(self._link.ask("SET", SCHEMA, SCHEMA_VERSION, "NX"))
        await _faults(self._check_schema())
        try:
            await _faults(self._watch.open())
        except BaseException:
            await self._watch.stop()
            raise
        self._open = True
        _log.info("store open", address=self.where, cluster=self._link.clustered)

    def listen(self, tell: Listener) -> None:
        self._listeners.append(tell)

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        """One durable atomic step per command that the operations touch; operations that need the
        whole store come after those before them and before those behind them."""
        return gathered(ops, await _faults(self._apply(spread(ops), now)))

    async def due(self, now: float) -> float | None:
        return await _faults(self._watch.due(now))

    async def task(self, tenant: str, id: str) -> Task | None:
        """`tenant` may be `ANY_TENANT`."""
        found = await _faults(read_task(self._link, tenant, id))
        return found[0] if found else None

    async def page(self, query: TaskQuery) -> Page[Task]:
        return await _faults(self._page(query))

    async def stats(self, command: str | None) -> list[QueueStats]:
        return await _faults(self._stats(command))

    async def attempts(self, tenant: str, id: str) -> list[Attempt]:
        return await _faults(read_attempts(self._link, tenant, id))

    async def policies(self, tenant: str | None) -> list[Policy]:
        async def read() -> list[Policy]:
            found = [
                policy
                for tag in await self._watch.tags()
                for policy in await read_policies(self._link, tag, tenant)
            ]
            return sorted(found, key=lambda policy: (policy.tenant, policy.command))

        return await _faults(read())

    async def periodics(self, tenant: str | None) -> list[Periodic]:
        return await _faults(self._periodics(tenant))

    async def subscriptions(self, tenant: str | None) -> list[Subscription]:
        async def read() -> list[Subscription]:
            told = await self._link.ask("HGETALL", SUBSCRIPTIONS)
            found = [subscription_of(raw) for _, raw in pairs(told)]
            return [each for each in found if tenant in (None, each.tenant)]

        return await _faults(read())

    async def deliveries(self, tenant: str | None, *, given_up: bool, limit: int) -> list[Delivery]:
        async def read() -> list[Delivery]:
            found: list[Delivery] = []
            # A tenant's own are picked from all; others' must not crowd them out.
            most = limit if tenant is None else 100_000
            for tag in await self._watch.tags():
                found += await read_deliveries(self._link, tag, given_up=given_up, limit=most)
            mine = [each for each in found if tenant in (None, each.tenant)]
            return sorted(mine, key=lambda each: each.due_at)[:limit]

        return await _faults(read())

    async def delivery_due(self) -> float | None:
        return await _faults(self._watch.callbacks_due(self._clock.now()))

    async def audit(self, repair: bool, command: str = "") -> list[Inconsistency]:
        return await _faults(self._audit(repair, command))

    async def backup(self, path: Path) -> None:  # noqa: ARG002 - the Protocol's signature
        """Raises QUEUE035: the store is copied with its own tools."""
        raise Fault(STORE_BACKUP, address=self.where)

    async def close(self) -> None:
        if not self._open:
            await self._link.close()
            return
        self._open = False
        try:
            await self._calls.close()
            await self._watch.close()
        except (LostError, Fault) as lost:
            _log.warning("the store was lost before the end", why=str(lost))
        finally:
            await self._link.close()

    async def touch(self) -> None:
        """A real write, as durable as the store makes any, and by a script, as all of them are; in
        a cluster one on every node, as each holds other commands. Raises QUEUE034, too: a newer
        version may have come to the store meanwhile."""
        # The nodes first, as they are called by their names.
        await _faults(self._link.write_everywhere(TOUCHED, f"{self._leases.now():.6f}"))
        await _faults(self._leases.sync(self._link))
        await _faults(self._check_schema())
        await _faults(self._link.doubt())

    def doubts(self) -> tuple[str, ...]:
        """Settings of the store that can cost accepted tasks, as of the last `touch`."""
        return self._link.warnings

    def write_stats(self) -> Stats:
        """Calls in place of commits, for metrics."""
        told = self._calls.stats
        return Stats(
            jobs=told.operations,
            commits=told.calls,
            failures=told.failures,
            commit_seconds=told.seconds,
        )

    def polled(self) -> dict[str, float]:
        """Wall time of the last claim per command, by any server; "" is a claim of any."""
        return self._wide.polled()

    # --- inside ------------------------------------------------------------------------------

    def _stamp(self, now: float) -> int:
        """Microseconds, never twice; behind every number the store has given to arrivals."""
        self._last_stamp = max(int(now * 1e6), self._last_stamp + 1, self._calls.last_seq + 1)
        return self._last_stamp

    def _happened(self, happened: Happened) -> None:
        for tell in self._listeners:
            tell(happened)

    async def _check_schema(self) -> None:
        found = int(await self._link.ask("GET", SCHEMA) or 0)
        if found > SCHEMA_VERSION:
            raise Fault(NEWER_STORE, address=self.where, found=found, known=SCHEMA_VERSION)

    async def _apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        results: list[Any] = [None] * len(ops)
        groups: dict[str, list[int]] = {}
        for at, op in enumerate(ops):
            tag = home(op)
            if tag is None:
                await self._run(groups, ops, results, now)
                groups = {}
                results[at] = await self._wide.apply(op, now)
            elif tag:
                groups.setdefault(tag, []).append(at)
            else:
                unknown = Fault(TASK_NOT_FOUND, id=getattr(op, "id", ""))
                results[at] = 0 if isinstance(op, SettleDelivery) else unknown
        await self._run(groups, ops, results, now)
        return results

    async def _run(
        self, groups: dict[str, list[int]], ops: Sequence[Op], results: list[Any], now: float
    ) -> None:
        new = [tag for tag, places in groups.items() if any(makes(ops[at]) for at in places)]
        if new:
            await self._watch.register(new)
        calls = [
            self._calls.add(tag, [self._part(ops[at], now) for at in places])
            for tag, places in groups.items()
        ]
        # All are waited for, also when one fails: what the others did is done.
        for (tag, places), answers in zip(
            groups.items(), await asyncio.gather(*calls, return_exceptions=True), strict=True
        ):
            if isinstance(answers, BaseException):
                raise answers
            for at, answer in zip(places, answers, strict=True):
                op = ops[at]
                results[at] = answer[0] if isinstance(op, Claim) else answer
                if isinstance(op, SettleDelivery):
                    self._watch.doubt_callbacks(tag)

    def _part(self, op: Op, now: float) -> Asked:
        arguments = None
        if isinstance(op, Claim):
            noted = self._wide.note(op, op.commands[0], now)
            arguments = claim(op, op.tokens, op.count, noted=noted)
        return asked(op, now, self._stamp(now), arguments)

    async def _page(self, query: TaskQuery) -> Page[Task]:
        tags = [tag_of(query.command)] if query.command else await self._watch.tags()
        return await read_page(self._link, tags, query)

    async def _stats(self, command: str | None) -> list[QueueStats]:
        tags = [tag_of(command)] if command else await self._watch.tags()
        found = [row for tag in tags for row in await read_stats(self._link, tag, self._wide.polls)]
        return sorted(found, key=lambda row: (row.tenant, row.command))

    async def _periodics(self, tenant: str | None) -> list[Periodic]:
        by_tag: dict[str, list[bytes]] = {}
        for field, tag in pairs(await self._link.ask("HGETALL", PERIODICS)):
            if tenant is None or field.startswith(f"{tenant}\0".encode()):
                by_tag.setdefault(tag.decode(), []).append(field)
        found = []
        for name, fields in by_tag.items():
            raws = await self._link.ask("HMGET", f"{PREFIX}:{{{name}}}:periodics", *fields)
            found += [periodic_of(raw) for raw in raws if raw is not None]
        return sorted(found, key=lambda each: (each.name, each.tenant))

    async def _audit(self, repair: bool, command: str) -> list[Inconsistency]:
        found: list[Inconsistency] = []
        for tag in [tag_of(command)] if command else await self._watch.tags():
            for part in AUDITS:
                position = "0"
                while True:
                    now = self._clock.now()
                    wire = ["audit", now, self._stamp(now), part, position, repair]
                    [[raw]] = await self._calls.send(
                        AUDIT, tag, [Asked(cast("Op", None), wire, now)]
                    )
                    position, rows = msgspec.msgpack.decode(raw)
                    found += inconsistencies(rows, tag)
                    if str(position) == "0":
                        break
        return found


def periodic_of(raw: bytes) -> Periodic:
    """From the hash `periodics`."""
    return msgspec.convert(_fields(Periodic, raw), Periodic)


def subscription_of(raw: bytes) -> Subscription:
    """From the hash of subscriptions."""
    return msgspec.convert(_fields(Subscription, raw), Subscription)


def _fields(kind: type[msgspec.Struct], raw: bytes) -> dict[str, Any]:
    return dict(zip(kind.__struct_fields__, msgspec.msgpack.decode(raw), strict=True))


async def _faults(work: Awaitable[_T]) -> _T:
    try:
        return await work
    except LostError as lost:
        raise lost.fault from lost
