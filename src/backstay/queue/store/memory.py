"""The memory engine: the specification of the queue, for tests and simulations.

Nothing here is durable; a `World` that is handed to the next engine plays the part of the disk.
`memory_tasks` and `memory_operations` say what the operations mean, `memory_world` who may be
claimed. The other engines are compared with this one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault
from backstay.queue.errors import BAD_QUERY, NOT_SUPPORTED
from backstay.queue.model import (
    ANY_TENANT,
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
from backstay.queue.operations import Claim, Op, OpResult
from backstay.queue.store import Happened, Listener
from backstay.queue.store.memory_operations import Operations
from backstay.queue.store.memory_steps import Kept
from backstay.queue.store.memory_world import Bounds, Entry, Name, Turns, World
from backstay.queue.store.polls import Polls


class MemoryEngine:
    """Implements `store.Engine` over `world`."""

    def __init__(self, rules: Rules, clock: Clock, dice: Dice, world: World | None = None) -> None:
        self._world = World() if world is None else world
        self._clock = clock
        self._rules = rules
        self._bounds = Bounds(self._world)
        self._kept = Kept(self._world, self._bounds, Turns(), rules, dice)
        self._listeners: list[Listener] = []
        self._polls = Polls()
        self._claimable: frozenset[str] = frozenset()

    async def open(self) -> None:
        """What is left of each lease is counted anew on this process's clock: never more than its
        length, whatever the wall clock did meanwhile (decision 6)."""
        now, tick = self._clock.now(), self._clock.tick()
        for entry in self._world.within("leased"):
            left = max(0.0, entry.task.lease_until - now)
            entry.lease_tick = tick + min(left, entry.lease_seconds)
        self._claimable = frozenset(self._ready())

    def listen(self, tell: Listener) -> None:
        self._listeners.append(tell)

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        lifted = len(self._ready().keys() - self._claimable)
        operations = Operations(self._kept, now, self._clock.tick(), lifted)
        results = [operations.apply(op) for op in ops]
        for op in ops:
            if isinstance(op, Claim):
                self._polls.note(op, now)
        happened = self._happened(operations, now)
        for tell in self._listeners:
            tell(happened)
        return results

    def _happened(self, operations: Operations, now: float) -> Happened:
        """A task became claimable when it is so now and was not after the commit before: because it
        arrived, came back, is due, or because a pause or bound that held it was lifted."""
        claimable = self._ready()
        ready: dict[Name, int] = {}
        for task_id, queue in claimable.items():
            if task_id not in self._claimable:
                ready[queue] = ready.get(queue, 0) + 1
        self._claimable = frozenset(claimable)
        return Happened(
            ready=ready,
            earliest=self._due(now),
            ended=operations.ended,
            replies=frozenset(operations.replies),
            expired=operations.expired,
            deliveries=operations.deliveries,
            periodics=operations.periodics,
        )

    def _ready(self) -> Mapping[str, Name]:
        found = self._bounds.claimable(self._clock.tick())
        return {entry.task.id: entry.queue for entry in found}

    # --- reading -----------------------------------------------------------------------------

    async def due(self, now: float) -> float | None:
        due = self._due(now)
        return None if due == math.inf else due

    def _due(self, now: float) -> float:
        """Delayed tasks and retention wait for the wall clock; leases and rates for the other."""
        tick = self._clock.tick()
        wishes = [math.inf]
        for entry in self._world.entries.values():
            task = entry.task
            if task.state == "delayed":
                wishes.append(task.due_at)
            elif task.state == "leased":
                wishes.append(now + entry.lease_tick - tick)
            elif entry.ended and not entry.unacked:
                wishes.append(task.ended_at + self._rules.retention)
            elif task.state == "ready" and task.id not in self._claimable:
                wishes.append(now + self._bounds.wait(entry, tick))
        return min(wishes)

    async def task(self, tenant: str, id: str) -> Task | None:
        """`tenant` may be `ANY_TENANT`."""
        entry = self._find(tenant, id)
        return entry.task if entry else None

    async def attempts(self, tenant: str, id: str) -> list[Attempt]:
        entry = self._find(tenant, id)
        if entry is None:
            return []
        last = self._world.last_attempt(entry)
        return [*entry.history, last] if last else list(entry.history)

    def _find(self, tenant: str, id: str) -> Entry | None:
        entry = self._world.entries.get(id)
        return entry if entry and tenant in (ANY_TENANT, entry.task.tenant) else None

    async def page(self, query: TaskQuery) -> Page[Task]:
        """Raises QUEUE018 for a cursor that no page gave."""
        found = [entry for entry in self._world.entries.values() if _fits(query, entry)]
        found.sort(key=lambda entry: _place(query, entry), reverse=query.newest_first)
        if query.after:
            after = _parse_place(query.after)
            found = [
                entry
                for entry in found
                if (
                    _place(query, entry) < after
                    if query.newest_first
                    else _place(query, entry) > after
                )
            ]
        shown = found[: query.limit]
        more = len(found) > len(shown)
        place = _place(query, shown[-1]) if more else (0.0, 0)
        return Page([entry.task for entry in shown], f"{place[0]!r}:{place[1]}" if more else "")

    async def stats(self, command: str | None) -> list[QueueStats]:
        entries = self._world.within("ready", "delayed", "leased", "dead")
        queues = sorted({entry.queue for entry in entries if command in (None, entry.queue[1])})
        return [self._stats(queue, [e for e in entries if e.queue == queue]) for queue in queues]

    def _stats(self, queue: Name, entries: Sequence[Entry]) -> QueueStats:
        states = [entry.task.state for entry in entries]
        ready = [entry.task.due_at for entry in entries if entry.task.state == "ready"]
        return QueueStats(
            tenant=queue[0],
            command=queue[1],
            ready=len(ready),
            delayed=states.count("delayed"),
            in_progress=states.count("leased"),
            dead=states.count("dead"),
            oldest_ready_at=min(ready, default=0.0),
            last_claim_at=self._polls.last(*queue),
            paused=self._bounds.paused(queue),
        )

    async def policies(self, tenant: str | None) -> list[Policy]:
        found = self._world.policies
        return [
            found[name]
            for name in sorted(found)
            if tenant is None or name[0] in (tenant, ANY_TENANT)
        ]

    async def periodics(self, tenant: str | None) -> list[Periodic]:
        found = _of(tenant, self._world.periodics.values())
        return sorted(found, key=lambda each: (each.name, each.tenant))

    async def subscriptions(self, tenant: str | None) -> list[Subscription]:
        return _of(tenant, self._world.subscriptions.values())

    async def deliveries(self, tenant: str | None, *, given_up: bool, limit: int) -> list[Delivery]:
        found = _of(tenant, self._world.deliveries.values())
        found = [each for each in found if each.given_up == given_up]
        return sorted(found, key=lambda each: each.due_at)[:limit]

    async def delivery_due(self) -> float | None:
        waiting = [each.due_at for each in self._world.deliveries.values() if not each.given_up]
        return min(waiting, default=None)

    # --- the rest of a store -----------------------------------------------------------------

    async def audit(self, repair: bool, command: str = "") -> list[Inconsistency]:  # noqa: ARG002
        """Nothing is said twice here, so nothing can contradict itself."""
        return []

    async def backup(self, path: Path) -> None:  # noqa: ARG002
        """Raises QUEUE017."""
        raise Fault(
            NOT_SUPPORTED, feature="a backup of the memory engine", instead="it keeps nothing"
        )

    async def close(self) -> None:
        self._listeners.clear()


_T = TypeVar("_T", Periodic, Subscription, Delivery)


def _of(tenant: str | None, kept: Iterable[_T]) -> list[_T]:
    return [each for each in kept if tenant in (None, each.tenant)]


def _fits(query: TaskQuery, entry: Entry) -> bool:
    task = entry.task
    return (
        query.tenant in (None, task.tenant)
        and query.command in ("", task.command)
        and (not query.states or task.state in query.states)
        and (not query.reply_to or (entry.unacked and task.reply_to == query.reply_to))
        and (not query.tag or query.tag in task.tags)
        and query.key in ("", task.key)
        and query.worker in ("", task.worker)
        and task.created_at > (query.created_after or -math.inf)
        and task.created_at < (query.created_before or math.inf)
    )


def _place(query: TaskQuery, entry: Entry) -> tuple[float, int]:
    return (entry.task.ended_at if query.reply_to else 0.0), entry.seq


def _parse_place(cursor: str) -> tuple[float, int]:
    ended, _, seq = cursor.partition(":")
    try:
        return float(ended), int(seq)
    except ValueError as bad:
        rule = "the next_cursor of another page"
        raise Fault(BAD_QUERY, name="cursor", value=cursor[:40], rule=rule) from bad
