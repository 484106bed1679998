"""What the operators mean in Python; `plan/sql.py` says the same in SQL, and a test compares them.

Null is an ordinary value for `==` and `!=`; an ordering with null is false; arithmetic with null
is null, but in a text it is nothing. Integer division drops the fraction. Decimals are exact, and
rounded where they are stored.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, DecimalException

from backstay.app.errors import CANNOT_COMPUTE
from backstay.app.plan.tags import mark
from backstay.app.values import EXACT, describe
from backstay.core.errors import Fault
from backstay.lang.library import operators as untyped
from backstay.lang.library.values import Duration, Timestamp, Unfit, Value, is_number
from backstay.lang.program import (
    DecimalType,
    ListType,
    ManyType,
    RecordType,
    RefType,
    RowType,
    ScalarType,
    Type,
    UnknownType,
)

Operator = Callable[[object, object], object]
Number = int | float | Decimal


def truth(value: object) -> bool:
    """Null is false."""
    return bool(value)


def equal(left: object, right: object) -> bool:
    """Numbers by value, rows by their key, everything else by content."""
    if isinstance(left, bool) is not isinstance(right, bool) and not (
        left is None or right is None
    ):
        return False
    return left == right


def ordering(op: str) -> Operator:
    """`<`, `<=`, `>`, `>=`: false when a side is null."""
    compare = _COMPARE[op]

    def closure(left: object, right: object) -> object:
        if left is None or right is None:
            return False
        try:
            return compare(left, right)
        except TypeError:
            raise _unfit(op, left, right) from None

    return closure


def member(left: object, right: object) -> bool:
    """`in`: an element of a list, a part of a text; null is in nothing."""
    if left is None or right is None:
        return False
    if isinstance(right, str):
        return isinstance(left, str) and left in right
    if isinstance(right, Sequence):
        return any(equal(left, item) for item in right)
    raise _unfit("in", left, right)


def arithmetic(op: str, left: Type, right: Type, result: Type) -> Operator:
    """`+ - * / %` for the checked types of both sides."""
    if isinstance(result, UnknownType):
        return _untyped(op, left, right)
    if is_scalar(left, "timestamp") or is_scalar(right, "timestamp"):
        return _nulls(_moments(op, left, right))
    if op == "+" and textual(result):
        return lambda a, b: _words(a) + _words(b)
    compute = _INTEGER[op] if is_scalar(result, "int") else _NUMERIC[op]

    def closure(a: object, b: object) -> object:
        if isinstance(a, list) and isinstance(b, list) and op == "+":
            return a + b
        if isinstance(a, str) and isinstance(b, str) and op == "+":
            return a + b
        if not _numeric(a) or not _numeric(b):
            raise _unfit(op, a, b)
        try:
            return compute(*_aligned(a, b, exact=isinstance(result, DecimalType)))  # type: ignore[arg-type]
        except (ArithmeticError, DecimalException) as failure:
            says = "division by zero" if isinstance(failure, ZeroDivisionError) else "too large"
            raise Fault(
                CANNOT_COMPUTE, what=f"{describe(a)} {op} {describe(b)}", reason=says
            ) from None

    return _nulls(closure)


def _untyped(op: str, left: Type, right: Type) -> Operator:
    """By what the values are, as in scripts. A bare number beside a moment counts as seconds."""
    first, second = mark(left), mark(right)

    def closure(a: object, b: object) -> object:
        a, b = first(a) if first else a, second(b) if second else b
        if isinstance(a, Timestamp) and is_number(b):  # type: ignore[arg-type]
            b = Duration(b)  # type: ignore[arg-type]
        try:
            return untyped.binary(op, a, b)  # type: ignore[arg-type]
        except Unfit as bad:
            what = f"{describe(a)} {op} {describe(b)}"
            raise Fault(CANNOT_COMPUTE, what=what, reason=str(bad)) from None

    return closure


def item(of: object, index: object) -> object:
    """`LIST[INDEX]`, counted from 0; a place that the list has not is a mistake."""
    try:
        return untyped.item(_as_value(of), _as_value(index))
    except Unfit as bad:
        what = f"{describe(of)}[{describe(index)}]"
        raise Fault(CANNOT_COMPUTE, what=what, reason=str(bad)) from None


def _as_value(value: object) -> Value:
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]


def negative(value: object) -> object:
    """Unary `-`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Fault(CANNOT_COMPUTE, what=f"-{describe(value)}", reason="it is no number")
    return value.copy_negate() if isinstance(value, Decimal) and value == 0 else -value


