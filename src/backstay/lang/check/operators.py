"""Operators: which kinds of values they take, and what they give."""

from decimal import Decimal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.columns import arithmetic_of, made_of
from backstay.lang.check.expressions import NOTHING, condition, lower, steps_named
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    MAX_PRECISION,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    comparable,
    has_order,
    is_number,
    is_text,
    item_of,
    show,
)
from backstay.lang.check.values import constant, fit
from backstay.lang.check.world import Checker

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_INT_DIGITS = 19
MOST_ALTERNATIVES = 64
"""Values after `in`; each becomes a comparison."""


def unary(k: Checker, node: s.UnaryExpr, scope: Scope) -> p.Expr:
    if node.op == "not":
        return p.Unary("not", condition(k, node.operand, scope, "'not'"), BOOL)
    value = lower(k, node.operand, scope)
    if isinstance(value, p.Constant) and isinstance(value.value, int | float | Decimal):
        return p.Constant(-value.value, value.type)
    if not (is_number(value.type) or value.type in (DURATION, UNKNOWN)):
        k.error(e.MISMATCH, node.operand.span, what="'-'", wanted="a number", got=show(value.type))
    return p.Unary("-", value, value.type)


def binary(k: Checker, node: s.BinaryExpr, scope: Scope) -> p.Expr:
    if node.op in ("and", "or"):
        what = f"'{node.op}'"
        left = condition(k, node.left, scope, what)
        after = Scope(scope, row=scope.row)
        after.held |= steps_named(left)
        return p.Binary(node.op, left, condition(k, node.right, after, what), BOOL)
    if node.op == "in":
        return _in(k, node, scope)
    left = lower(k, node.left, _asking(scope) if node.op == "??" else scope)
    right = lower(k, node.right, scope)
    if node.op in _COMPARISONS:
        return _compare(k, node, left, right)
    if node.op == "??":
        right = fit(k, right, left.type, node.right.span, "'??'")
        kind = right.type if isinstance(left.type, p.UnknownType) else left.type
        return p.Binary("??", left, right, kind)
    result = _arithmetic(node.op, left.type, right.type)
    if result is None:
        _bad_operands(k, node, left, right)
        return NOTHING
    made = p.Binary(node.op, left, right, result)
    arithmetic_of(k, made, node.span, scope)
    return made


def choice(k: Checker, node: s.Choice, scope: Scope) -> p.Expr:
    """`CONDITION ? THEN : OTHERWISE`; both sides are of one type."""
    test = condition(k, node.condition, _asking(scope), "'?'")
    inner = Scope(scope, row=scope.row)
    inner.held |= steps_named(test)
    then = lower(k, node.then, inner)
    otherwise = fit(k, lower(k, node.otherwise, inner), then.type, node.otherwise.span, "':'")
    kind = otherwise.type if isinstance(then.type, p.UnknownType) else then.type
    return p.Choose(test, then, otherwise, kind)


def _asking(scope: Scope) -> Scope:
    """Where a step that did not run is no mistake: its null is thought of."""
    inner = Scope(scope, row=scope.row)
    inner.asks = True
    return inner


def item(k: Checker, node: s.Item, scope: Scope) -> p.Expr:
    """`LIST[INDEX]`."""
    of = lower(k, node.of, scope)
    index = lower(k, node.index, scope)
    kind = item_of(of.type)
    if kind is None:
        k.error(e.NOT_ITERABLE, node.of.span, type=show(of.type))
        return NOTHING
    if not isinstance(index.type, p.UnknownType) and index.type != INT:
        k.error(e.MISMATCH, node.index.span, what="'[ ]'", wanted="int", got=show(index.type))
    made = p.ItemAt(of, index, kind)
    made_of(k, made, node.span, scope)
    return made


def _bad_operands(k: Checker, node: s.BinaryExpr, left: p.Expr, right: p.Expr) -> None:
    k.error(e.BAD_OPERANDS, node.op_span, op=node.op, left=show(left.type), right=show(right.type))


def _compare(k: Checker, node: s.BinaryExpr, left: p.Expr, right: p.Expr) -> p.Expr:
    left, right = _like(k, left, right, node.left), _like(k, right, left, node.right)
    ordered = node.op not in ("==", "!=")
    fine = comparable(k, left.type, right.type)
    if ordered and fine:
        fine = all(has_order(kind) for kind in (left.type, right.type))
    if not fine:
        _bad_operands(k, node, left, right)
    return p.Binary(node.op, left, right, BOOL)


