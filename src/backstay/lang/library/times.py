"""Functions of moments, dates and durations. Calendars are UTC."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from backstay.core.duration import parse_duration
from backstay.lang.library import values as v
from backstay.lang.library.model import Function, function
from backstay.lang.library.operators import compute
from backstay.lang.library.values import Date, Timestamp, Unfit, Value, a_text

_DAY = 86_400_000_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_SIGNS = {
    "YYYY": "%04d",
    "MM": "%02d",
    "DD": "%02d",
    "HH": "%02d",
    "mm": "%02d",
    "ss": "%02d",
}
_PATTERN = re.compile("|".join(_SIGNS))


def _calendar(value: Value) -> datetime:
    """A timestamp is a number of microseconds; a date is a text and means its midnight."""
    if isinstance(value, str):
        found = _parse_date(value)
        return datetime.combine(date.fromisoformat(str(found)), time(tzinfo=UTC))
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"a timestamp or a date is needed, not {v.kind(value)}")
    return v.moment(value)


def _format(value: Value, pattern: Value) -> Value:
    at = _calendar(value)
    parts = {
        "YYYY": at.year,
        "MM": at.month,
        "DD": at.day,
        "HH": at.hour,
        "mm": at.minute,
        "ss": at.second,
    }
    return _PATTERN.sub(lambda found: _SIGNS[found.group()] % parts[found.group()], a_text(pattern))


def _parse_date(text: Value) -> Value:
    try:
        if _DATE.fullmatch(a_text(text)):
            return Date(date.fromisoformat(a_text(text)).isoformat())
    except ValueError:
        pass
    raise Unfit(f"'{a_text(text)[:40]}' is no date such as 2026-03-01")


def _parse_timestamp(text: Value) -> Value:
    try:
        if _STAMP.fullmatch(a_text(text)):
            return v.micros(datetime.fromisoformat(a_text(text).upper()))
    except (ValueError, OverflowError):
        pass
    raise Unfit(f"'{a_text(text)[:40]}' is no time such as 2026-03-01T12:00:00Z")


def _add_days(value: Value, days: Value) -> Value:
    count = v.whole(days, "the number of days")
    if isinstance(value, str):
        try:
            return Date((_calendar(value).date() + timedelta(days=count)).isoformat())
        except OverflowError as bad:
            raise Unfit("the date is outside of the years 1 to 9999") from bad
    return v.stamp(_micros(value) + count * _DAY)


def _add_hours(value: Value, hours: Value) -> Value:
    count = compute("*", v.number(hours, "add_hours"), 3_600_000_000)
    return v.stamp(_micros(value) + round(count))


def _micros(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"a timestamp is needed, not {v.kind(value)}")
    return value


def _diff_days(later: Value, earlier: Value) -> Value:
    """Whole days, cut towards zero."""
    return int((_calendar(later) - _calendar(earlier)) / timedelta(days=1))


def _part(read: Callable[[datetime], int]) -> Callable[[Value], Value]:
    return lambda value: read(_calendar(value))


def _duration(text: Value) -> Value:
    try:
        return v.seconds(parse_duration(a_text(text)))
    except ValueError as bad:
        raise Unfit(f"'{a_text(text)[:40]}' is no duration such as 1h30m") from bad


def _seconds(value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"a duration is needed, not {v.kind(value)}")
    return float(value)


_MOMENT = "at: M"

TIMES: tuple[Function, ...] = (
    function("now", "", "timestamp", "This moment.", world="clock"),
    function("today", "", "date", "The day of this moment.", world="clock"),
    function(
        "format_date",
        "at: M, pattern: string",
        "string",
        "`YYYY MM DD HH mm ss` in the pattern are filled in.",
        _format,
    ),
    function("parse_date", "text: string", "date", "Of a text such as `2026-03-01`.", _parse_date),
    function(
        "parse_timestamp",
        "text: string",
        "timestamp",
        "Of a text such as `2026-03-01T12:00:00Z`.",
        _parse_timestamp,
    ),
    function("add_days", "at: M, days: int", "M", "So many days later, or earlier.", _add_days),
    function(
        "add_hours", "at: timestamp, hours: N", "timestamp", "So many hours later.", _add_hours
    ),
    function(
        "diff_days",
        "later: M, earlier: M",
        "int",
        "Whole days between the two; negative when the second is later.",
        _diff_days,
    ),
    function("year", _MOMENT, "int", "Its year.", _part(lambda at: at.year)),
    function("month", _MOMENT, "int", "Its month, 1 to 12.", _part(lambda at: at.month)),
    function("day", _MOMENT, "int", "Its day of the month.", _part(lambda at: at.day)),
    function("hour", _MOMENT, "int", "Its hour, 0 to 23.", _part(lambda at: at.hour)),
    function("minute", _MOMENT, "int", "Its minute.", _part(lambda at: at.minute)),
    function(
        "weekday", _MOMENT, "int", "Monday is 1, Sunday 7.", _part(lambda at: at.isoweekday())
    ),
    function("duration", "text: string", "duration", "Of a text such as `1h30m`.", _duration),
    function("seconds", "of: duration", "float", "The seconds of a duration.", _seconds),
)


def day_of(now: Timestamp) -> Date:
    """The date of a moment, for `today`."""
    return Date(v.moment(now).date().isoformat())
