"""One place for what a value is in the language, in Python, in SQLite and in JSON (decision 7).

| type        | Python             | SQLite                    | JSON                    |
|-------------|--------------------|---------------------------|-------------------------|
| decimal     | `Decimal`          | INTEGER, scaled           | string                  |
| timestamp   | `int` microseconds | INTEGER, UTC microseconds | RFC 3339 with `Z`       |
| duration    | `float` seconds    | REAL                      | Go's text, `1m30s`      |
| date        | `str`              | TEXT `2026-03-01`         | the same                |
| bool        | `bool`             | INTEGER 0 or 1            | true, false             |
| uuid, ref   | `str`, lower case  | TEXT                      | the same                |
| json, lists, records | plain JSON values | TEXT holding JSON  | itself                  |

Every function here takes None to None; none of them ever guesses: what does not fit is a
ValueError whose text says what was expected.
"""

# ruff: noqa: TRY004 - one exception says "does not fit", whatever does not

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

import msgspec

from backstay.core.duration import format_duration, parse_duration
from backstay.lang.program import (
    DecimalType,
    EnumType,
    ListType,
    ManyType,
    Program,
    RecordType,
    RefType,
    RowType,
    ScalarType,
    Type,
    UnknownType,
)

SqlValue = int | float | str | bytes | None
Change = Callable[[object], object]

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Decimal arithmetic of the runtime: halves are rounded away from zero, in SQL as well."""

INT64 = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIMESTAMPS = range(-62_135_596_800_000_000, 253_402_300_800_000_000)  # the years 1 to 9999
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class Codec(msgspec.Struct, frozen=True):
    """All changes of one type. `column` is the SQLite type.

    `store` Python → SQLite · `load` SQLite → Python · `shape` Python → JSON value ·
    `emit` SQLite → JSON value in one go, None where they are the same ·
    `parse` JSON value → Python · `read` text of a query or path → Python ·
    `fit` any value the program computed → Python value of this type.
    """

    column: str
    store: Callable[[object], SqlValue]
    load: Change
    shape: Change
    emit: Change | None
    parse: Change
    read: Callable[[str], object]
    fit: Change


def codec(program: Program, kind: Type) -> Codec:
    """The changes of `kind`; a reference has those of its target's key."""
    match kind:
        case ScalarType(name=name):
            return _SCALARS[name]
        case DecimalType():
            return _decimal(kind)
        case EnumType(members=members):
            return _enum(members)
        case RefType(entity=entity):
            return _reference(program, entity)
        case RowType() | ManyType() | RecordType() | ListType():
            return _composite(program, kind)
        case UnknownType():
            return _SCALARS["json"]


def micros(epoch: float) -> int:
    """Epoch seconds as the runtime's timestamp."""
    return round(epoch * 1_000_000)


def stamp_text(stamp: int) -> str:
    """RFC 3339, UTC, microseconds, `Z`."""
    moment = _EPOCH + timedelta(microseconds=stamp)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_stamp(text: str) -> int:
    """Microseconds of an RFC 3339 time. Raises ValueError with an example."""
    if _STAMP.fullmatch(text):
        try:
            return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"expected a time like 2026-03-01T12:00:00Z, got {_quoted(text)}")


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
        return _quoted(value)
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


def _quoted(text: str) -> str:
    short = text if len(text) <= 40 else text[:37] + "…"
    return '"' + short.encode("utf-8", "replace").decode() + '"'


def same(value: object) -> object:
    """The change that changes nothing."""
    return value


