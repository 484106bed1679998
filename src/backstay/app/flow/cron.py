"""When a job fires: five-field cron in a time zone, daylight saving time included, or each so many
seconds since the epoch, which all replicas count alike. Pure.
"""

import math
from collections.abc import Callable

from backstay.app.flow.errors import BAD_SCHEDULE
from backstay.core.cron import Cron, CronError, cron
from backstay.core.duration import format_duration
from backstay.core.errors import Fault
from backstay.lang.program import Job


def next_fire(job: Job, after: float) -> float:
    """The first fire time later than `after` (epoch seconds). Raises APP210."""
    if job.every:
        return (math.floor(after / job.every) + 1) * job.every
    return _ask(job, lambda schedule: schedule.after(after))


def last_fire(job: Job, now: float) -> float:
    """The last fire time that is not later than `now` (epoch seconds). Raises APP210."""
    if job.every:
        return math.floor(now / job.every) * job.every
    return _ask(job, lambda schedule: schedule.last(now))


def schedule_of(job: Job) -> str:
    """The schedule as a person reads it."""
    return f"every {format_duration(job.every)}" if job.every else job.schedule


def _ask(job: Job, question: Callable[[Cron], float]) -> float:
    try:
        return question(cron(job.schedule, job.timezone or "UTC"))
    except CronError as bad:
        raise Fault(
            BAD_SCHEDULE,
            job=job.name,
            schedule=job.schedule,
            timezone=job.timezone,
            problem=bad.reason,
        ) from bad
