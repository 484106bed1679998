"""Functions of numbers."""

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from backstay.lang.library.model import Function, function
from backstay.lang.library.operators import compute
from backstay.lang.library.values import (
    EXACT,
    Of,
    Unfit,
    Value,
    a_list,
    as_decimal,
    bounded,
    exact,
    number,
    ordered,
    rank,
    whole,
)

_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_INT = re.compile(r"[+-]?[0-9]{1,40}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")


def _quantized(value: Decimal, places: int, rounding: str) -> Decimal:
    if value.adjusted() + places >= EXACT.prec:
        return value
    return value.quantize(Decimal(1).scaleb(-places), rounding=rounding, context=EXACT)


def _round(value: Value, places: Value = 0) -> Value:
    """Halves away from zero, floats included: they count as what they are printed as."""
    digits = whole(places, "the number of places")
    if not 0 <= digits <= 18:
        raise Unfit("round takes 0 to 18 places")
    given = number(value, "round")
    if isinstance(given, int):
        return given
    made = _quantized(as_decimal(given), digits, ROUND_HALF_UP)
    return made if isinstance(given, Decimal) else float(made)


def _to_int(rounding: str) -> Callable[[Value], Value]:
    def function(value: Value) -> Value:
        given = number(value, "rounding")
        if isinstance(given, int):
            return given
        return bounded(int(as_decimal(given).to_integral_value(rounding)))

    return function


def _int(value: Value) -> Value:
    if isinstance(value, str):
        if not _INT.fullmatch(value.strip()):
            raise Unfit(f"{_short(value)} is no whole number")
        return int(value)
    given = number(value, "int")
    return bounded(math.trunc(given))


def _decimal(value: Value) -> Value:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value.strip()):
            raise Unfit(f"{_short(value)} is no decimal number")
        return exact(Decimal(value.strip()))
    return exact(as_decimal(number(value, "decimal")))


def _float(value: Value) -> Value:
    if isinstance(value, str):
        if not _FLOAT.fullmatch(value.strip()):
            raise Unfit(f"{_short(value)} is no number")
        return bounded(float(value))
    try:
        return float(number(value, "float"))
    except OverflowError as bad:
        raise Unfit("the number is too large") from bad


def _short(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}…"'


def _total(values: "list[Value]") -> Value:
    if None in values:
        return None
    total = 0
    for each in values:
        total = compute("+", total, number(each, "sum"))  # type: ignore[assignment]
    return total


def _sum(values: Value, of: Of | None = None) -> Value:
    return _total(_each(values, of))


def _each(values: Value, of: Of | None) -> "list[Value]":
    items = a_list(values)
    return items if of is None else [of(each) for each in items]


def _avg(values: Value, of: Of | None = None) -> Value:
    items = _each(values, of)
    total = _total(items)
    if not items or total is None:
        return None
    made = number(total, "avg")
    # The mean of whole numbers is seldom one.
    return compute("/", float(made) if isinstance(made, int) else made, len(items))


def _extreme(name: str, place: int) -> Callable[..., Value]:
    def function(first: Value, *more: Value) -> Value:
        values = [first, *more] if more else a_list([] if first is None else first)
        known = [each for each in values if each is not None]
        ordered(known, name)
        return sorted(known, key=rank)[place] if known else None

    return function


_ORDERED = ["list: list(O)", "a: O, b: O", "a: O, b: O, c: O"]
_SUMMED = ["list: list(N)", "list: list(T), of: T => N"]

NUMBERS: tuple[Function, ...] = (
    function(
        "abs", "value: N", "N", "Without its sign.", lambda n: abs(number(n, "abs")), walks=False
    ),
    function(
        "round",
        ["value: N", "value: N, places: int"],
        "N",
        "To so many places after the point; halves go away from zero.",
        _round,
        walks=False,
    ),
    function(
        "floor",
        "value: N",
        "int",
        "The next whole number below.",
        _to_int(ROUND_FLOOR),
        walks=False,
    ),
    function(
        "ceil",
        "value: N",
        "int",
        "The next whole number above.",
        _to_int(ROUND_CEILING),
        walks=False,
    ),
    function(
        "min",
        _ORDERED,
        "O",
        "The smallest; null when there is none.",
        _extreme("min", 0),
        nulls=True,
    ),
    function(
        "max",
        _ORDERED,
        "O",
        "The largest; null when there is none.",
        _extreme("max", -1),
        nulls=True,
    ),
    function("sum", _SUMMED, "N", "All added up; 0 of an empty list.", _sum),
    function("avg", _SUMMED, "mean(N)", "The mean; null of an empty list.", _avg),
    function(
        "int",
        ["value: N", "text: string"],
        "int",
        "A whole number, cut towards zero, or read from a text.",
        _int,
        walks=False,
    ),
    function(
        "decimal",
        ["value: N", "text: string"],
        "decimal",
        "An exact number, or one read from a text.",
        _decimal,
        walks=False,
    ),
    function(
        "float",
        ["value: N", "text: string"],
        "float",
        "A floating number, or one read from a text.",
        _float,
        walks=False,
    ),
    function("random", "", "float", "A number from 0 up to, not with, 1.", world="dice"),
)