def key_of(program_key: str, value: object) -> object:
    """The key of a row; other values are keys already."""
    return value.get(program_key) if isinstance(value, Mapping) else value


def is_reference(kind: Type) -> bool:
    """Whether a value of this type stands for a row."""
    return isinstance(kind, RefType | RowType)


def is_scalar(kind: Type, name: str) -> bool:
    """Whether `kind` is the scalar `name`."""
    return isinstance(kind, ScalarType) and kind.name == name


def is_json(kind: Type) -> bool:
    """Whether a value of this type is stored as JSON text."""
    return is_scalar(kind, "json") or isinstance(
        kind, ListType | RecordType | ManyType | UnknownType
    )


def textual(kind: Type) -> bool:
    """Whether values of this type are texts, enums aside."""
    return is_scalar(kind, "string") or is_scalar(kind, "text")


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise Fault(CANNOT_COMPUTE, what=f"a text with {describe(value)}", reason="it is no text")


def _numeric(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _nulls(operator: Operator) -> Operator:
    return lambda left, right: None if left is None or right is None else operator(left, right)


def _aligned(a: object, b: object, *, exact: bool) -> tuple[object, object]:
    if exact or isinstance(a, Decimal) or isinstance(b, Decimal):
        return _as_decimal(a), _as_decimal(b)
    return a, b


def _as_decimal(value: object) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)  # type: ignore[arg-type]


def _moments(op: str, left: Type, right: Type) -> Operator:
    if is_scalar(left, "timestamp") and is_scalar(right, "timestamp"):
        return lambda a, b: (int(a) - int(b)) / 1e6  # type: ignore[call-overload]
    if is_scalar(left, "timestamp"):
        sign = 1 if op == "+" else -1
        return lambda a, b: int(a) + sign * round(float(b) * 1e6)  # type: ignore[call-overload, arg-type]
    return lambda a, b: int(b) + round(float(a) * 1e6)  # type: ignore[call-overload, arg-type]


def _quotient(a: int, b: int) -> int:
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


def _divided(a: Number, b: Number) -> Number:
    if b == 0:
        raise ZeroDivisionError
    return EXACT.divide(a, b) if isinstance(a, Decimal) else a / b  # type: ignore[operator, arg-type]


def _plus(a: Number, b: Number) -> Number:
    return EXACT.add(a, b) if isinstance(a, Decimal) else a + b  # type: ignore[operator, arg-type]


def _minus(a: Number, b: Number) -> Number:
    return EXACT.subtract(a, b) if isinstance(a, Decimal) else a - b  # type: ignore[operator, arg-type]


def _times(a: Number, b: Number) -> Number:
    return EXACT.multiply(a, b) if isinstance(a, Decimal) else a * b  # type: ignore[operator, arg-type]


def _unfit(op: str, left: object, right: object) -> Fault:
    return Fault(
        CANNOT_COMPUTE,
        what=f"{describe(left)} {op} {describe(right)}",
        reason="the two do not go together",
    )


def _rest(a: Number, b: Number) -> Number:
    """What the division leaves; it has the sign of the left side."""
    if b == 0:
        raise ZeroDivisionError
    if isinstance(a, Decimal):
        return EXACT.remainder(a, b)  # type: ignore[arg-type]
    if isinstance(a, int) and isinstance(b, int):
        return a - _quotient(a, b) * b
    return math.fmod(a, b)


_NUMERIC: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": _plus,
    "-": _minus,
    "*": _times,
    "/": _divided,
    "%": _rest,
}
_INTEGER: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": _plus,
    "-": _minus,
    "*": _times,
    "/": lambda a, b: (
        _quotient(a, b) if isinstance(a, int) and isinstance(b, int) else _divided(a, b)
    ),
    "%": _rest,
}
_COMPARE: Mapping[str, Callable[[object, object], bool]] = {
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}
