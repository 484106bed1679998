"""What an endpoint promises to answer: the value of `return` in exactly that shape, or a refusal
that undoes what was done."""

from collections.abc import Callable, Mapping

from backstay.app.errors import BROKEN_PROMISE
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.values import codec, describe
from backstay.core.errors import Fault
from backstay.lang.program import ListType, Program, RecordType, Type

Shape = Callable[[object, str], object]
"""A value of the program at a place of the answer, as JSON."""


def promised(program: Program, kind: Type, value: Closure) -> Closure:
    """The value as JSON of that type. Raises APP068 when it is none."""
    shape = _shape(program, kind)

    def run(unit: Unit, scope: Scope) -> object:
        return shape(value(unit, scope), "")

    return run


def _shape(program: Program, kind: Type) -> Shape:
    match kind:
        case RecordType():
            return _record(program, kind)
        case ListType(item=item):
            return _list(_shape(program, item))
    fit, shape = codec(program, kind).fit, codec(program, kind).shape

    def plain(value: object, place: str) -> object:
        try:
            return shape(fit(value))
        except ValueError as bad:
            raise _broken(place, str(bad)) from None

    return plain


def _record(program: Program, kind: RecordType) -> Shape:
    """The members that the shape names: of a row it may be fewer than there are."""
    members = [(each.name, each.required, _shape(program, each.type)) for each in kind.fields]

    def record(value: object, place: str) -> object:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise _broken(place, f"expected an object, got {describe(value)}")
        made: dict[str, object] = {}
        for name, required, shape in members:
            where = f"{place}.{name}" if place else name
            if required and value.get(name) is None:
                raise _broken(where, "is required and was null")
            if name in value:
                made[name] = shape(value[name], where)
        return made

    return record


def _list(item: Shape) -> Shape:
    def listed(value: object, place: str) -> object:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise _broken(place, f"expected a list, got {describe(value)}")
        return [item(each, f"{place}[{at}]") for at, each in enumerate(value)]

    return listed


def _broken(place: str, reason: str) -> Fault:
    return Fault(BROKEN_PROMISE, place=place or "the answer", reason=reason)
