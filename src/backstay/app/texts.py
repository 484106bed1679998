"""Small truths about single values: texts, times and numbers, exact and in words."""

# ruff: noqa: TRY004 - one exception says "does not fit", whatever does not

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

import msgspec

from backstay.core.duration import format_duration
from backstay.lang.library.values import Date, Duration, Timestamp

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Decimal arithmetic of the runtime: halves are rounded away from zero, in SQL as well."""
INT64 = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - see stamp_text
_MICROSECOND = timedelta(microseconds=1)
TIMESTAMPS = range(-62_135_596_800_000_000, 253_402_300_800_000_000)  # the years 1 to 9999
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def micros(epoch: float) -> int:
    """Epoch seconds as the runtime's timestamp."""
    return round(epoch * 1_000_000)


def stamp_text(stamp: int) -> str:
    """RFC 3339, UTC, microseconds, `Z`."""
    # Without a zone: to leave out what it would add takes as long as all the rest.
    return (_NAIVE + timedelta(0, 0, stamp)).isoformat("T", "microseconds") + "Z"


def parse_stamp(text: str) -> int:
    """Microseconds of an RFC 3339 time. Raises ValueError with an example."""
    if _STAMP.fullmatch(text):
        try:
            stamp = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            stamp = TIMESTAMPS.stop
        if stamp in TIMESTAMPS:
            return stamp
    raise ValueError(f"expected a time like 2026-03-01T12:00:00Z, got {quoted(text)}")


def describe(value: object) -> str:
    """The JSON kind of a value, for messages."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    return str(value)[:40]


def as_text(shaped: object) -> str:
    """A shaped value inside a text with holes."""
    if isinstance(shaped, str):
        return shaped
    return msgspec.json.encode(shaped).decode()


def clean_text(value: object) -> str:
    """A string that every database can hold: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {describe(value)}")
    if "\0" in value:
        raise ValueError("must not contain the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half a surrogate pair") from None
    return value


def plain(value: object) -> object:
    """Decimals and moments inside free-form values become strings, as everywhere in JSON."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Timestamp):
        return stamp_text(value)
    if isinstance(value, Duration):
        return format_duration(value)
    if isinstance(value, Date):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def to_decimal(value: object) -> Decimal:
    """A finite Decimal of a number or of a number's text. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"expected a decimal number, got {describe(value)}")
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?", value):
        raise ValueError(f'expected a decimal number like "12.50", got {describe(value)}')
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError("expected a decimal number that is finite")
    return number


def scaled_text(scaled: int, scale: int) -> str:
    """`1250` at scale 2 is `12.50`."""
    if scale == 0:
        return str(scaled)
    whole, part = divmod(abs(scaled), 10**scale)
    return f"{'-' if scaled < 0 else ''}{whole}.{part:0{scale}d}"


def quoted(text: str) -> str:
    """At most 40 characters of a text, in quotes, safe to print."""
    short = text if len(text) <= 40 else text[:37] + "…"
    return '"' + short.encode("utf-8", "replace").decode() + '"'
