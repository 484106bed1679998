"""Persistence of the queue behind one Protocol; one file per engine."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from backstay.core.sqlite import Stats
from backstay.queue.model import (
    Attempt,
    Delivery,
    Inconsistency,
    Page,
    Periodic,
    Policy,
    QueueStats,
    State,
    Subscription,
    Task,
    TaskQuery,
)
from backstay.queue.operations import Op, OpResult


class Expired(msgspec.Struct, frozen=True):
    """A lease that ended without a result, and what its task became: ready, delayed or dead."""

    id: str
    command: str
    worker: str
    attempts: int
    state: State


class Happened(msgspec.Struct, frozen=True):
    """What a commit changed for those who wait. An engine whose store others write to, too,
    tells of their commits as well, as far as it can see them.

    `ready` counts tasks that became claimable per (tenant, command); `earliest` is the wall time
    of the first thing this commit put off; `ended` are task ids, `replies` names of `reply_to`.
    `deliveries` counts result callbacks it stored; `periodics` says that one was set.
    """

    ready: Mapping[tuple[str, str], int] = {}
    earliest: float = float("inf")
    ended: Sequence[str] = ()
    replies: frozenset[str] = frozenset()
    expired: Sequence[Expired] = ()
    deliveries: int = 0
    periodics: bool = False


Listener = Callable[[Happened], None]


class Engine(Protocol):
    """The door to the store. Batch first: a single operation is a batch of one."""

    async def open(self) -> None:
        """Ready and migrated, or a Fault that names the store's address."""
        ...

    def listen(self, tell: Listener) -> None:
        """Call `tell` on the event loop after each commit that changed something for a waiter."""
        ...

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        """ONE durable commit. An operation fails alone; a failing store raises for all."""
        ...

    async def due(self, now: float) -> float | None:
        """Wall time at which `Move` has work next; None when nothing waits for time."""
        ...

    async def task(self, tenant: str, id: str) -> Task | None:
        """One task of that tenant."""
        ...

    async def page(self, query: TaskQuery) -> Page[Task]:
        """Tasks in order of arrival, or of their end where `reply_to` is asked for."""
        ...

    async def stats(self, command: str | None) -> list[QueueStats]:
        """Depth and age per (tenant, command)."""
        ...

    async def attempts(self, tenant: str, id: str) -> list[Attempt]:
        """The deliveries of a task, first to last; empty when it is not there."""
        ...

    async def policies(self, tenant: str | None) -> list[Policy]:
        """Of that tenant and those of `*`; None: all."""
        ...

    async def periodics(self, tenant: str | None) -> list[Periodic]:
        """By name; None: those of all tenants."""
        ...

    async def subscriptions(self, tenant: str | None) -> list[Subscription]:
        """Living and ended ones that were not yet deleted; None: those of all tenants."""
        ...

    async def deliveries(self, tenant: str | None, *, given_up: bool, limit: int) -> list[Delivery]:
        """Result callbacks that wait, or that were given up, oldest first."""
        ...

    async def delivery_due(self) -> float | None:
        """Wall time at which `TakeDeliveries` has work next; None when nothing waits."""
        ...

    async def audit(self, repair: bool, command: str = "") -> list[Inconsistency]:
        """What contradicts itself in the store, of one command (empty: all); `repair` mends it."""
        ...

    async def backup(self, path: Path) -> None:
        """A consistent copy while others write. A Fault where the store has its own tools."""
        ...

    async def close(self) -> None:
        """Idempotent."""
        ...


class ServedEngine(Engine, Protocol):
    """What a server wants of its engine besides: to show where and how it is."""

    @property
    def where(self) -> str:
        """The file or the address, for people."""
        ...

    async def touch(self) -> None:
        """A real, durable, tiny write: the only honest answer to "is it writable?"."""
        ...

    def write_stats(self) -> Stats:
        """Totals since opening, for metrics."""
        ...

    def polled(self) -> dict[str, float]:
        """Wall time of the last claim per command; "" is a claim of any."""
        ...

    def doubts(self) -> Sequence[str]:
        """What of the store's own settings can cost accepted tasks; empty is well."""
        ...
