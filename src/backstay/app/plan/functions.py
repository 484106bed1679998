"""The functions a program may call, as plain functions of Python values.

`now()`, `today()`, `uuid()` and `user.has()` need the transaction and are made in evaluate.py.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

from backstay.app.errors import CANNOT_COMPUTE
from backstay.app.values import EXACT, describe
from backstay.core.errors import Fault

Function = Callable[..., object]

TEXT_JOINS = frozenset({"concat", "format", "interpolate", "text"})
"""Names under which a text with holes comes: its parts, in order."""


def _text(name: str, change: Callable[[str], object]) -> Function:
    def function(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise _unfit(name, value)
        return change(value)

    return function


def _pair(name: str, change: Callable[[str, str], object]) -> Function:
    def function(value: object, other: object) -> object:
        if value is None or other is None:
            return None
        if not isinstance(value, str) or not isinstance(other, str):
            raise _unfit(name, value)
        return change(value, other)

    return function


def _length(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, str | Sequence | Mapping):
        return len(value)
    raise _unfit("len", value)


def _round(value: object, places: object = 0) -> object:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return value.quantize(Decimal(1).scaleb(-_places(places)), context=EXACT)
    if isinstance(value, float):
        unit = Decimal(1).scaleb(-_places(places))
        return float(Decimal(repr(value)).quantize(unit, ROUND_HALF_UP, EXACT))
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _unfit("round", value)


def _places(value: object) -> int:
    if isinstance(value, int) and 0 <= value <= 18:
        return value
    raise _unfit("round", value)


def _absolute(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return abs(value)
    raise _unfit("abs", value)


def _extreme(name: str, pick: Callable[[Sequence[object]], object]) -> Function:
    def function(*values: object) -> object:
        given = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        known = [value for value in given if value is not None]
        try:
            return pick(known) if known else None
        except TypeError:
            raise _unfit(name, known[0]) from None

    return function


def _end(name: str, index: int) -> Function:
    def function(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise _unfit(name, value)
        return value[index] if value else None

    return function


def _unfit(name: str, value: object) -> Fault:
    return Fault(CANNOT_COMPUTE, what=f"{name}({describe(value)})", reason="it takes another type")


FUNCTIONS: Mapping[str, Function] = {
    "len": _length,
    "length": _length,
    "count": _length,
    "lower": _text("lower", str.lower),
    "upper": _text("upper", str.upper),
    "trim": _text("trim", str.strip),
    "contains": _pair("contains", lambda text, part: part in text),
    "starts_with": _pair("starts_with", lambda text, part: text.startswith(part)),
    "ends_with": _pair("ends_with", lambda text, part: text.endswith(part)),
    "abs": _absolute,
    "round": _round,
    "min": _extreme("min", min),  # type: ignore[arg-type]
    "max": _extreme("max", max),  # type: ignore[arg-type]
    "first": _end("first", 0),
    "last": _end("last", -1),
}
