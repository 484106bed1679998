"""Persistence of the queue behind one Protocol; one file per engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from backstay.queue.model import (
    Inconsistency,
    Op,
    OpResult,
    Page,
    QueueStats,
    Task,
    TaskQuery,
)


class Expired(msgspec.Struct, frozen=True):
    """A lease that ended without a result; `dead` when that was the last delivery."""

    id: str
    command: str
    worker: str
    attempts: int
    dead: bool


class Happened(msgspec.Struct, frozen=True):
    """What a commit changed for those who wait. An engine whose store others write to, too,
    tells of their commits as well, as far as it can see them.

    `ready` counts tasks that became claimable per (tenant, command); `earliest` is the wall time
    of the first thing this commit put off; `ended` are task ids, `replies` names of `reply_to`.
    """

    ready: Mapping[tuple[str, str], int] = {}
    earliest: float = float("inf")
    ended: Sequence[str] = ()
    replies: frozenset[str] = frozenset()
    expired: Sequence[Expired] = ()


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

    async def audit(self, repair: bool) -> list[Inconsistency]:
        """What contradicts itself in the store; mended when `repair`."""
        ...

    async def close(self) -> None:
        """Idempotent."""
        ...
