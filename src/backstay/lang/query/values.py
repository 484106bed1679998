"""Values of a query in the form that a database stores them in (`lang/columns.py` has the table).

Every function raises `Unfit` for a value that is not one of the type; nothing is guessed.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec

from backstay.core.duration import format_duration, parse_duration
from backstay.lang.columns import Dialect
from backstay.lang.program import DecimalType, EnumType, ListType, Type
from backstay.lang.query.stored import type_word

T = TypeVar("T")
SqlValue = str | int | float | bool | Decimal | None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MICROSECOND = timedelta(microseconds=1)
_INT64 = 2**63


class Unfit(ValueError):  # noqa: N818 - says "does not fit"
    """A value of another type: what was expected, what came."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


def spelled(kind: Type) -> str:
    """A type as a program writes it."""
    if isinstance(kind, DecimalType):
        return f"decimal({kind.precision}, {kind.scale})"
    if isinstance(kind, EnumType):
        return f"enum({', '.join(kind.members)})"
    return type_word(kind)


def store(kind: Type, value: object, dialect: Dialect) -> SqlValue:
    """A Python value of the type as the database takes it. Raises Unfit."""
    word = type_word(kind)
    if isinstance(kind, DecimalType):
        return _decimal(kind, value, dialect)
    if isinstance(kind, EnumType):
        if isinstance(value, str) and value in kind.members:
            return value
        raise Unfit(spelled(kind), f"'{value}'" if isinstance(value, str) else name_of(value))
    if word == "json":
        return msgspec.json.encode(value).decode()
    return _scalar(word, value, dialect)


def _scalar(word: str, value: object, dialect: Dialect) -> SqlValue:
    if word in ("string", "text"):
        return _typed(value, str, word)
    if word == "int":
        number = _typed(value, int, word)
        if not -_INT64 <= number < _INT64:
            raise Unfit("int", "a number of more than 64 bits")
        return number
    if word == "float":
        return _float(value, word)
    if word == "bool":
        flag = _typed(value, bool, word)
        return flag if dialect == "postgres" else int(flag)
    if word == "duration":
        return _duration(value)
    return _by_text(word, value, dialect)


def load(kind: Type, value: object) -> object:
    """What a driver gave for a column of the type, as JSON would say it.

    SQLite gives texts and numbers, PostgreSQL's drivers also Decimal, datetime, date, time, UUID;
    only SQLite has a decimal as a whole number, and the app's own driver reads one as text.
    """
    if value is None:
        return None
    word = type_word(kind)
    if isinstance(kind, DecimalType):
        number = Decimal(str(value))
        if isinstance(value, int):
            number = number.scaleb(-kind.scale)
        return format(number, f".{kind.scale}f")
    if word == "bool":
        return bool(value)
    if word == "int":
        return int(str(value))
    if word == "duration":
        return format_duration(float(str(value)))
    if word == "timestamp":
        return _stamp(value)
    if word == "json":
        return msgspec.json.decode(value) if isinstance(value, str | bytes) else value
    return value.isoformat() if isinstance(value, date | time) else _plain(value)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str) else str(value)


def _stamp(value: object) -> str:
    at = value
    if not isinstance(at, datetime):
        at = _EPOCH + timedelta(microseconds=int(str(value)))
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def moment(word: str, now: float, dialect: Dialect) -> SqlValue:
    """`now` in seconds of the epoch as a `timestamp` or a `date` in storage form."""
    at = _EPOCH + timedelta(microseconds=round(now * 1e6))
    if word == "date":
        return at.date().isoformat()
    return (at - _EPOCH) // _MICROSECOND if dialect == "sqlite" else at.isoformat()


def json_item(kind: Type, value: object) -> object:
    """A value as an entry of a list of this type stands in json; any plain value where the type is
    not known. Raises Unfit."""
    if not isinstance(kind, ListType):
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Decimal):
            return float(value)
        raise Unfit("a plain value", name_of(value))
    stored = store(kind.item, value, "postgres")
    if type_word(kind.item) == "timestamp":
        return _stamp(datetime.fromisoformat(str(stored)))
    if isinstance(kind.item, DecimalType):
        return format(Decimal(str(stored)), f".{kind.item.scale}f")
    return stored


def name_of(value: object) -> str:
    """The language's word for the type of a Python value."""
    words = {bool: "bool", int: "int", float: "float", str: "string", Decimal: "decimal"}
    return "null" if value is None else words.get(type(value), "list")


def _typed(value: object, wanted: type[T], word: str) -> T:
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise Unfit(word, name_of(value))
    return value


def _decimal(kind: DecimalType, value: object, dialect: Dialect) -> SqlValue:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(spelled(kind), name_of(value))
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number.adjusted() > 40:
        raise Unfit(spelled(kind), str(value))
    scaled = number.scaleb(kind.scale)
    if scaled != scaled.to_integral_value() or abs(scaled) >= _INT64:
        raise Unfit(spelled(kind), str(value))
    return int(scaled) if dialect == "sqlite" else number


def _float(value: object, word: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(word, name_of(value))
    try:
        return float(value)
    except OverflowError:
        raise Unfit(word, "a number that is too large") from None


def _duration(value: object) -> float:
    if isinstance(value, str):
        try:
            return float(parse_duration(value))
        except ValueError:
            raise Unfit("duration", f"'{value}'") from None
    return _float(value, "duration")


def _by_text(word: str, value: object, dialect: Dialect) -> SqlValue:
    text = _typed(value, str, word)
    try:
        if word == "uuid" and _UUID.fullmatch(text):
            return text.lower()
        if word == "date":
            return date.fromisoformat(text).isoformat()
        if word == "time":
            return time.fromisoformat(text).replace(tzinfo=None).isoformat()
        if word == "timestamp":
            stamp = datetime.fromisoformat(text)
            if stamp.tzinfo is not None:
                micros = (stamp - _EPOCH) // _MICROSECOND
                return micros if dialect == "sqlite" else stamp.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    raise Unfit(word, f"'{text}'")
