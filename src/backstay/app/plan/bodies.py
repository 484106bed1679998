"""Request bodies: decoded in one pass by a generated struct; when that has the least doubt, a slow
pass reads the same bytes again and either accepts them or names every mistake at once.

Why two: msgspec stops at the first error and takes a name that comes twice without a word. The slow
pass is the authority; the fast one only ever says "fine" or "not sure".
"""

import re
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec

from backstay.app.errors import INVALID
from backstay.app.plan.bounds import broken_bound
from backstay.app.plan.checks import Mistake, fault_of, member_shape, read_json
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.rows import Rows
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.values import INT64, codec
from backstay.lang.program import (
    EnumType,
    Field,
    ListType,
    Program,
    RecordType,
    RefType,
    ScalarType,
    Type,
)

Values = dict[str, object]
Taker = Callable[[Any], object]
Counter = Callable[[Any], int]

_NAMES = re.compile(rb'"\s*:')
_DIRECT: Mapping[str, Any] = {
    "string": str,
    "text": str,
    "uuid": str,
    "timestamp": str,
    "date": str,
    "time": str,
    "duration": str,
    "int": Annotated[int, msgspec.Meta(ge=-INT64, le=INT64 - 1)],
    "float": float,
    "bool": bool,
    "json": Any,
}


class Body:
    """How one endpoint's body is read. Made once."""

    def __init__(self, program: Program, record: RecordType) -> None:
        self._decoder = msgspec.json.Decoder(_struct("Body", program, record))
        self._take = _taker(program, record)
        self._count = _counter(program, record)
        self._shape = member_shape(program, record)
        self._fill = _filler(program, record)

    def decode(self, raw: bytes) -> Values:
        """Python values by name. Raises APP010 (not JSON) or APP011 with all mistakes."""
        try:
            found = self._decoder.decode(raw)
            taken: Values = self._take(found)  # type: ignore[assignment]
            if len(_NAMES.findall(raw)) == self._count(found):
                return taken
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        return self._slowly(raw)

    def fill(self, unit: Unit, values: Values) -> None:
        """Put in the defaults of what was not sent; they may need the transaction's time."""
        self._fill(unit, values)

    def _slowly(self, raw: bytes) -> Values:
        mistakes: list[Mistake] = []
        found: Values = self._shape(read_json(raw), "", mistakes)  # type: ignore[assignment]
        if mistakes:
            raise fault_of(INVALID, "the body", mistakes)
        return found


class Nothing:
    """The body of an endpoint that declares none: whatever is sent is not looked at."""

    def decode(self, raw: bytes) -> Values:  # noqa: ARG002 - Body's signature
        return {}

    def fill(self, unit: Unit, values: Values) -> None:
        """There are no defaults."""


# --- the fast pass -----------------------------------------------------------------------------


def _struct(name: str, program: Program, record: RecordType) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for field in record.fields:
        kind = _annotation(f"{name}_{field.name}", program, field)
        if field.required and field.default is None:
            fields.append((field.name, kind))
        else:
            optional = reduce(or_, (None, msgspec.UnsetType), kind)
            fields.append((field.name, optional, msgspec.UNSET))
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True)


def _annotation(name: str, program: Program, field: Field) -> Any:
    kind = _direct(name, program, field.type)
    if isinstance(field.type, ListType):
        low, high = field.minimum, field.maximum
        meta = msgspec.Meta(
            min_length=None if low is None else int(low),
            max_length=None if high is None else int(high),
        )
        return Annotated[kind, meta]
    return kind


def _direct(name: str, program: Program, kind: Type) -> Any:
    match kind:
        case ScalarType(name=scalar):
            return _DIRECT[scalar]
        case EnumType(members=members):
            return Literal[members]
        case RefType(entity=entity):
            target = program.entity(entity)
            key = next(field for field in target.fields if field.primary)
            return _direct(name, program, key.type)
        case ListType(item=item):
            return list[_direct(name, program, item)]  # type: ignore[misc]
        case RecordType():
            return _struct(name, program, kind)
        case _:
            return str | int  # decimals as text or whole; one with a point is read exactly, slowly


def _taker(program: Program, kind: Type) -> Taker:
    """What was decoded, as Python values; a ValueError means: not sure."""
    if isinstance(kind, ListType):
        item = _taker(program, kind.item)
        return lambda found: [item(each) for each in found]
    if not isinstance(kind, RecordType):
        return codec(program, kind).parse
    members = [(field.name, _member(program, field)) for field in kind.fields]

    def take(found: Any) -> object:
        values: Values = {}
        for name, member in members:
            value = getattr(found, name)
            if value is not msgspec.UNSET:
                values[name] = member(value)
        return values

    return take


def _member(program: Program, field: Field) -> Taker:
    take = _taker(program, field.type)
    bounded = field.minimum is not None or field.maximum is not None or bool(field.pattern)

    def member(found: Any) -> object:
        if found is None and field.required:
            raise ValueError(field.name)
        value = None if found is None else take(found)
        if bounded and broken_bound(field, value):
            raise ValueError(field.name)
        return value

    return member


def _counter(program: Program, kind: Type) -> Counter:
    """How many names a decoded value holds, to compare with how many the bytes hold."""
    if isinstance(kind, ListType):
        item = _counter(program, kind.item)
        return lambda found: sum([item(each) for each in found])
    if isinstance(kind, RecordType):
        members = [(field.name, _counter(program, field.type)) for field in kind.fields]

        def count(found: Any) -> int:
            total = 0
            for name, member in members:
                value = getattr(found, name)
                if value is not msgspec.UNSET:
                    total += 1 if value is None else 1 + member(value)
            return total

        return count
    return _names_in if isinstance(kind, ScalarType) and kind.name == "json" else lambda _: 0


def _names_in(value: object) -> int:
    """Of free-form JSON, whose depth was bounded when it was taken."""
    if isinstance(value, dict):
        return len(value) + sum(_names_in(item) for item in value.values())
    return sum(_names_in(item) for item in value) if isinstance(value, list) else 0


# --- defaults ----------------------------------------------------------------------------------


def _filler(program: Program, record: RecordType) -> Callable[[Unit, Values], None]:
    evaluator = Evaluator(program, Rows(program, guarded=True))
    defaults: list[tuple[str, Closure]] = [
        (field.name, evaluator.closure(field.default))
        for field in record.fields
        if field.default is not None
    ]
    below = [
        (field.name, _filler(program, inner))
        for field in record.fields
        if (inner := _record_in(field.type)) is not None
    ]
    scope: Scope = {}

    def fill(unit: Unit, values: Values) -> None:
        for name, default in defaults:
            if name not in values:
                values[name] = default(unit, scope)
        for name, deeper in below:
            held = values.get(name)
            for item in held if isinstance(held, list) else [held]:
                if isinstance(item, dict):
                    deeper(unit, item)

    return fill


def _record_in(kind: Type) -> RecordType | None:
    inner = kind.item if isinstance(kind, ListType) else kind
    return inner if isinstance(inner, RecordType) else None
