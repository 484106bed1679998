"""Expressions that speak of a row's columns, as SQL text with parameters.

Whatever holds no column becomes one parameter, computed by its closure when the statement runs: no
value is ever pasted into SQL. The meaning is that of `operators.py`: `==` and `!=` know null, an
ordering with null is false, decimals are scaled integers brought to one scale before they meet.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

import msgspec

from backstay.app.errors import BAD_VALUE, NOT_SUPPORTED
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import is_json, is_scalar, key_of, textual
from backstay.app.plan.scales import Sql, aligned, is_number, product, rescaled
from backstay.app.plan.speaking import of_asker, speaks_of_columns
from backstay.app.plan.tables import Table, key_kind, quote, table
from backstay.app.plan.unit import Closure, Param, Scope, Unit
from backstay.app.store.aim import dialect_of
from backstay.app.store.dialect import Convert
from backstay.app.values import SqlValue, codec
from backstay.core.errors import Fault
from backstay.lang.program import (
    Binary,
    Call,
    Choose,
    Column,
    DecimalType,
    Expr,
    Field,
    Get,
    RefType,
    RowType,
    ScalarType,
    Type,
    Unary,
    UnknownType,
)

BOOL = ScalarType("bool")
_SPELLED = {
    "ItemAt": "[ ] of a column",
    "Listed": "a list with a column in it",
    "Map": "[x in LIST: …] with a column",
    "Sum": "sum(x in LIST: …) with a column",
    "Record": "a record with a column in it",
    "Lambda": "a lambda with a column in it",
}


class SqlCompiler:
    """Compiles conditions and changes on rows of one table. `rule`: what is compared with `user`
    decides who may, so a name that nobody has is nobody's."""

    def __init__(self, evaluator: Evaluator, rows: Table, *, rule: bool = False) -> None:
        self._evaluator = evaluator
        self._program = evaluator.program
        self._rows = rows
        self._dialect = dialect_of(self._program)
        self._depth = 0
        self._rule = rule

    def condition(self, expr: Expr) -> Sql:
        """For WHERE: null counts as false. Raises APP004 for what SQL cannot say here."""
        return self._truth(expr)

    def change(self, expr: Expr, field: Field) -> Sql:
        """For SET: the new value in the storage of `field`."""
        if not speaks_of_columns(expr):
            return self._stored(expr, field)
        made = self._compile(expr)
        if isinstance(field.type, DecimalType):
            return rescaled(self._dialect, made, field.type)
        if is_json(field.type):
            if not is_json(made.type):
                raise self._unsupported(f"another column as the JSON of {field.name}")
            return Sql(self._dialect.text_json(made.text), made.params, made.type)
        return made

    def _stored(self, expr: Expr, field: Field) -> Sql:
        closure = self._evaluator.closure(expr)
        changes, where = codec(self._program, field.type), f"{self._rows.entity.name}.{field.name}"

        def param(unit: Unit, scope: Scope) -> SqlValue:
            try:
                return changes.store(changes.fit(closure(unit, scope)))
            except ValueError as bad:
                raise Fault(BAD_VALUE, where=where, reason=str(bad)) from None

        return Sql("?", (param,), field.type)

    def _compile(self, expr: Expr) -> Sql:
        match expr:
            case Column(field=field, type=kind):
                return Sql(self._column(f"{self._rows.name}.{quote(field)}", kind), (), kind)
            case Get():
                return self._through(expr)
            case Binary(op=op) if op in ("and", "or", "==", "!=", "<", "<=", ">", ">=", "in"):
                made = self._truth(expr)
                return Sql(f"COALESCE({made.text}, FALSE)", made.params, BOOL)
            case Binary(op="??"):
                return self._coalesce(expr)
            case Binary():
                return self._arithmetic(expr)
            case Unary(op="not"):
                return self._truth(expr)
            case Unary(operand=operand):
                inner = self._compile(operand)
                return Sql(f"(-{inner.text})", inner.params, inner.type)
            case Call():
                return self._call(expr)
            case Choose():
                return self._choose(expr)
            case _:
                raise self._unsupported(_SPELLED.get(type(expr).__name__, "this"))

    def _choose(self, expr: Choose) -> Sql:
        test = self._truth(expr.condition)
        if speaks_of_columns(expr.then) or speaks_of_columns(expr.otherwise):
            then, otherwise = self._either(expr.then, expr.otherwise)
        elif isinstance(expr.type, UnknownType):
            raise self._unsupported("a ? b : c of unknown type")
        else:
            then, otherwise = (self._param(each, expr.type) for each in (expr.then, expr.otherwise))
        text = f"(CASE WHEN {test.text} THEN {then.text} ELSE {otherwise.text} END)"
        return Sql(text, test.params + then.params + otherwise.params, then.type)

    def _through(self, expr: Get) -> Sql:
        """A field of the row that a reference column points at: a scalar subquery."""
        if not isinstance(expr.of.type, RefType):
            raise self._unsupported(f"the path .{expr.field}")
        target = table(self._program, expr.of.type.entity)
        inner = self._compile(expr.of)
        if expr.field == target.key:
            return Sql(inner.text, inner.params, expr.type)
        if not target.has(expr.field):
            raise self._unsupported(f"the list .{expr.field}")
        self._depth += 1
        name = f"r{self._depth}"
        column = self._column(f"{name}.{quote(expr.field)}", expr.type)
        text = (
            f"(SELECT {column} FROM {target.source(name)}"
            f" WHERE {name}.{quote(target.key)} = {inner.text})"
        )
        return Sql(text, inner.params, expr.type)

    def _column(self, name: str, kind: Type) -> str:
        return self._dialect.json_text(name) if is_json(kind) else name

    # --- truth ---

    def _truth(self, expr: Expr) -> Sql:
        if not speaks_of_columns(expr):
            return self._flag(self._evaluator.closure(expr))
        match expr:
            case Binary(op=op, left=left, right=right) if op in ("and", "or"):
                a, b = self._truth(left), self._truth(right)
                return Sql(f"({a.text} {op.upper()} {b.text})", a.params + b.params, BOOL)
            case Binary(op="in", left=left, right=right):
                return self._member(left, right)
            case Binary(op=op) if op in ("==", "!=", "<", "<=", ">", ">="):
                return self._comparison(expr)
            case Unary(op="not", operand=operand):
                inner = self._truth(operand)
                return Sql(f"(NOT COALESCE({inner.text}, FALSE))", inner.params, BOOL)
            case _:
                return self._compile(expr)

    def _flag(self, closure: Closure) -> Sql:
        mark = self._dialect.operand(BOOL, BOOL).mark
        return Sql(mark, (lambda unit, scope: bool(closure(unit, scope)),), BOOL)

    def _comparison(self, expr: Binary) -> Sql:
        left, right = expr.left, expr.right
        if expr.op in ("==", "!=") and not (speaks_of_columns(left) and speaks_of_columns(right)):
            column, value = (left, right) if speaks_of_columns(left) else (right, left)
            return self._equality(expr.op, column, value)
        a, b = self._pair(left, right)
        op = {"==": "IS NOT DISTINCT FROM", "!=": "IS DISTINCT FROM"}.get(expr.op, expr.op)
        if expr.op == "==" and (self._never_null(left) or self._never_null(right)):
            op = "="
        return Sql(f"({a.text} {op} {b.text})", a.params + b.params, BOOL)

    def _equality(self, op: str, column: Expr, value: Expr) -> Sql:
        """A column beside a computed value, null being a value like others."""
        stored = self._compile(column)
        if op == "==" and self._rule and of_asker(value):
            return self._owned(stored, value)
        given = self._param(value, stored.type)
        if op == "==":
            nullable = not self._never_null(column)
            made = self._dialect.same(stored.text, given.text, nullable=nullable)
        else:
            made = self._dialect.other(stored.text, given.text)
        closure = self._evaluator.closure(value)
        params: dict[str, tuple[Param, ...]] = {
            "c": stored.params,
            "v": given.params,
            "n": (lambda unit, scope: closure(unit, scope) is None,),
        }
        return Sql(made.text, tuple(each for part in made.order for each in params[part]), BOOL)

    def _owned(self, stored: Sql, value: Expr) -> Sql:
        """`owner == user.id`: who is nobody, or has no such claim, has no rows either, although
        some may be without an owner."""
        mark, convert = self._comparable(stored.type, value.type)
        closure = self._evaluator.closure(value)
        made = self._dialect.same(stored.text, mark, nullable=False)

        def param(unit: Unit, scope: Scope) -> SqlValue:
            return convert(closure(unit, scope) or None)

        return Sql(made.text, (*stored.params, param), BOOL)

    def _never_null(self, expr: Expr) -> bool:
        if not isinstance(expr, Column):
            return False
        field = self._rows.column(expr.field).field
        return field.required or field.primary

    def _member(self, left: Expr, right: Expr) -> Sql:
        if speaks_of_columns(right):
            if speaks_of_columns(left) or not textual(right.type):
                raise self._unsupported("`in` with a column on its right side")
            whole, part = self._compile(right), self._param(left, right.type)
            text = f"({self._dialect.position(whole.text, part.text)} > 0)"
            return Sql(text, whole.params + part.params, BOOL)
        column = self._compile(left)
        items = self._evaluator.closure(right)
        convert = self._comparable(column.type, column.type)[1]

        def param(unit: Unit, scope: Scope) -> SqlValue:
            found = items(unit, scope)
            listed = found if isinstance(found, list | tuple) else []
            stored = [convert(item) for item in listed if item is not None]
            return msgspec.json.encode([item for item in stored if item is not None]).decode()

        text = self._dialect.among(column.text, key_kind(self._program, column.type))
        return Sql(text, (*column.params, param), BOOL)

    # --- values that meet ---

    def _pair(self, left: Expr, right: Expr) -> tuple[Sql, Sql]:
        """Both sides in one storage."""
        if not speaks_of_columns(left):
            b = self._compile(right)
            return self._param(left, b.type), b
        a = self._compile(left)
        if not speaks_of_columns(right):
            return a, self._param(right, a.type)
        return aligned(self._dialect, a, self._compile(right))

    def _either(self, left: Expr, right: Expr) -> tuple[Sql, Sql]:
        """Two values of which one is taken, in one storage: a number without a column is not
        brought to the column's scale, at which it may be no number of its own."""
        if is_number(left.type) and is_number(right.type):
            return aligned(self._dialect, self._number(left), self._number(right))
        return self._pair(left, right)

    def _param(self, expr: Expr, kind: Type) -> Sql:
        closure = self._evaluator.closure(expr)
        mark, convert = self._comparable(kind, expr.type)
        return Sql(mark, (lambda unit, scope: convert(closure(unit, scope)),), kind)

    def _comparable(self, kind: Type, of: Type) -> tuple[str, Convert]:
        """Python → what a stored value of `kind` can be compared with; it need not fit there."""
        operand = self._dialect.operand(key_kind(self._program, kind), key_kind(self._program, of))
        key = self._program.entity(kind.entity).key if isinstance(kind, RefType | RowType) else ""

        def convert(value: object) -> SqlValue:
            try:
                return operand.convert(key_of(key, value) if key else value)
            except ValueError as bad:
                raise Fault(BAD_VALUE, where=self._rows.entity.name, reason=str(bad)) from None

        return operand.mark, convert

    def _coalesce(self, expr: Binary) -> Sql:
        a, b = self._either(expr.left, expr.right)
        return Sql(f"COALESCE({a.text}, {b.text})", a.params + b.params, a.type)

    def _arithmetic(self, expr: Binary) -> Sql:
        left, right, op = expr.left, expr.right, expr.op
        if is_scalar(left.type, "timestamp") or is_scalar(right.type, "timestamp"):
            return self._moment(expr)
        if op == "+" and textual(expr.type):
            a, b = self._pair(left, right)
            text = f"(COALESCE({a.text}, '') || COALESCE({b.text}, ''))"
            return Sql(text, a.params + b.params, expr.type)
        a, b = self._number(left), self._number(right)
        if op == "/":
            return self._division(expr, a, b)
        if op == "*":
            return Sql(f"({a.text} * {b.text})", a.params + b.params, product(a.type, b.type))
        a, b = aligned(self._dialect, a, b)
        if op == "%":
            return self._rest(expr, a, b)
        return Sql(f"({a.text} {op} {b.text})", a.params + b.params, a.type)

    def _rest(self, expr: Binary, a: Sql, b: Sql) -> Sql:
        """Of whole numbers and decimals: they are of one scale here. Neither database has it of
        floats."""
        if is_scalar(expr.type, "float"):
            raise self._unsupported("% of floats")
        return Sql(f"({a.text} % NULLIF({b.text}, 0))", a.params + b.params, a.type)

    def _division(self, expr: Binary, a: Sql, b: Sql) -> Sql:
        if is_scalar(expr.type, "int"):
            return Sql(f"({a.text} / NULLIF({b.text}, 0))", a.params + b.params, expr.type)
        if is_scalar(expr.type, "float"):
            a, b = aligned(self._dialect, a, b)
            text = f"(CAST({a.text} AS DOUBLE PRECISION) / NULLIF({b.text}, 0))"
            return Sql(text, a.params + b.params, expr.type)
        raise self._unsupported("a division of decimals")

    def _number(self, expr: Expr) -> Sql:
        if speaks_of_columns(expr):
            return self._compile(expr)
        kind = expr.type
        if isinstance(kind, UnknownType):
            raise self._unsupported("arithmetic with a value of unknown type")
        return self._param(expr, kind)

    def _moment(self, expr: Binary) -> Sql:
        """A timestamp moved by a duration; durations are seconds, timestamps microseconds."""
        left, right = expr.left, expr.right
        if is_scalar(left.type, "timestamp") and is_scalar(right.type, "timestamp"):
            a, b = self._pair(left, right)
            text = self._dialect.elapsed(a.text, b.text)
            return Sql(text, a.params + b.params, ScalarType("duration"))
        if not is_scalar(left.type, "timestamp"):
            left, right = right, left  # only a sum can have the duration first
        a, b = self._side(left), self._side(right)
        text = self._dialect.moved(a.text, expr.op, b.text)
        return Sql(text, a.params + b.params, ScalarType("timestamp"))

    def _side(self, expr: Expr) -> Sql:
        return self._compile(expr) if speaks_of_columns(expr) else self._param(expr, expr.type)

    def _call(self, expr: Call) -> Sql:
        name, args = expr.name, expr.args
        if name in ("len", "length") and len(args) == 1 and textual(args[0].type):
            inner = self._compile(args[0])
            return Sql(f"length({inner.text})", inner.params, ScalarType("int"))
        if name == "abs" and len(args) == 1:
            inner = self._compile(args[0])
            return Sql(f"abs({inner.text})", inner.params, inner.type)
        if name in ("contains", "starts_with") and len(args) == 2:
            a, b = self._pair(*args)
            sign = "> 0" if name == "contains" else "= 1"
            # In SQL an empty text is found at 1 as well, so both say yes to it, as Python does.
            text = f"({self._dialect.position(a.text, b.text)} {sign})"
            return Sql(text, a.params + b.params, BOOL)
        raise self._unsupported(f"the function {name}() of a column")

    def _unsupported(self, what: str) -> Fault:
        return Fault(NOT_SUPPORTED, where=self._rows.entity.name, what=what)
