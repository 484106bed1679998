"""What a value is while a program computes, in a script and behind an endpoint alike.

| type              | Python                                |
|-------------------|---------------------------------------|
| string, text, uuid, enum | `str`                          |
| int, float, bool  | the same                              |
| decimal           | `Decimal`                             |
| timestamp         | `int`, UTC microseconds (`Timestamp`) |
| duration          | `float`, seconds (`Duration`)         |
| date              | `str`, `2026-03-01` (`Date`)          |
| list, record      | `list`, `dict`                        |

Where the types of a program are known, the plain Python types are enough. A script without types
carries the classes in brackets, so that a moment is never printed as a number.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Union

from backstay.core.duration import format_duration

Value = Union[str, int, float, bool, Decimal, None, "list[Value]", "dict[str, Value]"]
Number = int | float | Decimal
Of = Callable[[Value], Value]
"""A lambda, as the functions of the library call it."""

EXACT = Context(prec=60, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Decimals are exact to 60 digits; halves go away from zero."""
MAX_BITS = 3000
"""A whole number with more is a mistake, and would take long to multiply and to print."""
MAX_EXPONENT = 1000
"""The same for decimals: the digits that `1E1000` would be written with."""
MAX_TEXT = 16_000_000
"""Characters or items that one function may make."""
MAX_NESTING = 64
"""Lists and records inside each other."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999


class Unfit(Exception):  # noqa: N818 - a sentence about values, told as a Fault by who computes
    """The values do not allow what is asked of them; the text says why."""


class Timestamp(int):
    """UTC microseconds since 1970."""


class Duration(float):
    """Seconds."""


class Date(str):
    """`2026-03-01`."""

    __slots__ = ()


def stamp(micros: int) -> Timestamp:
    """A moment between the years 1 and 9999. Raises Unfit outside."""
    # Not `in range(…)`, which walks through all of it for a number that is a subclass of int.
    if not _FIRST <= micros <= _LAST:
        raise Unfit("the time is outside of the years 1 to 9999")
    return Timestamp(micros)


def moment(micros: int) -> datetime:
    """The calendar of a moment, in UTC."""
    return _EPOCH + timedelta(microseconds=stamp(micros))


def micros(at: datetime) -> Timestamp:
    """The moment of a time with a zone."""
    return stamp((at - _EPOCH) // timedelta(microseconds=1))


def seconds(value: float) -> Duration:
    """A duration. Raises Unfit when it is no number any more."""
    return Duration(finite(float(value)))


def kind(value: Value) -> str:
    """The type's name in a message."""
    if value is None:
        return "null"
    for known, name in _KINDS:
        if isinstance(value, known):
            return name
    return "record"


_KINDS: Sequence[tuple[type, str]] = (
    (bool, "bool"),
    (Timestamp, "timestamp"),
    (Duration, "duration"),
    (Date, "date"),
    (str, "string"),
    (int, "int"),
    (float, "float"),
    (Decimal, "decimal"),
    (list, "list"),
)


