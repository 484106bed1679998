"""When a job fires: five-field cron in a time zone, daylight saving time included. Pure."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from backstay.app.flow.errors import BAD_SCHEDULE
from backstay.core.errors import Fault
from backstay.lang.program import Job


def next_fire(job: Job, after: float) -> float:
    """The first fire time later than `after` (epoch seconds). Raises APP210."""
    return _fire(job, after, back=False)


def last_fire(job: Job, now: float) -> float:
    """The last fire time that is not later than `now` (epoch seconds). Raises APP210."""
    fire = _fire(job, now, back=True)
    exact = _fire(job, now - 1.0, back=False)
    return exact if exact <= now else fire


def _fire(job: Job, when: float, *, back: bool) -> float:
    try:
        zone = ZoneInfo(job.timezone or "UTC")
        moment = datetime.fromtimestamp(when, UTC).astimezone(zone)
        found: datetime = next(CronSim(job.schedule, moment, reverse=back))
        return found.timestamp()
    except (CronSimError, ZoneInfoNotFoundError, StopIteration, ValueError) as bad:
        raise Fault(
            BAD_SCHEDULE,
            job=job.name,
            schedule=job.schedule,
            timezone=job.timezone,
            problem=str(bad) or "it never fires",
        ) from bad
