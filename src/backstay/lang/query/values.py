"""Values of a query in the form that a database stores them in.

| type      | SQLite                    | PostgreSQL                         |
|-----------|---------------------------|------------------------------------|
| decimal   | INTEGER, scaled           | numeric                            |
| timestamp | INTEGER, UTC microseconds | timestamptz, given as text         |
| bool      | 0 and 1                   | boolean                            |
| uuid, ref | TEXT, lower case          | uuid, given as text                |

Every function raises `Unfit` for a value that is not one of the type; nothing is guessed.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeVar

from backstay.core.duration import parse_duration
from backstay.lang.program import DecimalType, EnumType, ScalarType, Type

T = TypeVar("T")
Dialect = Literal["sqlite", "postgres"]
SqlValue = str | int | float | bool | Decimal | None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INT64 = 2**63

POSTGRES_TYPES: Mapping[str, str] = {
    "string": "text",
    "text": "text",
    "enum": "text",
    "int": "bigint",
    "float": "double precision",
    "duration": "double precision",
    "bool": "boolean",
    "uuid": "uuid",
    "timestamp": "timestamptz",
    "date": "date",
    "decimal": "numeric",
}


class Unfit(ValueError):  # noqa: N818 - says "does not fit"
    """A value of another type: what was expected, what came."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


def type_word(kind: Type) -> str:
    """The name of a column's type, as `POSTGRES_TYPES` has it; others by their own name."""
    if isinstance(kind, ScalarType):
        return kind.name
    if isinstance(kind, DecimalType):
        return "decimal"
    return "enum" if isinstance(kind, EnumType) else "json"


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
    """What SQLite stores of the type, as JSON would say it."""
    if value is None:
        return None
    word = type_word(kind)
    if isinstance(kind, DecimalType):
        return format(Decimal(int(str(value))).scaleb(-kind.scale), "f")
    if word == "bool":
        return bool(value)
    if word == "timestamp":
        moment = _EPOCH + timedelta(microseconds=int(str(value)))
        return moment.isoformat().replace("+00:00", "Z")
    return value


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
        if word == "timestamp":
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC)
                micros = (moment - _EPOCH) // timedelta(microseconds=1)
                return micros if dialect == "sqlite" else moment.isoformat()
    except (ValueError, OverflowError):
        pass
    raise Unfit(word, f"'{text}'")
