"""Periodic tasks: what is set, what is shown of it. `loops.cron` fires them."""

from collections.abc import Sequence

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.core.cron import CronError, cron
from backstay.core.errors import Fault
from backstay.queue.errors import BAD_SCHEDULE, PERIODIC_NOT_FOUND
from backstay.queue.model import ANY_TENANT, Periodic
from backstay.queue.operations import SetPeriodic
from backstay.queue.store import Engine

_log = structlog.get_logger("queue.periodics")


class Periodics:
    """The use cases. A tenant of `*` reads those of all; what is set has one tenant."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def page(self, tenant: str) -> Sequence[Periodic]:
        """By name."""
        return await self._engine.periodics(None if tenant == ANY_TENANT else tenant)

    async def one(self, tenant: str, name: str) -> Periodic:
        """Raises QUEUE061."""
        found = await self._find(tenant, name)
        if found is None:
            raise Fault(PERIODIC_NOT_FOUND, name=name)
        return found

    async def put(self, wanted: Periodic) -> Periodic:
        """Create or replace it. Raises QUEUE060 for a schedule that is none.

        Its next time is later than now: what came while it was paused, or under another schedule,
        is not made up for.
        """
        now = self._clock.now()
        try:
            next_at = cron(wanted.cron, wanted.timezone).after(now)
        except CronError as bad:
            value = wanted.cron if bad.part == "cron" else wanted.timezone
            raise Fault(BAD_SCHEDULE, field=bad.part, value=value, reason=bad.reason) from bad
        known = await self._find(wanted.tenant, wanted.name)
        if known is not None and _same_times(known, wanted):
            # It may be due at this moment, and not yet fired.
            next_at = known.next_at
        last_at = known.last_at if known else 0.0
        kept = msgspec.structs.replace(wanted, next_at=next_at, last_at=last_at)
        await self._engine.apply([SetPeriodic(kept)], now)
        _log.info("periodic task set", tenant=kept.tenant, name=kept.name, cron=kept.cron)
        return kept

    async def pause(self, tenant: str, name: str, *, paused: bool) -> Periodic:
        """Raises QUEUE061."""
        known = await self.one(tenant, name)
        return await self.put(msgspec.structs.replace(known, paused=paused))

    async def remove(self, tenant: str, name: str) -> Periodic:
        """What it was; tasks it has made stay. Raises QUEUE061."""
        known = await self.one(tenant, name)
        await self._engine.apply([SetPeriodic(known, remove=True)], self._clock.now())
        _log.info("periodic task removed", tenant=known.tenant, name=name)
        return known

    def coming(self, one: Periodic, count: int) -> list[float]:
        """Its next fire times, none while it is paused."""
        if one.paused:
            return []
        try:
            schedule = cron(one.cron, one.timezone)
            times = [one.next_at]
            while len(times) < count:
                times.append(schedule.after(times[-1]))
        except CronError:
            # Its zone is no longer known: the loop says so in the log, here it shows as "never".
            return []
        return times

    async def _find(self, tenant: str, name: str) -> Periodic | None:
        found = [one for one in await self.page(tenant) if one.name == name]
        return found[0] if found else None


def _same_times(known: Periodic, wanted: Periodic) -> bool:
    paused = known.paused or wanted.paused
    return not paused and (known.cron, known.timezone) == (wanted.cron, wanted.timezone)