def _like(k: Checker, value: p.Expr, other: p.Expr, node: s.Expr) -> p.Expr:
    """A constant compared with a column takes the column's shape."""
    if not isinstance(value, p.Constant) or isinstance(other, p.Constant):
        return value
    match other.type, value.value:
        case p.EnumType(), str():
            what = getattr(other, "field", None) or getattr(other, "name", "the enum")
            return constant(k, value, other.type, node.span, f"'{what}'")
        case p.DecimalType(_, scale), int() if not isinstance(value.value, bool):
            number = Decimal(value.value)
            return p.Constant(number, p.DecimalType(MAX_PRECISION, scale))
        case p.ScalarType("uuid" | "timestamp" | "date" | "time"), str():
            return constant(k, value, other.type, node.span, "the comparison")
    return value


def _in(k: Checker, node: s.BinaryExpr, scope: Scope) -> p.Expr:
    """`x in [a, b]` is `x == a or x == b`; `x in LIST` stays."""
    left = lower(k, node.left, scope)
    if isinstance(node.right, s.ListExpr):
        whole: p.Expr | None = None
        for item in node.right.items[:MOST_ALTERNATIVES]:
            equal = s.BinaryExpr(node.span, "==", item.span, node.left, item)
            test = _compare(k, equal, left, lower(k, item, scope))
            whole = test if whole is None else p.Binary("or", whole, test, BOOL)
        if len(node.right.items) > MOST_ALTERNATIVES:
            what = f"more than {MOST_ALTERNATIVES} values after in"
            k.error(e.UNSUPPORTED, node.right.span, what=what, instead="keep them in an entity")
        return whole or p.Constant(False, BOOL)
    right = lower(k, node.right, scope)
    item_type = item_of(right.type)
    if item_type is None:
        k.error(e.NOT_ITERABLE, node.right.span, type=show(right.type))
    elif not comparable(k, left.type, item_type):
        _bad_operands(k, node, left, right)
    return p.Binary("in", left, right, BOOL)


def _arithmetic(op: str, left: p.Type, right: p.Type) -> p.Type | None:
    if isinstance(left, p.UnknownType) or isinstance(right, p.UnknownType):
        return UNKNOWN
    if op == "+" and is_text(left) and is_text(right):
        return STRING
    if is_number(left) and is_number(right):
        return _number(op, left, right)
    if op == "+" and isinstance(left, p.ListType) and isinstance(right, p.ListType):
        return left if left == right else p.ListType(UNKNOWN)
    if op in "+-" and left == TIMESTAMP and right == DURATION:
        return TIMESTAMP
    if op == "-" and left == TIMESTAMP and right == TIMESTAMP:
        return DURATION
    if op in "+-" and left == right == DURATION:
        return DURATION
    if op in "*/" and left == DURATION and right in (INT, FLOAT):
        return DURATION
    return None


def _number(op: str, left: p.Type, right: p.Type) -> p.Type | None:
    """int with int stays int, `/` of ints included; a decimal makes a decimal; float makes float,
    but never out of a decimal, which would lose cents."""
    kinds = (left, right)
    if FLOAT in kinds:
        return None if any(isinstance(kind, p.DecimalType) for kind in kinds) else FLOAT
    if left == INT and right == INT:
        return INT
    (lp, ls), (rp, rs) = _digits(left), _digits(right)
    scale = {"*": ls + rs, "/": max(6, ls)}.get(op, max(ls, rs))
    whole = {"*": lp - ls + rp - rs, "/": lp - ls + rs}.get(op, max(lp - ls, rp - rs) + 1)
    return p.DecimalType(min(whole + scale, MAX_PRECISION), min(scale, MAX_PRECISION))


def number_with(left: p.Type, right: p.Type) -> p.Type:
    """The type of a value that is one or the other number."""
    if FLOAT in (left, right):
        return FLOAT
    if left == right == INT:
        return INT
    (lp, ls), (rp, rs) = _digits(left), _digits(right)
    scale = max(ls, rs)
    return p.DecimalType(min(max(lp - ls, rp - rs) + scale, MAX_PRECISION), scale)


def _digits(kind: p.Type) -> tuple[int, int]:
    if isinstance(kind, p.DecimalType):
        return kind.precision, kind.scale
    return _INT_DIGITS, 0
