"""Calls: the standard library, `env`, and the aggregates that ask the database."""

from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.columns import function_of
from backstay.lang.check.expressions import NOTHING, condition, lower, typed
from backstay.lang.check.library import of_library
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import (
    BOOL,
    FLOAT,
    INT,
    STRING,
    UNKNOWN,
    is_number,
    show,
)
from backstay.lang.check.world import ANY_ROLE, Checker
from backstay.lang.library import LIBRARY

AGGREGATES: tuple[str, ...] = ("count", "sum", "avg", "min", "max")
_SECRET = ("secret", "token", "password", "passwd", "key")
"""Ends of the names of variables whose value nobody should read in the program."""
_SPECIAL = ("env", "user.has", *AGGREGATES)


def call(k: Checker, node: s.CallExpr, scope: Scope) -> p.Expr:
    """The checked form of `callee(args)`."""
    if isinstance(node.callee, s.NameExpr) and scope.find(node.callee.name) is None:
        name = node.callee.name
        if name in k.world.functions:
            return _own(k, node, name, scope)
        if name == "print" and scope.script:
            return _print(k, node, scope)
    return _of_library(k, node, scope)


def _print(k: Checker, node: s.CallExpr, scope: Scope) -> p.Expr:
    _count(k, node, "print", 1)
    return p.Call("print", tuple(lower(k, arg, scope) for arg in node.args), UNKNOWN)


def _unknown(k: Checker, callee: s.NameExpr, name: str, scope: Scope) -> None:
    """Of two functions as near, the program's own is meant."""
    if scope.find(name) is not None or (scope.row and name in scope.row.fields):
        k.error(e.NOT_A_FUNCTION, callee.span, name=name)
    elif not k.world.incomplete:
        known = (*k.world.functions, *LIBRARY, *_SPECIAL)
        k.unknown(e.UNDEFINED_FUNCTION, callee, known)


def _of_library(k: Checker, node: s.CallExpr, scope: Scope) -> p.Expr:
    match node.callee:
        case s.NameExpr(name="env"):
            return _env(k, node, scope)
        case s.NameExpr(name=name) if name in AGGREGATES and _of_rows(k, node, scope):
            return _aggregate(k, node, name, scope)
        case s.NameExpr(name=name) if name in LIBRARY:
            made = of_library(k, node, LIBRARY[name], scope)
            function_of(
                k, name, made.args if isinstance(made, p.Call) else (made,), node.span, scope
            )
            return made
        case s.NameExpr(name=name) as callee:
            _unknown(k, callee, name, scope)
            return NOTHING
        case s.Dot(of=s.NameExpr(name="user"), field=field) if scope.find("user") is not None:
            if field.name == "has":
                return _has(k, node, scope)
            if any(known.name == field.name for known in USER.fields):
                k.error(e.NOT_A_FUNCTION, field.span, name=f"user.{field.name}")
            else:
                k.unknown(e.UNKNOWN_FIELD, field, ("has",), owner="user")
            return NOTHING
    value = lower(k, node.callee, scope)
    if value is not NOTHING:
        k.error(e.NOT_A_FUNCTION, node.callee.span, name=_spelled(node.callee))
    return NOTHING


USER = p.RecordType(
    (
        *(p.Field(name, STRING) for name in ("id", "sub", "tenant", "email", "name")),
        *(p.Field(name, p.ListType(STRING)) for name in ("roles", "scopes")),
    )
)
"""`user` where a request is: `user.id` is the token's `sub`; other names are its claims."""


def _spelled(node: s.Expr) -> str:
    if isinstance(node, s.NameExpr):
        return node.name
    return f"{_spelled(node.of)}.{node.field.name}" if isinstance(node, s.Dot) else "this value"


def _count(k: Checker, node: s.CallExpr, name: str, wanted: int) -> bool:
    if len(node.args) == wanted:
        return True
    k.error(e.WRONG_ARGUMENTS, node.span, name=name, wanted=wanted, got=len(node.args))
    return False


def _own(k: Checker, node: s.CallExpr, name: str, scope: Scope) -> p.Expr:
    """A call of a function that the program declares."""
    info = k.world.functions[name]
    k.use("function", name)
    k.note("expression.function", node.span)
    if len(node.args) != len(info.node.params):
        _count(k, node, name, len(info.node.params))
        return p.Constant(None, info.result)
    args: list[p.Expr] = []
    for field, arg in zip(info.params, node.args, strict=False):
        args.append(typed(k, arg, scope, field.type, f"'{field.name}' of '{name}'"))
    function_of(k, name, args, node.span, scope)
    return p.Call(name, tuple(args), info.result)


