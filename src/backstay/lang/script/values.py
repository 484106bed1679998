"""Values of a script and what operators and functions make of them. Every refusal is an `Unfit`
with a sentence about the values."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Union

from backstay.lang import syntax as s

Value = Union[str, int, float, bool, Decimal, None, "list[Value]", "dict[str, Value]"]
Number = int | float | Decimal


class Unfit(Exception):  # noqa: N818 - a sentence about values, told as a Fault by the interpreter
    """The values do not allow what is asked of them."""


MAX_DIGITS = 1000
"""A whole number with more digits than this is a mistake, and would take long to multiply."""


def literal(node: s.Literal_) -> Value:
    """Decimals are exact, durations are seconds."""
    if node.literal == "decimal":
        return Decimal(str(node.value))
    return node.value


def kind(value: Value) -> str:
    """The type's name in a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "int", float: "float", Decimal: "decimal", list: "list"}
    return names.get(type(value), "record")


def text(value: Value) -> str:
    """As `print` writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_quoted(each) for each in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_quoted(each)}" for name, each in value.items()) + "}"
    return str(value)


def _quoted(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else text(value)


def size(value: Value, most: int) -> int:
    """Characters and items of a value and of what is inside; stops counting above `most`."""
    found, waiting = 0, [value]
    while waiting and found <= most:
        each = waiting.pop()
        if isinstance(each, list | dict):
            found += len(each) + 1
            waiting += each.values() if isinstance(each, dict) else each
        elif isinstance(each, str):
            found += len(each)
    return found


def number(value: Value, op: str) -> Number:
    """The value if it can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(f"'{op}' needs numbers, not {kind(value)}")
    return value


def binary(op: str, left: Value, right: Value) -> Value:
    """Comparison and arithmetic."""
    if op == "==":
        return left == right
    if op == "!=":
        return left != right
    if op == "in":
        if not isinstance(right, list):
            raise Unfit(f"cannot iterate over non-array type '{kind(right)}'")
        return left in right
    if isinstance(left, str) and isinstance(right, str):
        return _texts(op, left, right)
    if op == "+" and isinstance(left, list) and isinstance(right, list):
        return left + right
    one, two = _alike(number(left, op), number(right, op))
    return _numbers(op, one, two)


def _alike(left: Number, right: Number) -> tuple[Number, Number]:
    if isinstance(left, float) and isinstance(right, Decimal):
        return left, float(right)
    if isinstance(left, Decimal) and isinstance(right, float):
        return float(left), right
    return left, right


def _texts(op: str, left: str, right: str) -> Value:
    order: Mapping[str, bool] = {
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }
    if op == "+":
        return left + right
    if op in order:
        return order[op]
    raise Unfit(f"'{op}' does not work between string and string")


def _numbers(op: str, left: Number, right: Number) -> Value:
    if op in ("/", "%") and not right:
        raise Unfit("division by zero")
    try:
        made = _COMPUTE[op](left, right)
    except (InvalidOperation, OverflowError) as bad:
        raise Unfit("the number is too large") from bad
    if isinstance(made, int) and made.bit_length() > MAX_DIGITS * 3:
        raise Unfit("the number is too large")
    return made


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        # As everywhere in the language: a whole number, cut towards zero.
        whole = abs(left) // abs(right)
        return whole if (left < 0) == (right < 0) else -whole
    return left / right  # type: ignore[operator]


def _modulo(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return left - right * int(_divide(left, right))
    return left % right  # type: ignore[operator]


_COMPUTE: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": lambda left, right: left + right,  # type: ignore[operator]
    "-": lambda left, right: left - right,  # type: ignore[operator]
    "*": lambda left, right: left * right,  # type: ignore[operator]
    "/": _divide,
    "%": _modulo,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def negative(value: Value) -> Value:
    return -number(value, "-")


def member(value: Value, name: str) -> Value:
    """`value.name`."""
    if isinstance(value, dict) and name in value:
        return value[name]
    raise Unfit(f"{kind(value)} has no '{name}'")


def item(value: Value, index: Value) -> Value:
    """`value[index]`, counted from 0."""
    if not isinstance(value, list) or isinstance(index, bool) or not isinstance(index, int):
        raise Unfit(f"{kind(value)}[{kind(index)}] is nothing")
    if not 0 <= index < len(value):
        raise Unfit(f"the list has {len(value)} items, there is none at {index}")
    return value[index]


def _word(value: Value) -> str:
    if not isinstance(value, str):
        raise Unfit(f"a string is needed, not {kind(value)}")
    return value


def _len(value: Value) -> Value:
    if isinstance(value, str | list | dict):
        return len(value)
    raise Unfit(f"{kind(value)} has no length")


def _sum(value: Value) -> Value:
    total: Value = 0
    for each in value if isinstance(value, list) else ():
        total = binary("+", total, each)
    return total


def _round(value: Value, places: Value = 0) -> Value:
    digits = max(0, min(places, 30)) if isinstance(places, int) else 0
    match number(value, "round"):
        case Decimal() as exact:
            return round(exact, digits)
        case float() as rough:
            return round(rough, digits)
        case whole:
            return whole


LIBRARY: Mapping[str, Callable[..., Value]] = {
    "len": _len,
    "sum": _sum,
    "lower": lambda value: _word(value).lower(),
    "upper": lambda value: _word(value).upper(),
    "trim": lambda value: _word(value).strip(),
    "contains": lambda value, part: _word(part) in _word(value),
    "starts_with": lambda value, part: _word(value).startswith(_word(part)),
    "ends_with": lambda value, part: _word(value).endswith(_word(part)),
    "abs": lambda value: abs(number(value, "abs")),
    "round": _round,
    "text": text,
}
"""The functions of the library that need nothing but their arguments."""
