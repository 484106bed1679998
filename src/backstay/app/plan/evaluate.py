"""Expressions as closures over (unit, scope): made once, so that a request interprets nothing.

How rows are found comes in (`Loads`): with the access rules of the principal, or without them for
the rules themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from backstay.app.errors import CANNOT_COMPUTE, NOT_SUPPORTED
from backstay.app.plan import operators
from backstay.app.plan.functions import FUNCTIONS, TEXT_JOINS, WRITING, bare
from backstay.app.plan.unit import Closure, Row, Scope, Unit
from backstay.app.values import as_text, codec, describe, stamp_text
from backstay.core.errors import Fault
from backstay.lang.program import (
    Aggregate,
    Binary,
    Call,
    Choose,
    Column,
    Constant,
    DecimalType,
    Env,
    Expr,
    Get,
    ItemAt,
    Lambda,
    Listed,
    ManyType,
    Map,
    Name,
    Program,
    Record,
    RefType,
    RowType,
    Sum,
    Type,
    Unary,
    UnknownType,
)

Routine = Callable[[Unit, Sequence[object]], object]
"""A function of the program: its value for these arguments."""


class Loads(Protocol):
    """Ways to rows, each made once for an entity."""

    def one(self, entity: str) -> Callable[[Unit, object], Row | None]:
        """The row with a key."""
        ...

    def many(self, entity: str, via: str) -> Callable[[Unit, object], list[Row]]:
        """The rows whose `via` is a key, ordered by their own key."""
        ...

    def aggregate(self, node: Aggregate) -> Closure:
        """`count(…)`, `sum(…)` and their like."""
        ...


class Evaluator:
    """Makes closures of expressions that hold no `Column` (those are SQL's). `writes`: functions
    that change rows may be called, as in the statements of `do`."""

    def __init__(self, program: Program, loads: Loads, *, writes: bool = False) -> None:
        self.program = program
        self.loads = loads
        self.writes = writes
        self.routines: dict[str, Routine] = {}
        self._own = {function.name for function in program.functions}

    def closure(self, expr: Expr) -> Closure:  # noqa: C901 - one arm for each kind of node
        """Raises APP004 for a column outside a condition: a mistake of the checker."""
        match expr:
            case Constant(value=value, type=kind):
                return self._constant(value, kind)
            case Name(name=name):
                return _user if name == "user" else _variable(name)
            case Get():
                return self._get(expr)
            case Column(field=field):
                raise Fault(NOT_SUPPORTED, where=field, what="a column outside a condition")
            case Binary():
                return self._binary(expr)
            case Unary(op=op, operand=operand):
                inner = self.closure(operand)
                if op == "not":
                    return lambda unit, scope: not operators.truth(inner(unit, scope))
                return lambda unit, scope: operators.negative(inner(unit, scope))
            case Call():
                return self._call(expr)
            case Sum() | Map():
                return self._loop(expr)
            case Record(fields=fields):
                return self._record(fields)
            case Aggregate():
                return self.loads.aggregate(expr)
            case Env(name=name):
                return lambda unit, _: unit.env[name]
            case Lambda(variable=variable, value=value):
                return self._lambda(variable, value)
            case Choose():
                return self._choose(expr)
            case ItemAt(of=of, index=index):
                items, place = self.closure(of), self.closure(index)
                return lambda unit, scope: operators.item(items(unit, scope), place(unit, scope))
            case Listed(items=listed):
                parts = [self.closure(each) for each in listed]
                return lambda unit, scope: [part(unit, scope) for part in parts]

    def _choose(self, expr: Choose) -> Closure:
        test, then = self.closure(expr.condition), self.closure(expr.then)
        otherwise = self.closure(expr.otherwise)

        def closure(unit: Unit, scope: Scope) -> object:
            return (then if operators.truth(test(unit, scope)) else otherwise)(unit, scope)

        return closure

    def _constant(self, value: object, kind: Type) -> Closure:
        if isinstance(kind, DecimalType) and isinstance(value, int) and not isinstance(value, bool):
            value = Decimal(value)
        return lambda _unit, _scope: value

    def _get(self, expr: Get) -> Closure:
        base, field = self.closure(expr.of), expr.field
        kind = expr.of.type
        if isinstance(kind, RefType | RowType):
            if isinstance(expr.type, ManyType):
                return self._children(base, kind.entity, expr.type)
            return self._field_of_row(base, kind.entity, field)
        if isinstance(kind, ManyType):
            return lambda unit, scope: [
                _member(row, field) for row in _items(base(unit, scope), field)
            ]
        return lambda unit, scope: _member(base(unit, scope), field)

    def _field_of_row(self, base: Closure, entity: str, field: str) -> Closure:
        load = self.loads.one(entity)
        key = self.program.entity(entity).key

        def closure(unit: Unit, scope: Scope) -> object:
            value = base(unit, scope)
            if isinstance(value, Mapping):
                if field in value:
                    return value[field]
                value = value.get(key)
            if value is None or field == key:
                return value
            row = load(unit, value)
            return None if row is None else row[field]

        return closure

    def _children(self, base: Closure, entity: str, kind: ManyType) -> Closure:
        load = self.loads.many(kind.entity, kind.via)
        key = self.program.entity(entity).key

        def closure(unit: Unit, scope: Scope) -> object:
            value = operators.key_of(key, base(unit, scope))
            return [] if value is None else load(unit, value)

        return closure

    def _binary(self, expr: Binary) -> Closure:
        op = expr.op
        left, right = self._side(expr.left, expr.right), self._side(expr.right, expr.left)
        if op == "and":
            return lambda u, s: operators.truth(left(u, s)) and operators.truth(right(u, s))
        if op == "or":
            return lambda u, s: operators.truth(left(u, s)) or operators.truth(right(u, s))
        if op == "??":
            return _otherwise(left, right)
        if op == "==":
            return lambda u, s: operators.equal(left(u, s), right(u, s))
        if op == "!=":
            return lambda u, s: not operators.equal(left(u, s), right(u, s))
        if op == "in":
            return lambda u, s: operators.member(left(u, s), right(u, s))
        if op in ("<", "<=", ">", ">="):
            compare = operators.ordering(op)
            return lambda u, s: compare(left(u, s), right(u, s))
        compute = operators.arithmetic(op, expr.left.type, expr.right.type, expr.type)
        return lambda u, s: compute(left(u, s), right(u, s))

    def _side(self, expr: Expr, other: Expr) -> Closure:
        """A row beside a reference is compared by its key."""
        base = self.closure(expr)
        kind = expr.type if operators.is_reference(expr.type) else other.type
        if isinstance(kind, RefType | RowType):
            key = self.program.entity(kind.entity).key
            return lambda unit, scope: operators.key_of(key, base(unit, scope))
        return base

    def _call(self, expr: Call) -> Closure:
        if expr.name in self._own or expr.name == "print":
            # Functions hold statements, and statements hold expressions.
            from backstay.app.plan import routines

            return routines.called(self, expr)
        return self._library(expr)

    def _library(self, expr: Call) -> Closure:
        name, args = expr.name, [self.closure(arg) for arg in expr.args]
        if name == "now":
            return lambda unit, _: unit.now
        if name == "today":
            return lambda unit, _: stamp_text(unit.now)[:10]
        if name == "uuid":
            return lambda unit, _: unit.ids.new()
        if name == "random":
            return lambda unit, _: unit.dice.uniform(0.0, 1.0)
        if name == "user.has":
            return lambda unit, scope: any(unit.has(str(arg(unit, scope))) for arg in args)
        if name in TEXT_JOINS:
            return self._text(expr)
        function = FUNCTIONS.get(name)
        if function is None:
            raise Fault(NOT_SUPPORTED, where=self.program.name, what=f"the function {name}()")
        if name in WRITING:
            args[0] = self._shaped(args[0], expr.args[0].type)
        if isinstance(expr.type, UnknownType):
            # No type says what it is, so it has to carry that with it.
            return lambda unit, scope: function(*[arg(unit, scope) for arg in args])
        return lambda unit, scope: bare(function(*[arg(unit, scope) for arg in args]))

    def _shaped(self, value: Closure, kind: Type) -> Closure:
        shape = codec(self.program, kind).shape
        return lambda unit, scope: shape(value(unit, scope))

    def _text(self, expr: Call) -> Closure:
        parts: list[tuple[Closure, Callable[[object], object]]] = [
            (self.closure(arg), codec(self.program, arg.type).shape) for arg in expr.args
        ]

        def closure(unit: Unit, scope: Scope) -> object:
            values = [(part(unit, scope), shape) for part, shape in parts]
            return "".join([as_text(shape(value)) for value, shape in values if value is not None])

        return closure

    def _loop(self, expr: Sum | Map) -> Closure:
        items, value, variable = self.closure(expr.items), self.closure(expr.value), expr.variable

        def collect(unit: Unit, scope: Scope) -> list[object]:
            inner = dict(scope)
            found: list[object] = []
            for item in _items(items(unit, scope), variable):
                inner[variable] = item
                found.append(value(unit, inner))
            return found

        if isinstance(expr, Map):
            return collect
        zero: object = Decimal(0) if isinstance(expr.type, DecimalType) else 0
        plus = operators.arithmetic("+", expr.type, expr.type, expr.type)

        def total(unit: Unit, scope: Scope) -> object:
            result = zero
            for item in collect(unit, scope):
                result = plus(result, item)
            return result

        return total

    def _lambda(self, variable: str, value: Expr) -> Closure:
        body = self.closure(value)
        return lambda unit, scope: lambda item: body(unit, {**scope, variable: item})

    def _record(self, fields: tuple[tuple[str, Expr], ...]) -> Closure:
        members = [(name, self.closure(expr)) for name, expr in fields]
        return lambda unit, scope: {name: member(unit, scope) for name, member in members}


def _variable(name: str) -> Closure:
    def closure(_: Unit, scope: Scope) -> object:
        return scope[name]

    return closure


def _user(unit: Unit, _: Scope) -> object:
    who = unit.principal
    return {
        **who.claims,
        "id": who.sub,
        "sub": who.sub,
        "tenant": who.tenant,
        "roles": sorted(who.roles),
        "scopes": sorted(who.scopes),
    }


def _otherwise(left: Closure, right: Closure) -> Closure:
    def closure(unit: Unit, scope: Scope) -> object:
        value = left(unit, scope)
        return right(unit, scope) if value is None else value

    return closure


def _member(value: object, field: str) -> object:
    if isinstance(value, Mapping):
        return value.get(field)
    if value is None:
        return None
    raise Fault(CANNOT_COMPUTE, what=f".{field}", reason=f"{describe(value)} has no members")


def _items(value: object, what: str) -> list[object]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    raise Fault(CANNOT_COMPUTE, what=f"the list for {what}", reason=f"it is {describe(value)}")
