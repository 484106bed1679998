"""What is known of a condition without running it: always true, never true, or neither.

Only what holds for every value is said. `x == "a" and x == "b"` is never true, whatever `x` is.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from backstay.lang import program as p

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_Plain = str | int | float | bool | Decimal


def truth(node: p.Expr) -> bool | None:
    """True or False where the condition is that for all values; None where it depends."""
    match node:
        case p.Constant(value=bool(value)):
            return value
        case p.Unary(op="not", operand=operand):
            inner = truth(operand)
            return None if inner is None else not inner
        case p.Binary(op="and"):
            return _all(tuple(conjuncts(node)))
        case p.Binary(op="or", left=left, right=right):
            sides = (truth(left), truth(right))
            if True in sides:
                return True
            return False if sides == (False, False) else None
        case p.Binary(op=op, left=p.Constant(value=left), right=p.Constant(value=right)):
            return _compare(op, left, right)
    return None


def conjuncts(node: p.Expr | None) -> Iterator[p.Expr]:
    """The parts that all have to hold."""
    match node:
        case None:
            return
        case p.Binary(op="and", left=left, right=right):
            yield from conjuncts(left)
            yield from conjuncts(right)
        case _:
            yield node


def _all(parts: Sequence[p.Expr]) -> bool | None:
    known = [truth(each) for each in parts]
    if False in known or _contradict(parts):
        return False
    return True if all(each is True for each in known) else None


def _contradict(parts: Sequence[p.Expr]) -> bool:
    """Whether two parts can never hold together: `x` and `not x`, two values of one name, bounds
    that leave nothing between them."""
    every = set(parts)
    known: dict[p.Expr, _Known] = {}
    for part in parts:
        if p.Unary("not", part, part.type) in every:
            return True
        bound = _bound(part)
        if bound is not None and known.setdefault(bound.of, _Known()).excludes(bound):
            return True
    return False


class _Bound(NamedTuple):
    """`OF OP VALUE`."""

    of: p.Expr
    op: str
    value: _Plain


class _Known:
    """What is known of one name: of each operator only the strictest bound, so that a long
    condition takes no longer than its length."""

    def __init__(self) -> None:
        self._strictest: dict[str, _Bound] = {}
        self._other_than: set[_Plain] = set()

    def excludes(self, new: _Bound) -> bool:
        """Whether no value is within this bound and those before; else it is known from now on."""
        if new.op == "!=":
            self._other_than.add(new.value)
            same = self._strictest.get("==")
            return same is not None and _apart(same, new)
        if new.op == "==" and new.value in self._other_than:
            return True
        if any(_apart(each, new) for each in self._strictest.values()):
            return True
        before = self._strictest.get(new.op)
        if before is None or _compare(new.op, new.value, before.value):
            self._strictest[new.op] = new
        return False


def _bound(part: p.Expr) -> _Bound | None:
    """`NAME OP CONSTANT`, whichever side the constant is on."""
    match part:
        case p.Binary(op=op, left=left, right=p.Constant(value=value)):
            pass
        case p.Binary(op=op, left=p.Constant(value=value), right=left):
            op = _FLIPPED.get(op, "")
        case _:
            return None
    still = isinstance(left, p.Name | p.Get | p.Column)
    return _Bound(left, op, value) if still and op in _FLIPPED and value is not None else None


def _apart(one: _Bound, two: _Bound) -> bool:
    """Whether no value is within both bounds."""
    (_, op, value), (_, other, limit) = one, two
    if op == "==":
        return _compare(other, value, limit) is False
    if other == "==":
        return _compare(op, limit, value) is False
    if op[:1] == other[:1] or "!" in op + other:
        return False
    low, high = (value, limit) if op[0] == ">" else (limit, value)
    closed = op in ("<=", ">=") and other in ("<=", ">=")
    return _compare("<=" if closed else "<", low, high) is False


def _compare(op: str, left: _Plain | None, right: _Plain | None) -> bool | None:
    if left is None or right is None:
        return None
    numbers = all(isinstance(each, int | float | Decimal) for each in (left, right))
    if op in ("==", "!="):
        same = Decimal(str(left)) == Decimal(str(right)) if _counted(left, right) else left == right
        return same if op == "==" else not same
    texts = isinstance(left, str) and isinstance(right, str)
    if not (numbers or texts) or op not in _FLIPPED:
        return None
    one, two = (Decimal(str(left)), Decimal(str(right))) if numbers else (left, right)
    below, equal = one < two, one == two  # type: ignore[operator]
    return {"<": below, "<=": below or equal, ">": not (below or equal), ">=": not below}[op]


def _counted(left: _Plain, right: _Plain) -> bool:
    return all(
        isinstance(each, int | float | Decimal) and not isinstance(each, bool)
        for each in (left, right)
    )
