"""When something that repeats by the calendar is due: five fields of cron in a time zone. Pure.

Daylight saving time, as Debian's cron has it: a schedule with fixed times (neither minute nor hour
begins with `*`) fires once on each of its days, in a gap right after it and in a double hour the
first time. Any other one follows the time that passes: nothing in the gap, twice in a double hour.
"""

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from backstay.core.nearest import nearest

_FIELDS = 5
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class CronError(ValueError):
    """`part` is `cron` or `timezone`; the text says what is wrong with it."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(reason)
        self.part = part
        self.reason = reason


class Cron:
    """One schedule. Raises CronError for text that never fires, or a zone that is none."""

    def __init__(self, text: str, timezone: str = "UTC") -> None:
        self._text = _NICKNAMES.get(text.strip().lower(), text)
        self._zone = _zone(timezone)
        self._known = (0.0, 0.0)
        _check(self._text)
        self.after(0.0)

    def after(self, moment: float) -> float:
        """The first fire time later than `moment`, both in epoch seconds."""
        since, fire = self._known
        if since <= moment < fire:
            return fire
        # A double hour: what the library finds may lie in its first half, which is over.
        for found in CronSim(
            self._text, datetime.fromtimestamp(moment, UTC).astimezone(self._zone)
        ):
            fire = found.timestamp()
            if fire > moment:
                self._known = (moment, fire)
                return fire
        raise CronError("cron", "it never fires")

    def latest(self, fire: float, now: float) -> float:
        """The last fire time up to `now`, given an earlier one. A search, not a walk: whoever was
        away for a year does not count its minutes."""
        low, high = fire, now
        # `low` is a fire time, and none lies between `high` and `now`.
        while high - low >= 1.0:
            middle = (low + high) / 2
            found = self.after(middle)
            if found <= now:
                low = found
            else:
                high = middle
        return low

    def last(self, now: float) -> float:
        """The last fire time up to `now`. Raises CronError when there was none since 1970."""
        back = 60.0
        while (fire := self.after(now - back)) > now:
            if back > now:
                raise CronError("cron", "it has never fired yet")
            back *= 2
        return self.latest(fire, now)


@lru_cache(maxsize=10_000)
def cron(text: str, timezone: str = "UTC") -> Cron:
    """The same, kept: reading a schedule costs more than asking it."""
    return Cron(text, timezone)


def _check(text: str) -> None:
    count = len(text.split())
    if count != _FIELDS:
        raise CronError("cron", f"it has {count} fields instead of {_FIELDS}")
    try:
        CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as bad:
        raise CronError("cron", str(bad).lower()) from bad


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as bad:
        near = nearest(name, available_timezones())
        hint = f", did you mean {near!r}?" if near else ""
        raise CronError("timezone", f"no time zone has this name{hint}") from bad