def text(value: Value) -> str:
    """As `print` writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Timestamp():
            return moment(value).isoformat(timespec="microseconds")[:-6] + "Z"
        case Duration():
            return format_duration(value)
        case Decimal():
            return format(value, "f")
        case list():
            return f"[{', '.join(_quoted(each) for each in value)}]"
        case dict():
            inside = ", ".join(f"{name}: {_quoted(each)}" for name, each in value.items())
            return f"{{ {inside} }}" if inside else "{ }"
    return str(value)


def hole(value: Value) -> str:
    """As it stands in a text with holes: null is nothing there."""
    return "" if value is None else text(value)


def _quoted(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else text(value)


def size(value: Value, most: int) -> int:
    """Characters and items of a value and of what is inside; stops counting above `most`.

    Raises Unfit when lists and records are nested too deep to be walked.
    """
    found, level, depth = 0, [value], 0
    while level and found <= most:
        depth += 1
        if depth > MAX_NESTING + 1:
            raise Unfit(f"lists and records are nested deeper than {MAX_NESTING}")
        below: list[Value] = []
        for each in level:
            if isinstance(each, list | dict):
                found += len(each) + 1
                below += each.values() if isinstance(each, dict) else each
            elif isinstance(each, str):
                found += len(each)
            if found > most:
                break
        level = below
    return found


def fits(characters: int) -> None:
    """Raises Unfit before a text or list is made that nobody can keep."""
    if characters > MAX_TEXT:
        raise Unfit(f"the result would be larger than {MAX_TEXT} characters or items")


# --- numbers -----------------------------------------------------------------------------------


def is_number(value: Value) -> bool:
    """Whether it can be computed with; moments and durations have operators of their own."""
    return isinstance(value, int | float | Decimal) and not isinstance(
        value, bool | Timestamp | Duration
    )


def number(value: Value, op: str) -> Number:
    """The value if it is a number. Raises Unfit."""
    if not is_number(value):
        raise Unfit(f"'{op}' needs numbers, not {kind(value)}")
    return value  # type: ignore[return-value]


def bounded(value: Number) -> Number:
    """The number, unless it grew beyond all use. Raises Unfit."""
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, Decimal):
        return exact(value)
    if value.bit_length() > MAX_BITS:
        raise Unfit("the number is too large")
    return value


def finite(value: float) -> float:
    if value - value != 0:
        raise Unfit("the number is too large")
    return value


def exact(value: Decimal) -> Decimal:
    if not value.is_finite() or (value and abs(value.adjusted()) > MAX_EXPONENT):
        raise Unfit("the number is too large")
    return value


def as_decimal(value: Number) -> Decimal:
    """A float counts as what it is printed as."""
    return Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)


def whole(value: Value, what: str) -> int:
    """The value if it is a whole number. Raises Unfit."""
    if isinstance(value, bool | Timestamp) or not isinstance(value, int):
        raise Unfit(f"{what} is a whole number, not {kind(value)}")
    return value


# --- comparing ---------------------------------------------------------------------------------


def equal(left: Value, right: Value) -> bool:
    """Numbers by value, everything else by content; null is equal to null alone."""
    if left is None or right is None:
        return left is right
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def family(value: Value) -> str:
    """Values of one family have an order among each other; the others have none."""
    if is_number(value):
        return "number"
    found = kind(value)
    return found if found in ("string", "timestamp", "duration", "date") else ""


def ordered(values: Sequence[Value], what: str) -> None:
    """Raises Unfit unless all of them can be put in one order; nulls come first."""
    families = {family(each) for each in values if each is not None}
    if len(families) > 1 or "" in families:
        kinds = sorted({kind(each) for each in values if each is not None})
        raise Unfit(f"{what}: {' and '.join(kinds)} have no order")


def rank(value: Value) -> tuple[bool, Value]:
    """A key to sort by: null first."""
    return value is not None, value


def a_list(value: Value) -> "list[Value]":
    """The value if it is a list. Raises Unfit in the seed's words (C11)."""
    if isinstance(value, list):
        return value
    raise Unfit(f"cannot iterate over non-array type '{kind(value)}'")


def a_text(value: Value) -> str:
    """The value if it is a text. Raises Unfit."""
    if not isinstance(value, str):
        raise Unfit(f"a string is needed, not {kind(value)}")
    return value


def a_record(value: Value) -> "Mapping[str, Value]":
    """The value if it is a record. Raises Unfit."""
    if not isinstance(value, Mapping):
        raise Unfit(f"a record is needed, not {kind(value)}")
    return value


def literal(shape: str, value: str | float | bool | None) -> Value:
    """The value of a literal as the tree has it: decimals are exact, durations seconds."""
    if shape == "decimal":
        return exact(Decimal(str(value)))
    if shape == "duration":
        return seconds(float(value or 0))
    return value
