"""One place for what a value is in the language, in Python, in SQLite and in JSON (decision 7).

| type        | Python             | SQLite                    | JSON                    |
|-------------|--------------------|---------------------------|-------------------------|
| decimal     | `Decimal`          | INTEGER, scaled           | string                  |
| timestamp   | `int` microseconds | INTEGER, UTC microseconds | RFC 3339 with `Z`       |
| duration    | `float` seconds    | REAL                      | Go's text, `1m30s`      |
| date, time  | `str`              | TEXT `2026-03-01`         | the same                |
| bool        | `bool`             | INTEGER 0 or 1            | true, false             |
| uuid, ref   | `str`, lower case  | TEXT                      | the same                |
| json, lists, records | plain JSON values | TEXT holding JSON  | itself                  |

PostgreSQL has a type of its own for each (decision 30); its codecs give and take what stands under
SQLite here, but for a decimal, which comes as its text.

Every function here takes None to None; none of them ever guesses: what does not fit is a
ValueError whose text says what was expected.
"""

# ruff: noqa: TRY004 - one exception says "does not fit", whatever does not

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from backstay.app.scalars import (
    SCALARS,
    Change,
    Codec,
    SqlValue,
    free_read,
    nullable,
    raw_json,
    same,
    storing,
    text_codec,
)
from backstay.app.store.aim import dialect_of
from backstay.app.texts import (
    EXACT,
    INT64,
    as_text,
    clean_text,
    describe,
    micros,
    parse_stamp,
    plain,
    scaled_text,
    stamp_text,
    to_decimal,
)
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

__all__ = [
    "EXACT",
    "INT64",
    "Codec",
    "SqlValue",
    "as_text",
    "clean_text",
    "codec",
    "describe",
    "is_many",
    "micros",
    "parse_stamp",
    "plain",
    "same",
    "scaled_text",
    "stamp_text",
    "to_decimal",
]


def codec(program: Program, kind: Type) -> Codec:
    """The changes of `kind`; a reference has those of its target's key."""
    match kind:
        case ScalarType(name=name):
            return SCALARS[name]
        case DecimalType():
            return _decimal(kind, scaled=dialect_of(program).scaled)
        case EnumType(members=members):
            return _enum(members)
        case RefType(entity=entity):
            return _reference(program, entity)
        case RowType() | ManyType() | RecordType() | ListType():
            return _composite(program, kind)
        case UnknownType():
            return SCALARS["json"]


def _decimal(kind: DecimalType, *, scaled: bool) -> Codec:
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
        # Databases know one zero, so the answer to a write must not show another.
        return number or number.copy_abs()

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

    def store(value: object) -> SqlValue:
        return int(fit(value).scaleb(kind.scale, EXACT)) if scaled else format(fit(value), "f")

    return Codec(
        store=storing(store),
        load=nullable(load if scaled else to_decimal),
        shape=nullable(lambda value: format(to_decimal(value).quantize(unit, context=EXACT), "f")),
        emit=nullable(emit) if scaled else None,
        parse=nullable(parse),
        read=parse,
        fit=nullable(fit),
    )


def _enum(members: tuple[str, ...]) -> Codec:
    allowed = frozenset(members)

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"expected one of {', '.join(members)}, got {describe(value)}")
        return value

    return text_codec(check)


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
        store=storing(lambda value: msgspec.json.encode(shape(value)).decode()),
        load=nullable(lambda text: parse(msgspec.json.decode(str(text)))),
        shape=nullable(shape),
        emit=nullable(raw_json),
        parse=nullable(parse),
        read=lambda text: parse(free_read(text)),
        fit=nullable(_fit(program, kind)),
    )


def _fit(program: Program, kind: RowType | ManyType | RecordType | ListType) -> Change:
    """What is inside of lists and records fits as well, and what is required there is there."""
    if isinstance(kind, ListType):
        return _each(codec(program, kind.item).fit)
    if not isinstance(kind, RecordType):
        return same
    members = _members({field.name: codec(program, field.type).fit for field in kind.fields})
    needed = [field.name for field in kind.fields if field.required]

    def fit(value: object) -> object:
        made = members(value)
        missing = [name for name in needed if made.get(name) is None]  # type: ignore[attr-defined]
        if missing:
            raise ValueError(f"{', '.join(missing)} inside it is required")
        return made

    return fit


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
