"""Calls of the standard library, held against its table.

A form of a function has letters where any type may stand (see `library.model.Param`); what the
arguments say about them decides the types of lambdas and of the result.
"""

from collections.abc import Iterable, Sequence

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.expressions import NOTHING, condition, declare, each, lower
from backstay.lang.check.operators import number_with
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    UNKNOWN,
    UUID,
    comparable,
    has_order,
    is_number,
    is_text,
    item_of,
    show,
)
from backstay.lang.check.world import Checker
from backstay.lang.library import Function, Param

_DATE = p.ScalarType("date")
_PLAIN: dict[str, p.Type] = {
    "string": STRING,
    "int": INT,
    "float": FLOAT,
    "bool": BOOL,
    "uuid": UUID,
    "timestamp": TIMESTAMP,
    "date": _DATE,
    "duration": DURATION,
    "any": UNKNOWN,
}
_WORDS = {"N": "a number", "O": "a value with an order", "M": "timestamp or date"}
_WORDS |= {"record": "a record", "T": "any value", "U": "any value"}
_LISTS = {"N": "a list of numbers", "O": "a list of values with an order"}
_LISTS |= {"list(T)": "a list of lists"}

Bound = dict[str, p.Type]


def of_library(k: Checker, node: s.CallExpr, function: Function, scope: Scope) -> p.Expr:
    """The checked call. A wrong argument is reported, and the result has the type it would have."""
    if len(node.args) == 1 and isinstance(node.args[0], s.Each) and function.name == "sum":
        return _sum_of(k, node.args[0], scope)
    if function.world == "dice":
        k.note(f"function.{function.name}", node.span)
    forms = [(form, Bound()) for form in function.form(len(node.args))]
    if not forms:
        wanted = function.least if len(node.args) < function.least else function.most
        name, got = function.name, len(node.args)
        k.error(e.WRONG_ARGUMENTS, node.span, name=name, wanted=wanted, got=got)
        return p.Constant(None, _built(function.gives, {}, ()))
    args: list[p.Expr] = []
    for place, arg in enumerate(node.args):
        lambdas = [(form, bound) for form, bound in forms if "=>" in form[place].kind]
        if isinstance(arg, s.Lambda) and lambdas:
            forms = lambdas[:1]
            args.append(_lambda(k, arg, function, forms[0][0][place], forms[0][1], scope))
        else:
            args.append(_inline(k, arg, scope))
            forms = _fitting(k, function, arg, args[-1], forms, place)
    return _made(function, args, forms[0][1])


def _made(function: Function, args: Sequence[p.Expr], bound: Bound) -> p.Expr:
    kind = _built(function.gives, bound, args)
    match function.name, args:
        case "map", (items, p.Lambda(variable=variable, value=value)):
            return p.Map(variable, items, value, kind)
        case "sum", (items, p.Lambda(variable=variable, value=value)):
            return p.Sum(variable, items, value, kind)
    return p.Call(function.name, tuple(args), kind)


def _inline(k: Checker, arg: s.Expr, scope: Scope) -> p.Expr:
    """`avg(x in LIST: EXPR)` is `avg([x in LIST: EXPR])`."""
    return each(k, arg, scope) if isinstance(arg, s.Each) else lower(k, arg, scope)


def _sum_of(k: Checker, node: s.Each, scope: Scope) -> p.Expr:
    made = each(k, node, scope)
    if not isinstance(made, p.Map):
        return made
    kind = made.value.type
    if not (is_number(kind) or isinstance(kind, p.UnknownType)):
        k.error(e.MISMATCH, node.value.span, what="'sum'", wanted="a number", got=show(kind))
    return p.Sum(made.variable, made.items, made.value, kind)


# --- arguments ---------------------------------------------------------------------------------

Forms = list[tuple[tuple[Param, ...], Bound]]


def _fitting(
    k: Checker, function: Function, arg: s.Expr, value: p.Expr, forms: Forms, place: int
) -> Forms:
    """The forms that take the value at this place; reports when none does."""
    found = [
        (form, bound) for form, bound in forms if _accepts(k, form[place].kind, value.type, bound)
    ]
    if found:
        return found
    if value is not NOTHING or _is_function(k, arg):
        wanted = " or ".join(dict.fromkeys(_said(form[place].kind) for form, _ in forms))
        got = "a function" if _is_function(k, arg) else show(value.type)
        k.error(e.MISMATCH, arg.span, what=f"'{function.name}'", wanted=wanted, got=got)
    return forms


def _is_function(k: Checker, arg: s.Expr) -> bool:
    return isinstance(arg, s.NameExpr) and arg.name in k.world.functions


def _said(kind: str) -> str:
    if "=>" in kind:
        return "a lambda such as x => …"
    if kind.startswith("list("):
        return _LISTS.get(kind[5:-1], "list")
    return _WORDS.get(kind, kind)


def _accepts(k: Checker, wanted: str, kind: p.Type, bound: Bound) -> bool:
    """Whether the type may stand there. Sets the letters of `wanted`."""
    if "=>" in wanted:
        return False
    if isinstance(kind, p.UnknownType):
        return True
    if wanted.startswith("list("):
        item = item_of(kind)
        return item is not None and _accepts(k, wanted[5:-1], item, bound)
    if wanted in _PLAIN:
        return wanted == "any" or kind == _PLAIN[wanted] or (wanted == "string" and is_text(kind))
    if wanted == "record":
        return isinstance(kind, p.RecordType | p.RowType) or kind == p.ScalarType("json")
    return _binds(k, wanted, kind, bound)


def _binds(k: Checker, letter: str, kind: p.Type, bound: Bound) -> bool:
    unfit = (
        (letter == "N" and not is_number(kind))
        or (letter == "O" and not has_order(kind))
        or (letter == "M" and kind not in (TIMESTAMP, _DATE))
    )
    if unfit:
        return False
    before = bound.get(letter)
    if before is None:
        bound[letter] = kind
    elif is_number(before) and is_number(kind):
        bound[letter] = number_with(before, kind)
    else:
        return comparable(k, before, kind)
    return True


def _lambda(
    k: Checker, node: s.Lambda, function: Function, param: Param, bound: Bound, scope: Scope
) -> p.Lambda:
    """`x => EXPR`: the variable is an item, the value what the function wants of it."""
    takes, gives = param.kind.split(" => ")
    inner = Scope(scope)
    declare(k, inner, node.variable, bound.get(takes, UNKNOWN))
    if gives == "bool":
        value = condition(k, node.value, inner, f"'{function.name}'")
    else:
        value = lower(k, node.value, inner)
        if not _accepts(k, gives, value.type, bound):
            what, got = f"'{function.name}'", show(value.type)
            k.error(e.MISMATCH, node.value.span, what=what, wanted=_said(gives), got=got)
    return p.Lambda(node.variable.name, value, value.type)


# --- results -----------------------------------------------------------------------------------


def _built(gives: str, bound: Bound, args: Iterable[p.Expr]) -> p.Type:
    if gives in _PLAIN:
        return _PLAIN[gives]
    if gives.startswith("list("):
        return p.ListType(_built(gives[5:-1], bound, args))
    if gives == "mean(N)":
        kind = bound.get("N", UNKNOWN)
        return FLOAT if kind == INT else kind
    if gives == "decimal":
        return next((arg.type for arg in args if isinstance(arg.type, p.DecimalType)), UNKNOWN)
    return bound.get(gives, UNKNOWN)
