"""The scalar types on all their ways (see the table in values.py)."""

# ruff: noqa: TRY004 - one exception says "does not fit", whatever does not

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal

import msgspec

from backstay.app.texts import (
    INT64,
    TIMESTAMPS,
    clean_text,
    describe,
    parse_stamp,
    plain,
    quoted,
    stamp_text,
)
from backstay.core.duration import format_duration, parse_duration

SqlValue = int | float | str | bytes | None
Change = Callable[[object], object]
_DEEPEST = 64
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?", re.ASCII)


class Codec(msgspec.Struct, frozen=True):
    """All changes of one type. What a database holds is the same for both, but for decimals.

    `store` Python → database · `load` database → Python · `shape` Python → JSON value ·
    `emit` database → JSON value in one go, None where they are the same ·
    `parse` JSON value → Python · `read` text of a query or path → Python ·
    `fit` any value the program computed → Python value of this type.
    """

    store: Callable[[object], SqlValue]
    load: Change
    shape: Change
    emit: Change | None
    parse: Change
    read: Callable[[str], object]
    fit: Change


def same(value: object) -> object:
    """The change that changes nothing."""
    return value


def nullable(change: Callable[[object], object]) -> Callable[[object], object]:
    """Null to null, everything else by `change`."""
    return lambda value: None if value is None else change(value)


def storing(change: Callable[[object], SqlValue]) -> Callable[[object], SqlValue]:
    """As `nullable`, towards the database."""
    return lambda value: None if value is None else change(value)


def _int(value: object) -> int:
    if isinstance(value, Decimal | float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {describe(value)}")
    if not -INT64 <= value < INT64:
        raise ValueError("expected a whole number of at most 64 bits")
    return value


def _int_read(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueError(f"expected a whole number, got {quoted(text)}")
    return _int(int(text))


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"expected a number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("expected a number that is finite")
    # No negative zero: SQLite keeps a zero without its sign, PostgreSQL with it.
    return number + 0.0


def _float_read(text: str) -> float:
    try:
        return _float(float(text))
    except ValueError:
        raise ValueError(f"expected a number, got {quoted(text)}") from None


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {describe(value)}")
    return value


def _bool_read(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"expected true or false, got {quoted(text)}")
    return text == "true"


def _uuid(value: object) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError(f"expected a uuid, got {describe(value)}")
    return value.lower()


def _stamp(value: object) -> int:
    if isinstance(value, str):
        return parse_stamp(value)
    # A range walks through all it has for a number of another class, such as Timestamp.
    if isinstance(value, int) and not isinstance(value, bool) and int(value) in TIMESTAMPS:
        return int(value)
    raise ValueError(f"expected a time like 2026-03-01T12:00:00Z, got {describe(value)}")


def _stamp_parse(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError(f"expected a time like 2026-03-01T12:00:00Z, got {describe(value)}")
    return parse_stamp(value)


def _date(value: object) -> str:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError(f"expected a date like 2026-03-01, got {describe(value)}")


def _time(value: object) -> str:
    """`09:30:00`, with six digits more where there is a fraction."""
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            return time.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError(f"expected a time of day like 09:30:00, got {describe(value)}")


def _duration(value: object) -> float:
    return _duration_parse(value) if isinstance(value, str) else _float(value)


def _duration_parse(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"expected a duration like 1m30s, got {describe(value)}")
    try:
        return _float(parse_duration(value))
    except ValueError:
        raise ValueError(f"expected a duration like 1m30s, got {quoted(value)}") from None


def _json_text(value: object) -> str:
    return msgspec.json.encode(plain(value)).decode()


def _free(value: object, depth: int = 0) -> object:
    """Free-form JSON as parsed: numbers with a point are floats again, texts are clean."""
    if depth > _DEEPEST:
        raise ValueError(f"must not be nested more than {_DEEPEST} deep")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Decimal):
        return _float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _int(value)
    if isinstance(value, Mapping):
        return {clean_text(name): _free(item, depth + 1) for name, item in value.items()}
    return [_free(item, depth + 1) for item in value] if isinstance(value, list | tuple) else value


def free_read(text: str) -> object:
    try:
        return _free(msgspec.json.decode(text))
    except msgspec.DecodeError:
        raise ValueError(f"expected JSON, got {quoted(text)}") from None


def _loaded_json(value: object) -> object:
    return msgspec.json.decode(str(value))


def raw_json(value: object) -> object:
    return msgspec.Raw(str(value).encode())


def text_codec(check: Callable[[object], str]) -> Codec:
    return Codec(
        store=storing(check),
        load=same,
        shape=same,
        emit=None,
        parse=nullable(check),
        read=check,
        fit=nullable(check),
    )


def _shape_stamp(value: object) -> object:
    return stamp_text(_stamp(value))


def _shape_duration(value: object) -> object:
    return format_duration(_float(value))


SCALARS: Mapping[str, Codec] = {
    "string": text_codec(clean_text),
    "text": text_codec(clean_text),
    "uuid": text_codec(_uuid),
    "date": text_codec(_date),
    "time": text_codec(_time),
    "int": Codec(storing(_int), same, same, None, nullable(_int), _int_read, nullable(_int)),
    "float": Codec(
        storing(_float), same, same, None, nullable(_float), _float_read, nullable(_float)
    ),
    "bool": Codec(
        store=storing(_bool),
        load=nullable(bool),
        shape=same,
        emit=nullable(bool),
        parse=nullable(_bool),
        read=_bool_read,
        fit=nullable(_bool),
    ),
    "timestamp": Codec(
        store=storing(_stamp),
        load=same,
        shape=nullable(_shape_stamp),
        emit=nullable(_shape_stamp),
        parse=nullable(_stamp_parse),
        read=parse_stamp,
        fit=nullable(_stamp),
    ),
    "duration": Codec(
        store=storing(_duration),
        load=same,
        shape=nullable(_shape_duration),
        emit=nullable(_shape_duration),
        parse=nullable(_duration_parse),
        read=_duration_parse,
        fit=nullable(_duration),
    ),
    "json": Codec(
        store=storing(_json_text),
        load=nullable(_loaded_json),
        shape=plain,
        emit=nullable(raw_json),
        parse=_free,
        read=free_read,
        fit=same,
    ),
}
