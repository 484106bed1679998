"""Periodic tasks: each of their times makes one task, also with several servers and after a crash.

A fire time is compared and set in the store (decision 10), and the task carries it as its
idempotency key: the same time never makes a second one, not even when the wall clock passes it
again. After a silence the latest missed time makes a task, the others do not.
"""

import asyncio
from collections.abc import Callable

import structlog

from backstay.core.clock import Clock, Ids, rfc3339
from backstay.core.cron import CronError, cron
from backstay.core.errors import Fault
from backstay.queue.model import Periodic, Task
from backstay.queue.operations import Create, Fire
from backstay.queue.store import Engine, Happened

_log = structlog.get_logger("queue.cron")

# Fire times are wall times and sleeping is monotonic: a clock that jumps is met after this long.
_LONGEST_SLEEP = 5.0
_AT_ONCE = 100
_PAUSE = 0.2
# Servers whose clocks differ by less leave each other's fire times alone.
_SKEW = 60.0


class Cron:
    """A Loop over the periodic tasks of all tenants. `created` counts what it makes, by command."""

    name = "cron"

    def __init__(
        self, engine: Engine, clock: Clock, ids: Ids, created: Callable[[str], None]
    ) -> None:
        self.wake = asyncio.Event()
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._created = created
        engine.listen(self._happened)

    async def step(self) -> float | None:
        """Fire what is due. Returns the tick of the next fire time."""
        # Read together, before the store is asked: what that takes must not be slept on top.
        now, tick = self._clock.now(), self._clock.tick()
        running = [one for one in await self._engine.periodics(None) if not one.paused]
        fires = [fire for one in running if (fire := self._fire(one, now)) is not None]
        moved = 0
        for start in range(0, len(fires), _AT_ONCE):
            part = fires[start : start + _AT_ONCE]
            moved += await self._apply(part, now)
        if fires:
            # Another server may have been first; a store that never moves must not make it spin.
            return tick if moved else tick + _PAUSE
        left = [one.next_at - now for one in running if one.next_at > now]
        return tick + min([*left, _LONGEST_SLEEP])

    def _fire(self, one: Periodic, now: float) -> Fire | None:
        """What has to happen with it now, if anything."""
        try:
            schedule = cron(one.cron, one.timezone)
            following = schedule.after(now)
        except CronError as bad:
            # It was checked when it was set: the time zone database has changed since.
            _log.error("periodic task cannot fire", name=one.name, part=bad.part, reason=bad.reason)
            return None
        if one.next_at > now:
            # A wall clock that was wrong and is right again has left the time too far away. What a
            # server whose clock is a little ahead has stored is not meant.
            if one.next_at <= following or one.next_at <= schedule.after(now + _SKEW):
                return None
            return Fire(one.tenant, one.name, one.next_at, following, None)
        latest = schedule.latest(one.next_at, now)
        if latest > one.next_at:
            # Missed ones are passed over first, so that `last_at` tells the time that made a task.
            return Fire(one.tenant, one.name, one.next_at, latest, None)
        return Fire(one.tenant, one.name, latest, following, self._task(one, latest))

    def _task(self, one: Periodic, at: float) -> Create:
        return Create(
            id=self._ids.new(),
            tenant=one.tenant,
            command=one.command,
            payload=one.payload,
            priority=one.priority,
            max_attempts=one.max_attempts,
            # What it is made from may be changed between two passes of the same time: no conflict.
            idempotency_key=f"periodic:{one.name}:{rfc3339(at)}",
            fingerprint="periodic",
            webhook=one.webhook,
            tags=one.tags,
            key=one.key,
        )

    async def _apply(self, fires: list[Fire], now: float) -> int:
        """How many moved on."""
        results = await self._engine.apply(fires, now)
        for fire, result in zip(fires, results, strict=True):
            if isinstance(result, Fault):
                await self._pass_over(fire, result, now)
            elif isinstance(result, Task):
                self._tell(fire, result)
        return sum(result != 0 for result in results)

    async def _pass_over(self, fire: Fire, refused: Fault, now: float) -> None:
        """A time whose task is refused must not hold up the times after it."""
        _log.warning("periodic task refused", name=fire.name, error=refused.message)
        await self._engine.apply([Fire(fire.tenant, fire.name, fire.at, fire.next_at, None)], now)

    def _tell(self, fire: Fire, made: Task) -> None:
        self._created(made.command)
        _log.info(
            "periodic task fired",
            name=fire.name,
            command=made.command,
            task_id=made.id,
            at=rfc3339(fire.at),
        )

    def _happened(self, happened: Happened) -> None:
        if happened.periodics:
            self.wake.set()
