"""Reading rows and aggregates from inside a transaction, with the access rules or without."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Callable, Sequence
from decimal import Decimal

from backstay.app.plan.evaluate import Evaluator, Loads
from backstay.app.plan.operators import is_scalar
from backstay.app.plan.rules import rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Table, quote, table
from backstay.app.plan.unit import Closure, Row, Scope, Unit
from backstay.app.store.aim import dialect_of
from backstay.app.values import EXACT, SqlValue
from backstay.lang.program import Aggregate, DecimalType, Program, ScalarType


class Rows:
    """The `Loads` of expressions. `guarded` puts the read rule into each statement; a unit of
    SYSTEM passes it all the same."""

    def __init__(self, program: Program, *, guarded: bool) -> None:
        self._program = program
        self._guarded = guarded

    def one(self, entity: str) -> Callable[[Unit, object], Row | None]:
        rows = table(self._program, entity)
        find = self._finder(rows, rows.key)

        def load(unit: Unit, key: object) -> Row | None:
            if not isinstance(key, str | int):
                return None
            found = unit.cached((entity, self._mode, "", key), lambda: find(unit, key))
            return found[0] if isinstance(found, list) and found else None

        return load

    def many(self, entity: str, via: str) -> Callable[[Unit, object], list[Row]]:
        rows = table(self._program, entity)
        find = self._finder(rows, via)

        def load(unit: Unit, key: object) -> list[Row]:
            if not isinstance(key, str | int):
                return []
            found = unit.cached((entity, self._mode, via, key), lambda: find(unit, key))
            return list(found) if isinstance(found, list) else []

        return load

    def aggregate(self, node: Aggregate) -> Closure:
        rows = table(self._program, node.entity)
        evaluator = Evaluator(self._program, self)
        where = None
        if node.where is not None:
            where = SqlCompiler(evaluator, rows).condition(node.where)
        guard = self._rule(rows)
        what = _aggregated(node, rows)
        finish = self._finish(node, rows)

        def closure(unit: Unit, scope: Scope) -> object:
            text, params = select(what, rows, [where, guard if unit.guarded else None], unit, scope)
            first = unit.conn.execute(text, params).fetchone()
            return finish(() if first is None else first)

        return closure

    @property
    def _mode(self) -> str:
        return "guarded" if self._guarded else "raw"

    def _rule(self, rows: Table) -> Sql | None:
        if not self._guarded:
            return None
        return rule(self._program, Rows(self._program, guarded=False), rows, "read")

    def _finder(self, rows: Table, by: str) -> Callable[[Unit, object], list[Row]]:
        # The rule is compiled on first use: a rule may itself go through other entities, and
        # compiling each with all of its neighbours at once would never end for a cycle.
        guards: list[Sql | None] = []
        column = quote(by)
        order = f" ORDER BY {rows.name}.{quote(rows.key)}"

        def find(unit: Unit, key: object) -> list[Row]:
            if not guards:
                guards.append(self._rule(rows))
            guard = guards[0] if unit.guarded else None
            text = f"SELECT {rows.select} FROM {rows.source()} WHERE {rows.name}.{column} = ?"
            params: list[SqlValue] = [key]  # type: ignore[list-item]
            if guard is not None:
                text += f" AND {guard.text}"
                params += guard.bind(unit, {})
            return [rows.row(values) for values in unit.conn.execute(text + order, params)]

        return find

    def _finish(self, node: Aggregate, rows: Table) -> Callable[[Sequence[SqlValue]], object]:
        if node.op == "count":
            return lambda found: found[0]
        column = rows.column(node.field)
        load = column.codec.load
        kind = column.field.type
        scaled = isinstance(kind, DecimalType) and dialect_of(self._program).scaled
        scale = kind.scale if scaled and isinstance(kind, DecimalType) else 0
        if node.op in ("min", "max"):
            return lambda found: load(found[0])
        if node.op == "avg":
            return lambda found: _average(found, scale, exact=isinstance(kind, DecimalType))
        if isinstance(kind, DecimalType):
            return lambda found: Decimal(_number(found[0])).scaleb(-scale, EXACT)
        if isinstance(kind, ScalarType) and kind.name == "float":
            return lambda found: float(found[0] or 0)
        return lambda found: found[0] or 0


def select(
    what: str, rows: Table, conditions: Sequence[Sql | None], unit: Unit, scope: Scope
) -> tuple[str, list[SqlValue]]:
    """`SELECT what FROM rows WHERE` all conditions that are not None, with their parameters."""
    held = [condition for condition in conditions if condition is not None]
    text = f"SELECT {what} FROM {rows.source()}"
    if held:
        text += " WHERE " + " AND ".join(condition.text for condition in held)
    return text, [value for condition in held for value in condition.bind(unit, scope)]


def _aggregated(node: Aggregate, rows: Table) -> str:
    if node.op == "count":
        return "count(*)"
    column = f"{rows.name}.{quote(node.field)}"
    if node.op in ("sum", "avg") and is_scalar(rows.column(node.field).field.type, "int"):
        # Where a sum of whole numbers is something larger than they are.
        total = f"CAST(sum({column}) AS BIGINT)"
    else:
        total = f"sum({column})"
    if node.op == "avg":
        return f"{total}, count({column})"
    return total if node.op == "sum" else f"{node.op}({column})"


def _average(found: Sequence[SqlValue], scale: int, *, exact: bool) -> object:
    total, count = found[0], found[1]
    if total is None or not count:
        return None
    if exact:
        whole = Decimal(_number(total)).scaleb(-scale, EXACT)
        return EXACT.divide(whole, Decimal(int(count)))
    return float(total) / int(count)


def _number(value: SqlValue) -> int | float | str:
    return value if isinstance(value, int | float | str) else 0


def loads(program: Program) -> Loads:
    """The loads of requests, workflows and jobs: guarded, unless the unit is SYSTEM's."""
    return Rows(program, guarded=True)