def _opt(change: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else change(value)


def _store(change: Callable[[object], SqlValue]) -> Callable[[object], SqlValue]:
    return lambda value: None if value is None else change(value)


# --- scalars -----------------------------------------------------------------------------------


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
        raise ValueError(f"expected a whole number, got {_quoted(text)}")
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
    return number


def _float_read(text: str) -> float:
    try:
        return _float(float(text))
    except ValueError:
        raise ValueError(f"expected a number, got {_quoted(text)}") from None


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {describe(value)}")
    return value


def _bool_read(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"expected true or false, got {_quoted(text)}")
    return text == "true"


def _uuid(value: object) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError(f"expected a uuid, got {describe(value)}")
    return value.lower()


def _stamp(value: object) -> int:
    if isinstance(value, str):
        return parse_stamp(value)
    if isinstance(value, int) and not isinstance(value, bool) and value in _TIMESTAMPS:
        return value
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


def _duration(value: object) -> float:
    return _duration_parse(value) if isinstance(value, str) else _float(value)


def _duration_parse(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"expected a duration like 1m30s, got {describe(value)}")
    try:
        return _float(parse_duration(value))
    except ValueError:
        raise ValueError(f"expected a duration like 1m30s, got {_quoted(value)}") from None


def _json_text(value: object) -> str:
    return msgspec.json.encode(plain(value)).decode()


def plain(value: object) -> object:
    """Decimals inside free-form values become strings, as everywhere in JSON."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _free(value: object) -> object:
    """Free-form JSON as parsed: numbers with a point are floats again, texts are clean."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Decimal):
        return _float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _int(value)
    if isinstance(value, Mapping):
        return {clean_text(name): _free(item) for name, item in value.items()}
    return [_free(item) for item in value] if isinstance(value, list | tuple) else value


def _free_read(text: str) -> object:
    try:
        return _free(msgspec.json.decode(text))
    except msgspec.DecodeError:
        raise ValueError(f"expected JSON, got {_quoted(text)}") from None


def _as_int(value: object) -> SqlValue:
    return int(value)  # type: ignore[call-overload, no-any-return]


def _loaded_json(value: object) -> object:
    return msgspec.json.decode(str(value))


def _raw_json(value: object) -> object:
    return msgspec.Raw(str(value).encode())


def _text_codec(check: Callable[[object], str]) -> Codec:
    return Codec(
        column="TEXT",
        store=_store(check),
        load=same,
        shape=same,
        emit=None,
        parse=_opt(check),
        read=check,
        fit=_opt(check),
    )


def _shape_stamp(value: object) -> object:
    return stamp_text(_stamp(value))


def _shape_duration(value: object) -> object:
    return format_duration(_float(value))


_SCALARS: Mapping[str, Codec] = {
    "string": _text_codec(clean_text),
    "text": _text_codec(clean_text),
    "uuid": _text_codec(_uuid),
    "date": _text_codec(_date),
    "int": Codec("INTEGER", _store(_int), same, same, None, _opt(_int), _int_read, _opt(_int)),
    "float": Codec(
        "REAL", _store(_float), same, same, None, _opt(_float), _float_read, _opt(_float)
    ),
    "bool": Codec(
        column="INTEGER",
        store=_store(lambda value: int(_bool(value))),
        load=_opt(bool),
        shape=same,
        emit=_opt(bool),
        parse=_opt(_bool),
        read=_bool_read,
        fit=_opt(_bool),
    ),
    "timestamp": Codec(
        column="INTEGER",
        store=_store(_stamp),
        load=same,
        shape=_opt(_shape_stamp),
        emit=_opt(_shape_stamp),
        parse=_opt(_stamp_parse),
        read=parse_stamp,
        fit=_opt(_stamp),
    ),
    "duration": Codec(
        column="REAL",
        store=_store(_duration),
        load=same,
        shape=_opt(_shape_duration),
        emit=_opt(_shape_duration),
        parse=_opt(_duration_parse),
        read=_duration_parse,
        fit=_opt(_duration),
    ),
    "json": Codec(
        column="TEXT",
        store=_store(_json_text),
        load=_opt(_loaded_json),
        shape=plain,
        emit=_opt(_raw_json),
        parse=_free,
        read=_free_read,
        fit=same,
    ),
}


# --- types with parameters ---------------------------------------------------------------------


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


def _decimal(kind: DecimalType) -> Codec:
    unit = Decimal(1).scaleb(-kind.scale)
    bound = 10**kind.precision

    def fit(value: object) -> Decimal:
        number = to_decimal(value)
        if abs(number) >= bound:
            raise ValueError(f"expected at most {kind.precision} digits, got {describe(value)}")
        number = number.quantize(unit, context=EXACT)
        if abs(int(number.scaleb(kind.scale, EXACT))) >= bound:
            digits = kind.precision - kind.scale
            raise ValueError(f"expected at most {digits} digits before the point")
        return number

    def parse(value: object) -> Decimal:
        number = to_decimal(value)
        fitted = fit(number)
        if fitted != number:
            raise ValueError(f"expected at most {kind.scale} digits after the point")
        return fitted

    def load(value: object) -> object:
        return Decimal(int(value)).scaleb(-kind.scale, EXACT)  # type: ignore[call-overload]

    def emit(value: object) -> object:
        return scaled_text(int(value), kind.scale)  # type: ignore[call-overload]

    return Codec(
        column="INTEGER",
        store=_store(lambda value: int(fit(value).scaleb(kind.scale, EXACT))),
        load=_opt(load),
        shape=_opt(lambda value: format(to_decimal(value).quantize(unit, context=EXACT), "f")),
        emit=_opt(emit),
        parse=_opt(parse),
        read=parse,
        fit=_opt(fit),
    )


def _enum(members: tuple[str, ...]) -> Codec:
    allowed = frozenset(members)

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"expected one of {', '.join(members)}, got {describe(value)}")
        return value

    return _text_codec(check)


