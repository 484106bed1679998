"""Values between the runtime and a test: where types are known a moment is a number, in a test it
has to say itself what it is (`lang.library.values`)."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from backstay.lang.library import values as v
from backstay.lang.library.values import Value
from backstay.lang.program import ListType, Program, RecordType, RefType, RowType, ScalarType, Type
from backstay.lang.script.application import Reference, Row

Tell = Callable[[object], Value]


def teller(program: Program, kind: Type) -> Tell:
    """How a Python value of this type is told to a test."""
    match kind:
        case ScalarType(name="timestamp"):
            return _known(v.Timestamp)  # type: ignore[arg-type]
        case ScalarType(name="duration"):
            return _known(v.Duration)  # type: ignore[arg-type]
        case ScalarType(name="date"):
            return _known(v.Date)
        case RefType(entity=entity) | RowType(entity=entity):
            return lambda key: Reference(key, entity) if isinstance(key, str) else _same(key)
        case ListType(item=item):
            tell = teller(program, item)
            return lambda given: [tell(each) for each in _listed(given)]
        case RecordType(fields=fields):
            tells = {field.name: teller(program, field.type) for field in fields}
            return lambda given: {
                name: tells.get(name, _same)(value) for name, value in _named(given).items()
            }
    return _same


def row_of(entity: str, key: str, tells: Mapping[str, Tell], row: Mapping[str, object]) -> Row:
    """A row as a test sees it."""
    return Row(entity, key, {name: tells.get(name, _same)(value) for name, value in row.items()})


def bare(value: Value) -> object:
    """The value as the runtime has it: plain types, a row as it is."""
    match value:
        case bool() | None:
            return value
        case dict():
            return {name: bare(each) for name, each in value.items()}
        case list():
            return [bare(each) for each in value]
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def plain(value: Value) -> object:
    """The value as it stands in JSON."""
    match value:
        case v.Timestamp() | v.Duration():
            return v.text(value)
        case Decimal():
            return msgspec.Raw(format(value, "f").encode())
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
    return bare(value)


def _known(change: Tell) -> Tell:
    return lambda value: None if value is None else change(value)


def _same(value: object) -> Value:
    return value  # type: ignore[return-value]


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _named(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
