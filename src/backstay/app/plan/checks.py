"""The pass that collects: JSON read with care, compared with its declaration, every mistake named
with its path (`lines[1].quantity`)."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from backstay.app.errors import BAD_JSON, BAD_QUERY, INVALID
from backstay.app.plan.bounds import broken_bound
from backstay.app.values import codec, describe
from backstay.core.errors import ErrorEntry, Fault, Plain
from backstay.core.nearest import nearest
from backstay.lang.program import Field, ListType, Program, RecordType, ScalarType, Type

_MISTAKES_SHOWN = 50
_TOO_MANY = 100


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request."""

    field: str
    message: str


Shape = Callable[[object, str, list[Mistake]], object]
"""(value, path, mistakes) → the Python value; what is wrong goes into `mistakes`."""


class Members(dict[str, object]):
    """A JSON object that remembers which names came twice."""

    repeated: Sequence[str] = ()


def read_json(raw: bytes) -> object:
    """Any JSON, decimals exact. Raises APP010 with the place of the mistake."""
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_members,
            parse_float=Decimal,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as bad:
        raise Fault(BAD_JSON, reason=f"byte {bad.start} is not UTF-8") from None
    except json.JSONDecodeError as bad:
        reason = f"{bad.msg} at line {bad.lineno}, column {bad.colno}" if raw.strip() else "empty"
        raise Fault(BAD_JSON, reason=reason) from None
    except (ValueError, ArithmeticError):
        raise Fault(BAD_JSON, reason="a number is out of range") from None
    except RecursionError:
        raise Fault(BAD_JSON, reason="it is nested too deeply") from None


def member_shape(program: Program, record: RecordType) -> Shape:
    """Checks an object: unknown, repeated and missing names, then each member."""
    members = {field.name: (field, _shape_of(program, field)) for field in record.fields}

    def shape(value: object, path: str, mistakes: list[Mistake]) -> object:
        if not isinstance(value, Mapping):
            _add(mistakes, path, f"expected an object, got {describe(value)}")
            return {}
        _names(value, list(members), path, mistakes)
        taken: dict[str, object] = {}
        for name, (field, check) in members.items():
            if value.get(name) is not None:
                taken[name] = check(value[name], _join(path, name), mistakes)
            elif field.required and field.default is None:
                _add(mistakes, _join(path, name), "is required")
            elif name in value:
                taken[name] = None
                if field.required:
                    _add(mistakes, _join(path, name), "must not be null")
        return taken

    return shape


def fault_of(entry: ErrorEntry, what: str, mistakes: Sequence[Mistake]) -> Fault:
    """One Fault for all mistakes; the first ones are in its text, up to 50 in its values."""
    first = "; ".join(f"{each.field or what}: {each.message}" for each in mistakes[:3])
    more = f"; and {len(mistakes) - 3} more" if len(mistakes) > 3 else ""
    listed: list[Plain] = [
        {"field": each.field, "message": each.message} for each in mistakes[:_MISTAKES_SHOWN]
    ]
    return Fault(entry, summary=f"{what} is not valid: {first}{more}", errors=listed)


def together(*reads: Callable[[], Any]) -> list[Any]:
    """What each of them gives, or one Fault with the mistakes of all of them: the kind is that of
    the first which found some. Other faults end it at once."""
    found: list[Any] = []
    faults: list[Fault] = []
    for read in reads:
        try:
            found.append(read())
        except Fault as fault:
            if fault.entry not in (BAD_QUERY, INVALID):
                raise
            faults.append(fault)
    if not faults:
        return found
    first = faults[0]
    if len(faults) == 1:
        raise first
    summary = "; ".join(str(fault.values["summary"]) for fault in faults)
    listed = [each for fault in faults for each in _listed(fault)]
    raise Fault(first.entry, summary=summary, errors=listed[:_MISTAKES_SHOWN])


def _listed(fault: Fault) -> Sequence[Plain]:
    errors = fault.values["errors"]
    return errors if isinstance(errors, list) else []


def unknown_name(name: str, known: Sequence[str]) -> str:
    """The words for a name that is not declared, with the nearest that is."""
    return _unknown(name, known)


def _shape_of(program: Program, field: Field) -> Shape:
    inner = _type_shape(program, field.type)

    def shape(value: object, path: str, mistakes: list[Mistake]) -> object:
        before = len(mistakes)
        taken = inner(value, path, mistakes)
        broken = "" if len(mistakes) > before else broken_bound(field, taken)
        if broken:
            _add(mistakes, path, f"must be {broken}")
        return taken

    return shape


def _type_shape(program: Program, kind: Type) -> Shape:
    if isinstance(kind, RecordType):
        return member_shape(program, kind)
    if isinstance(kind, ListType):
        return _list_shape(_type_shape(program, kind.item))
    parse = codec(program, kind).parse
    free = isinstance(kind, ScalarType) and kind.name == "json"

    def shape(value: object, path: str, mistakes: list[Mistake]) -> object:
        try:
            taken = parse(value)
            if free:
                _repeats(value, path, mistakes)
            return taken
        except ValueError as bad:
            _add(mistakes, path, str(bad))
            return None

    return shape


def _list_shape(item: Shape) -> Shape:
    def shape(value: object, path: str, mistakes: list[Mistake]) -> object:
        if not isinstance(value, list):
            _add(mistakes, path, f"expected a list, got {describe(value)}")
            return []
        taken: list[object] = []
        for place, each in enumerate(value):
            if each is None:
                _add(mistakes, f"{path}[{place}]", "must not be null")
            else:
                taken.append(item(each, f"{path}[{place}]", mistakes))
            if len(mistakes) > _TOO_MANY:
                break
        return taken

    return shape


def _names(
    value: Mapping[str, object], known: Sequence[str], path: str, mistakes: list[Mistake]
) -> None:
    for name in getattr(value, "repeated", ()):
        _add(mistakes, _join(path, name), "is given twice")
    for name in value:
        if name not in known and len(mistakes) < _TOO_MANY:
            _add(mistakes, _join(path, name), _unknown(name, known))


def _repeats(value: object, path: str, mistakes: list[Mistake]) -> None:
    if isinstance(value, Mapping):
        for name in getattr(value, "repeated", ()):
            _add(mistakes, _join(path, name), "is given twice")
        for name, item in value.items():
            _repeats(item, _join(path, name), mistakes)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _repeats(item, f"{path}[{place}]", mistakes)


def _members(pairs: list[tuple[str, object]]) -> Members:
    found = Members(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        found.repeated = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    return found


def _no_constant(name: str) -> object:
    raise json.JSONDecodeError(f"{name} is no JSON number", name, 0)


def _unknown(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    if near:
        return f"is not known; did you mean {near}?"
    return f"is not known; known are: {', '.join(known) or 'none'}"


def _add(mistakes: list[Mistake], path: str, message: str) -> None:
    shown = path[:200].encode("utf-8", "replace").decode()
    mistakes.append(Mistake(shown, message.encode("utf-8", "replace").decode()))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
