"""Moments that carry what they are, for places where no type says it.

Where types are known a timestamp is a plain number (values.py). A variable that changes its type
and a parameter without one know nothing, so what goes there takes the classes that scripts use.
"""

from collections.abc import Callable, Mapping
from typing import Any

from backstay.app.values import is_many
from backstay.lang.library.values import Date, Duration, Timestamp
from backstay.lang.program import (
    ListType,
    ManyType,
    Program,
    RecordType,
    RowType,
    ScalarType,
    Type,
)

Tag = Callable[[object], object]

_CLASSES: Mapping[str, Callable[[Any], object]] = {
    "timestamp": Timestamp,
    "duration": Duration,
    "date": Date,
}


def mark(kind: Type) -> Tag | None:
    """How a moment of this type is marked; None for what is no moment."""
    made = _CLASSES.get(kind.name) if isinstance(kind, ScalarType) else None
    return None if made is None else lambda value: None if value is None else made(value)


def tag(program: Program, kind: Type) -> Tag | None:
    """The same for all that is inside of lists, records and rows; None where no moment is."""
    match kind:
        case ListType(item=item):
            return _each(tag(program, item))
        case ManyType(entity=entity):
            return _each(tag(program, RowType(entity)))
        case RowType(entity=entity):
            fields = program.entity(entity).fields
            return _members({f.name: mark(f.type) for f in fields if not is_many(f.type)})
        case RecordType(fields=fields):
            return _members({field.name: tag(program, field.type) for field in fields})
    return mark(kind)


def _each(item: Tag | None) -> Tag | None:
    if item is None:
        return None
    return lambda value: [item(each) for each in value] if isinstance(value, list) else value


def _members(tags: Mapping[str, Tag | None]) -> Tag | None:
    known = {name: each for name, each in tags.items() if each is not None}
    if not known:
        return None

    def tagged(value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: known[name](v) if name in known else v for name, v in value.items()}

    return tagged