def _reference(program: Program, entity: str) -> Codec:
    target = program.entity(entity)
    key = next(field for field in target.fields if field.primary)
    base = codec(program, key.type)

    def key_of(value: object) -> object:
        return value[key.name] if isinstance(value, Mapping) else value

    return msgspec.structs.replace(
        base,
        store=lambda value: base.store(key_of(value)),
        fit=lambda value: base.fit(key_of(value)),
        shape=lambda value: base.shape(key_of(value)),
    )


def _composite(program: Program, kind: RowType | ManyType | RecordType | ListType) -> Codec:
    shape, parse = _composite_changes(program, kind)
    return Codec(
        column="TEXT",
        store=_store(lambda value: msgspec.json.encode(shape(value)).decode()),
        load=_opt(lambda text: parse(msgspec.json.decode(str(text)))),
        shape=_opt(shape),
        emit=_opt(_raw_json),
        parse=_opt(parse),
        read=lambda text: parse(_free_read(text)),
        fit=same,
    )


def _composite_changes(
    program: Program, kind: RowType | ManyType | RecordType | ListType
) -> tuple[Change, Change]:
    if isinstance(kind, ListType | ManyType):
        item_type = kind.item if isinstance(kind, ListType) else RowType(kind.entity)
        item = codec(program, item_type)
        return _each(item.shape), _each(item.parse)
    if isinstance(kind, RowType):
        declared = [f for f in program.entity(kind.entity).fields if not is_many(f.type)]
    else:
        declared = list(kind.fields)
    members = {field.name: codec(program, field.type) for field in declared}
    return (
        _members({name: member.shape for name, member in members.items()}),
        _members({name: member.parse for name, member in members.items()}),
    )


def is_many(kind: Type) -> bool:
    """Whether a field of this type is no column."""
    return isinstance(kind, ManyType)


def _each(change: Change) -> Change:
    def changed(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(f"expected a list, got {describe(value)}")
        return [change(item) for item in value]

    return changed


def _members(changes: Mapping[str, Change]) -> Change:
    def changed(value: object) -> object:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected an object, got {describe(value)}")
        return {
            name: changes[name](item) if name in changes else plain(item)
            for name, item in value.items()
        }

    return changed
