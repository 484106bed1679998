"""`create`, `update` and `delete` of one entity, each as few statements as it can be.

A create checks its rule on the row as it was stored; an update or delete has its rule in the same
WHERE as its condition, so what is checked is what is changed.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Callable, Mapping, Sequence

from backstay.app.errors import BAD_VALUE, NO_VALUE, OUT_OF_RANGE
from backstay.app.plan.bounds import broken_bound, fit_for_rows, pattern_checks
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.faults import Refusals
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import Verb, forbidden, rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Column, Table, quote, table
from backstay.app.plan.unit import Closure, Param, Row, Scope, Unit
from backstay.app.store.session import RowTrouble
from backstay.app.values import SqlValue
from backstay.core.errors import Fault
from backstay.lang.program import (
    Call,
    Create,
    Expr,
    Field,
    ManyType,
    Program,
    ScalarType,
)
from backstay.lang.query.stored import DELETED_AT

Insert = Callable[[Unit, Mapping[str, object]], Row]
_STAMP = ScalarType("timestamp")


class Writer:
    """Compiles writes to one entity."""

    def __init__(self, program: Program, entity: str) -> None:
        self._program = program
        self._rows = table(program, entity)
        fit_for_rows(self._rows)
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
        if field.auto_update:
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
        values = [*values, *self._touched({name for name, _ in values})]
        fit = pattern_checks(self._rows, self._evaluator, values)
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
        update = self._changing(start, sets_of, names, where, "update", computed)
        if not fit:
            return update

        def run(unit: Unit, scope: Scope) -> int:
            for each in fit:
                each(unit, scope)
            return update(unit, scope)

        return run

    def _touched(self, given: set[str]) -> list[tuple[str, Expr]]:
        """What changes with every change, unless it is said."""
        now = Call("now", (), _STAMP)
        fields = [column.field for column in self._rows.columns]
        return [(each.name, now) for each in fields if each.auto_update and each.name not in given]

    def delete(self, where: Expr) -> Callable[[Unit, Scope], int]:
        """One DELETE, or the mark of it; how many rows went."""
        if self._rows.soft:
            return self._marking(lambda unit, _: unit.now, where)
        return self._changing(f"DELETE FROM {self._rows.name}", [], [], where, "delete")

    def restore(self, where: Expr) -> Callable[[Unit, Scope], int]:
        """Takes the mark off deleted rows; how many came back. Whoever may delete may do it."""
        return self._marking(lambda _unit, _scope: None, where, gone=True)

    def _marking(
        self, mark: Param, where: Expr, *, gone: bool = False
    ) -> Callable[[Unit, Scope], int]:
        start = f"UPDATE {self._rows.name} SET {quote(DELETED_AT)} = ?"
        return self._changing(start, [Sql("?", (mark,), _STAMP)], [""], where, "delete", gone=gone)

    def _changing(
        self,
        start: str,
        sets: Sequence[Sql],
        names: Sequence[str],
        where: Expr,
        verb: Verb,
        computed: Sequence[str] = (),
        *,
        gone: bool = False,
    ) -> Callable[[Unit, Scope], int]:
        """`gone`: the rows that it is about are the deleted ones."""
        rows = self._rows
        condition = SqlCompiler(self._evaluator, rows).condition(where)
        guard = rule(self._program, self._raw, rows, verb)
        there = f"{rows.name}.{quote(DELETED_AT)} IS NOT NULL" if gone else rows.living()
        if there:
            condition = Sql(f"({condition.text} AND {there})", condition.params, condition.type)
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
            unit.wrote("restore" if gone else verb, rows.entity.name, changed)
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


def nested_of(program: Program, statement: Create) -> list[tuple[str, ManyType, Expr]]:
    """The list fields that a create fills."""
    kinds = {field.name: field.type for field in program.entity(statement.entity).fields}
    return [
        (name, kind, expr)
        for name, expr in statement.values
        if isinstance(kind := kinds[name], ManyType)
    ]