def _has(k: Checker, node: s.CallExpr, scope: Scope) -> p.Expr:
    if not _count(k, node, "user.has", 1):
        return p.Constant(False, BOOL)
    role = typed(k, node.args[0], scope, STRING, "'user.has'")
    k.use("role", str(role.value) if isinstance(role, p.Constant) else ANY_ROLE)
    function_of(k, "user.has", (role,), node.span, scope)
    return p.Call("user.has", (role,), BOOL)


def _env(k: Checker, node: s.CallExpr, scope: Scope) -> p.Expr:
    if not scope.env:
        k.note("expression.env", node.span)
    if not 1 <= len(node.args) <= 2:
        k.error(e.WRONG_ARGUMENTS, node.span, name="env", wanted=1, got=len(node.args))
        return NOTHING
    texts: list[str] = []
    for arg in node.args:
        match arg:
            case s.Literal_(literal="string", value=str(text)):
                texts.append(text)
            case s.NameExpr(name=name):
                texts.append(name)
            case _:
                k.error(e.NOT_CONSTANT, arg.span, what="an argument of env", wanted="a text")
                return NOTHING
    name, default = texts[0], texts[1] if len(texts) > 1 else None
    if default and name.lower().endswith(_SECRET) and not name.lower().endswith("public_key"):
        k.error(e.LITERAL_SECRET, node.args[1].span, name=name, env=name)
    return p.Env(name, default, STRING)


# --- aggregates --------------------------------------------------------------------------------


def _of_rows(k: Checker, node: s.CallExpr, scope: Scope) -> bool:
    """Whether the call asks the database, and not for something about a list."""
    match node.args:
        case (s.Where(),):
            return True
        case (s.NameExpr(name=name),) | (s.Dot(of=s.NameExpr(name=name)),):
            looks = name in k.world.entities or name[:1].isupper()
            return looks and scope.find(name) is None
    return False


def _aggregate(k: Checker, node: s.CallExpr, name: str, scope: Scope) -> p.Expr:
    if not _count(k, node, name, 1):
        return NOTHING
    arg = node.args[0]
    target, where = (arg.target, arg.condition) if isinstance(arg, s.Where) else (arg, None)
    if scope.row is not None:
        what = f"'{name}' inside a condition on rows"
        k.error(e.UNSUPPORTED, node.span, what=what, instead="give it a name with let before")
        return NOTHING
    if name == "count" and isinstance(target, s.NameExpr):
        return _rows(k, "count", target, None, where, scope)
    if isinstance(target, s.Dot) and isinstance(target.of, s.NameExpr) and name != "count":
        return _rows(k, name, target.of, target.field, where, scope)
    shape = "Entity where …" if name == "count" else "Entity.field where …"
    value = lower(k, target, scope)
    if value is not NOTHING:
        k.error(e.MISMATCH, target.span, what=f"'{name}'", wanted=shape, got=show(value.type))
    return NOTHING


def _rows(
    k: Checker,
    name: str,
    of: s.NameExpr,
    field: s.Ident | None,
    where: s.Expr | None,
    scope: Scope,
) -> p.Expr:
    variable = scope.find(of.name)
    if variable is not None:
        k.error(e.MISMATCH, of.span, what=f"'{name}'", wanted="an entity", got=show(variable))
        return NOTHING
    info = k.entity(of)
    if info is None:
        return NOTHING
    kind: p.Type = INT
    if field is not None:
        found = info.fields.get(field.name)
        if found is None:
            if not info.broken:
                k.unknown(e.UNKNOWN_FIELD, field, info.fields, owner=f"entity '{info.name}'")
            return NOTHING
        kind = found.type
        unfit = not (is_number(kind) or isinstance(kind, p.UnknownType))
        if unfit and (name in ("sum", "avg") or isinstance(kind, p.ManyType)):
            got = show(kind)
            k.error(e.MISMATCH, field.span, what=f"'{name}'", wanted="a number", got=got)
            return NOTHING
    test = condition(k, where, Scope(scope, row=info), "where") if where else None
    if name == "avg" and kind == INT:
        kind = FLOAT
    op: Literal["count", "sum", "avg", "min", "max"] = name  # type: ignore[assignment]
    return p.Aggregate(op, info.name, field.name if field else "", test, kind)
