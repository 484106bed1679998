"""One wish over many tasks: pages of ids and batches of single operations (decision 15).

Each task is judged in its own commit piece, so whatever moved meanwhile is passed over, and a crash
in the middle leaves some done and the rest untouched; asking again goes on.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.queue.model import ANY_TENANT, Inconsistency, State, Task, TaskQuery
from backstay.queue.operations import Cancel, Op, Purge, Redrive
from backstay.queue.store import Engine

_log = structlog.get_logger("queue")

MOST = 10_000
_BATCH = 200


class Done(msgspec.Struct, frozen=True):
    """How many were changed; `more` when the limit left some."""

    count: int
    more: bool = False


class Bulk:
    """The use cases over one engine."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def cancel(self, query: TaskQuery, reason: str, limit: int) -> Done:
        """End what `query` finds, oldest first."""
        done = await self._each(query, limit, lambda task, _: Cancel(task.tenant, task.id, reason))
        _log.info("tasks cancelled", command=query.command, count=done.count, reason=reason)
        return done

    async def redrive(self, query: TaskQuery, rate: float, limit: int) -> Done:
        """Once more from the beginning; with a `rate` (tasks a second) due one after the other."""
        began = self._clock.now()

        def again(task: Task, nth: int) -> Op:
            return Redrive(task.tenant, task.id, began + nth / rate if rate and nth else 0.0)

        done = await self._each(query, limit, again)
        _log.info("tasks redriven", command=query.command, count=done.count, rate=rate)
        return done

    async def purge(
        self, tenant: str, command: str, states: tuple[State, ...], before: float, limit: int
    ) -> Done:
        """Delete ended tasks of `command` (empty: all) and all that was kept with them."""
        wanted = min(limit or MOST, MOST)
        count = 0
        while count < wanted:
            part = min(_BATCH, wanted - count)
            [deleted] = await self._engine.apply(
                [Purge(tenant, command, before, part, states)], self._clock.now()
            )
            if not isinstance(deleted, int) or deleted == 0:
                return Done(count)
            count += deleted
            if deleted < part:
                return Done(count)
        return Done(count, more=True)

    async def cleanup(
        self, tenant: str, command: str, before: float, limit: int
    ) -> tuple[int, list[Inconsistency]]:
        """Delete up to `limit` tasks that ended before the wall time `before`; for those who serve
        all tenants mend the store, too. Gives how many were deleted and what was mended (Q30)."""
        [deleted] = await self._engine.apply(
            [Purge(tenant, command, before, limit)], self._clock.now()
        )
        # Of everything: an entry that belongs to no task belongs to no command either.
        mended = await self._engine.audit(True) if tenant == ANY_TENANT else []
        _log.info("cleaned up", command=command, deleted=deleted, repaired=len(mended))
        return cast("int", deleted), mended

    async def audit(self, repair: bool, command: str) -> list[Inconsistency]:
        """What contradicts itself in the store; mended when `repair`."""
        found = await self._engine.audit(repair, command)
        for one in found:
            _log.warning("inconsistency", kind=one.kind, id=one.id, says=one.says, mended=repair)
        return found

    async def backup(self, path: Path) -> int:
        """A consistent copy at `path`; gives its bytes."""
        await asyncio.to_thread(path.parent.mkdir, 0o700, parents=True, exist_ok=True)
        await self._engine.backup(path)
        size = (await asyncio.to_thread(path.stat)).st_size
        _log.info("backup made", path=str(path), bytes=size)
        return size

    async def _each(self, query: TaskQuery, limit: int, op: Callable[[Task, int], Op]) -> Done:
        wanted = min(limit or MOST, MOST)
        count, after = 0, ""
        while True:
            left = wanted - count
            page = await self._engine.page(
                msgspec.structs.replace(query, after=after, limit=min(_BATCH, left))
            )
            ops = [op(task, count + n) for n, task in enumerate(page.items)]
            results = await self._engine.apply(ops, self._clock.now()) if ops else []
            count += sum(isinstance(result, Task) for result in results)
            after = page.next
            if not after:
                return Done(count)
            if count >= wanted:
                return Done(count, more=True)
