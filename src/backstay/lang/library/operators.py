"""What the operators mean. The runtime of endpoints says the same (`app/plan/operators.py`), and a
test compares the two.

Null is an ordinary value for `==` and `!=`; an ordering with null is false; arithmetic with null
is null. Division of whole numbers drops the fraction.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException

from backstay.lang.library import values as v
from backstay.lang.library.values import Duration, Number, Timestamp, Unfit, Value


def truth(value: Value) -> bool:
    """A condition: null is false. Raises Unfit for what is neither true nor false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise Unfit(f"a condition is true or false, not {v.kind(value)}")


def holds(value: Value) -> bool:
    """The condition of `if` in a script, where any value may stand: null, false, 0, "", [] and {}
    are false, and so is no time at all (`0s`); everything else is true, also the moment 0."""
    return isinstance(value, v.Timestamp) or bool(value)


def binary(op: str, left: Value, right: Value) -> Value:
    """Comparison and arithmetic. Raises Unfit."""
    if op == "==":
        return v.equal(left, right)
    if op == "!=":
        return not v.equal(left, right)
    if op == "in":
        return within(left, right)
    if op in _ORDER:
        return _compare(op, left, right)
    if op == "+" and isinstance(left, str | None) and isinstance(right, str | None):
        return None if left is right is None else (left or "") + (right or "")
    if left is None or right is None:
        return None
    if op == "+" and isinstance(left, list) and isinstance(right, list):
        return left + right
    if isinstance(left, Timestamp | Duration) or isinstance(right, Timestamp | Duration):
        return _moments(op, left, right)
    if isinstance(left, str) and isinstance(right, str):
        raise Unfit(f"'{op}' does not work between string and string")
    return compute(op, v.number(left, op), v.number(right, op))


def within(left: Value, right: Value) -> bool:
    """`in`: an element of a list, a part of a text; null is in nothing."""
    if left is None or right is None:
        return False
    if isinstance(right, str):
        return isinstance(left, str) and left in right
    return any(v.equal(left, each) for each in v.a_list(right))


def _compare(op: str, left: Value, right: Value) -> bool:
    if left is None or right is None:
        return False
    if v.family(left) != v.family(right) or not v.family(left):
        raise Unfit(f"'{op}' does not work between {v.kind(left)} and {v.kind(right)}")
    return _ORDER[op](left, right)


_ORDER: Mapping[str, Callable[[Value, Value], bool]] = {
    "<": lambda left, right: left < right,  # type: ignore[operator]
    "<=": lambda left, right: left <= right,  # type: ignore[operator]
    ">": lambda left, right: left > right,  # type: ignore[operator]
    ">=": lambda left, right: left >= right,  # type: ignore[operator]
}


def _moments(op: str, left: Value, right: Value) -> Value:
    """Moments move by durations; durations add up and are multiples."""
    match op, left, right:
        case "+" | "-", Timestamp(), Duration():
            step = round(right * 1_000_000)
            return v.stamp(int(left) + (step if op == "+" else -step))
        case "-", Timestamp(), Timestamp():
            return v.seconds((int(left) - int(right)) / 1_000_000)
        case "+" | "-", Duration(), Duration():
            return v.seconds(float(left) + float(right if op == "+" else -right))
        case "*" | "/", Duration(), int() | float() | Decimal() if v.is_number(right):
            return v.seconds(float(compute(op, float(left), float(right))))
    raise Unfit(f"'{op}' does not work between {v.kind(left)} and {v.kind(right)}")


def compute(op: str, left: Number, right: Number) -> Number:
    """Arithmetic of two numbers; a decimal on either side makes it exact. Raises Unfit."""
    if op in ("/", "%") and not right:
        raise Unfit("division by zero")
    try:
        if isinstance(left, Decimal) or isinstance(right, Decimal):
            return v.bounded(_EXACT[op](v.as_decimal(left), v.as_decimal(right)))
        return v.bounded(_PLAIN[op](left, right))
    except (DecimalException, OverflowError) as bad:
        raise Unfit("the number is too large") from bad


def negative(value: Value) -> Value:
    """Unary `-`."""
    if value is None:
        return None
    if isinstance(value, Duration):
        return Duration(-value)
    made = v.number(value, "-")
    return made.copy_negate() if isinstance(made, Decimal) and not made else -made


def member(value: Value, name: str) -> Value:
    """`value.name`; null of null."""
    if value is None:
        return None
    if isinstance(value, dict):
        if name in value:
            return value[name]
        raise Unfit(f"the record has no '{name}'")
    raise Unfit(f"{v.kind(value)} has no '{name}'")


def item(value: Value, index: Value) -> Value:
    """`value[index]`, counted from 0."""
    if not isinstance(value, list) or isinstance(index, bool) or not isinstance(index, int):
        raise Unfit(f"{v.kind(value)}[{v.kind(index)}] is nothing")
    if not 0 <= index < len(value):
        raise Unfit(f"the list has {len(value)} items, there is none at {index}")
    return value[index]


def _divide(left: int | float, right: int | float) -> int | float:
    if isinstance(left, int) and isinstance(right, int):
        # As everywhere in the language: a whole number, cut towards zero.
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _modulo(left: int | float, right: int | float) -> int | float:
    """What the division leaves; it has the sign of the left side."""
    if isinstance(left, int) and isinstance(right, int):
        rest = abs(left) % abs(right)
        return rest if left >= 0 else -rest
    rest_ = abs(float(left)) % abs(float(right))
    return rest_ if left >= 0 else -rest_


_PLAIN: Mapping[str, Callable[[int | float, int | float], int | float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": _modulo,
}
_EXACT: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": v.EXACT.add,
    "-": v.EXACT.subtract,
    "*": v.EXACT.multiply,
    "/": v.EXACT.divide,
    "%": v.EXACT.remainder,
}
