"""Persistence of the queue behind one Protocol; one file per engine."""

from collections.abc import Sequence
from typing import Protocol

from backstay.queue.model import (
    Inconsistency,
    Op,
    OpResult,
    Page,
    QueueStats,
    Task,
    TaskQuery,
)


class Engine(Protocol):
    """The door to the store. Batch first: a single operation is a batch of one."""

    async def open(self) -> None:
        """Ready and migrated, or a Fault that names the store's address."""
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
