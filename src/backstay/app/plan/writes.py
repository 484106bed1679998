"""`create`, `update` and `delete` of one entity, each as few statements as it can be.

A create checks its rule on the row as it was stored; an update or delete has its rule in the same
WHERE as its condition, so what is checked is what is changed.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from backstay.app.errors import BAD_VALUE, NO_VALUE, OUT_OF_RANGE
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.faults import Refusals
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import Verb, forbidden, rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Column, Table, quote, table
from backstay.app.plan.unit import Closure, Row, Scope, Unit
from backstay.app.store.session import RowTrouble
from backstay.app.values import SqlValue
from backstay.core.errors import Fault
from backstay.lang.program import (
    Create,
    Expr,
    Field,
    ManyType,
    Program,
    ScalarType,
)

Insert = Callable[[Unit, Mapping[str, object]], Row]


class Writer:
    """Compiles writes to one entity."""

    def __init__(self, program: Program, entity: str) -> None:
        self._program = program
        self._rows = table(program, entity)
        self._evaluator = Evaluator(program, Rows(program, guarded=True))
        self._raw = Rows(program, guarded=False)
        self._refusals = Refusals(program, self._rows)

    # --- create ---

    def insert(self) -> Insert:
        """Inserts one row of given Python values; defaults and automatic values are filled in.
        Raises Faults that name the field."""
        rows, key = self._rows, quote(self._rows.key)
        guard = rule(self._program, self._raw, rows, "create")
        text = _insertion(rows, rows.names)
        counted = _insertion(rows, [name for name in rows.names if name != rows.key])
        fillers = [(column, self._missing(column.field)) for column in rows.columns]

        def run(unit: Unit, given: Mapping[str, object]) -> Row:
            row: Row = {}
            stored: dict[str, SqlValue] = {}
            for column, fill in fillers:
                value = given[column.name] if column.name in given else fill(unit, {})
                row[column.name] = fitted = self._fitted(column, value)
                stored[column.name] = column.codec.store(fitted)
            numbered = row[rows.key] is None
            if numbered:
                del stored[rows.key]
            wanted = [f"{rows.name}.{key}"] if numbered else []
            params = list(stored.values())
            if guard is not None and unit.guarded:
                # Judged on the row as it is stored, by the statement that stores it.
                wanted.append(guard.text)
                params += guard.bind(unit, {})
            statement = counted if numbered else text
            if wanted:
                statement += " RETURNING " + ", ".join(wanted)
            try:
                made = unit.conn.execute(statement, params).fetchone()
            except RowTrouble as refusal:
                raise self._refusals.fault(refusal, unit.conn, stored) from None
            if guard is not None and unit.guarded and not made[-1]:
                raise forbidden(unit, rows, "create")
            if numbered:
                row[rows.key] = made[0]
            unit.wrote("create", rows.entity.name, 1, row[rows.key])
            return row

        return run

    def _missing(self, field: Field) -> Closure:
        """What a field gets when nothing is given."""
        if field.default is not None:
            return self._evaluator.closure(field.default)
        if field.auto and isinstance(field.type, ScalarType):
            if field.type.name == "uuid":
                return lambda unit, _: unit.ids.new()
            if field.type.name == "timestamp":
                return lambda unit, _: unit.now
        return lambda _unit, _scope: None

    def _fitted(self, column: Column, value: object) -> object:
        field, entity = column.field, self._rows.entity.name
        if value is None:
            if field.required or (field.primary and not field.auto):
                raise Fault(NO_VALUE, entity=entity, field=field.name)
            return None
        try:
            fitted = column.codec.fit(value)
        except ValueError as bad:
            raise Fault(BAD_VALUE, where=f"{entity}.{field.name}", reason=str(bad)) from None
        broken = broken_bound(field, fitted)
        if broken:
            raise Fault(OUT_OF_RANGE, entity=entity, field=field.name, rule=broken)
        return fitted

    # --- update, delete ---

    def update(
        self, where: Expr, values: Sequence[tuple[str, Expr]]
    ) -> Callable[[Unit, Scope], int]:
        """One UPDATE; how many rows it changed."""
        compiler = SqlCompiler(self._evaluator, self._rows)
        changes = [
            (name, compiler.change(expr, self._rows.column(name).field)) for name, expr in values
        ]
        sets = ", ".join(f"{quote(name)} = {made.text}" for name, made in changes)
        start = f"UPDATE {self._rows.name} SET {sets}"
        # A computed column has parameters, too, but none of them is the value it gets.
        names = [name if made.text == "?" else "" for name, made in changes for _ in made.params]
        computed = [name for name, made in changes if made.text != "?"]
        sets_of = [made for _, made in changes]
        return self._changing(start, sets_of, names, where, "update", computed)

    def delete(self, where: Expr) -> Callable[[Unit, Scope], int]:
        """One DELETE; how many rows went."""
        return self._changing(f"DELETE FROM {self._rows.name}", [], [], where, "delete")

    def _changing(
        self,
        start: str,
        sets: Sequence[Sql],
        names: Sequence[str],
        where: Expr,
        verb: Verb,
        computed: Sequence[str] = (),
    ) -> Callable[[Unit, Scope], int]:
        rows = self._rows
        condition = SqlCompiler(self._evaluator, rows).condition(where)
        guard = rule(self._program, self._raw, rows, verb)
        open_text = f"{start} WHERE {condition.text}"
        guarded_text = open_text if guard is None else f"{open_text} AND {guard.text}"
        refused = self._refused(condition, verb)

        def run(unit: Unit, scope: Scope) -> int:
            params = [value for made in sets for value in made.bind(unit, scope)]
            stored = dict(zip(names, params, strict=True))
            params += condition.bind(unit, scope)
            guarded = unit.guarded and guard is not None
            if guarded and guard is not None:
                params += guard.bind(unit, {})
            try:
                unit.conn.execute(guarded_text if guarded else open_text, params)
            except RowTrouble as refusal:
                touched = (condition.text, condition.bind(unit, scope))
                raise self._refusals.fault(refusal, unit.conn, stored, touched, computed) from None
            changed = unit.conn.changes()
            unit.wrote(verb, rows.entity.name, changed)
            if guarded and not changed:
                refused(unit, scope)
            return changed

        return run

    def _refused(self, condition: Sql, verb: Verb) -> Callable[[Unit, Scope], None]:
        """Nothing matched: say 403 when the rule was why, and the row may be seen at all."""
        rows = self._rows
        visible = rule(self._program, self._raw, rows, "read")
        text = f"SELECT 1 FROM {rows.name} WHERE {condition.text}"
        if visible is not None:
            text += f" AND {visible.text}"

        def refuse(unit: Unit, scope: Scope) -> None:
            params = condition.bind(unit, scope)
            if visible is not None:
                params += visible.bind(unit, {})
            if unit.conn.execute(f"{text} LIMIT 1", params).fetchone() is not None:
                raise forbidden(unit, rows, verb)

        return refuse


def _insertion(rows: Table, names: Sequence[str]) -> str:
    columns, marks = ", ".join(quote(name) for name in names), ", ".join("?" * len(names))
    values = f"({columns}) VALUES ({marks})" if names else "DEFAULT VALUES"
    return f"INSERT INTO {rows.name} {values}"


def broken_bound(field: Field, value: object) -> str:
    """The rule among `min` and `max` that `value` breaks, "" when none: numbers by size, texts and
    lists by length."""
    if value is None or (field.minimum is None and field.maximum is None):
        return ""
    if isinstance(value, str | list | tuple):
        units = (" character", " characters") if isinstance(value, str) else (" entry", " entries")
        size = Decimal(len(value))
    elif isinstance(value, int | float | Decimal):
        size, units = Decimal(value), ("", "")
    else:
        return ""
    if field.minimum is not None and size < field.minimum:
        return f"at least {field.minimum:f}{units[field.minimum != 1]}"
    if field.maximum is not None and size > field.maximum:
        return f"at most {field.maximum:f}{units[field.maximum != 1]}"
    return ""


def nested_of(program: Program, statement: Create) -> list[tuple[str, ManyType, Expr]]:
    """The list fields that a create fills."""
    kinds = {field.name: field.type for field in program.entity(statement.entity).fields}
    return [
        (name, kind, expr)
        for name, expr in statement.values
        if isinstance(kind := kinds[name], ManyType)
    ]
