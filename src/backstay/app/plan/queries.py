"""`let rows = query "…"` in `do`: the query language inside the open transaction.

A query shows its asker what its asker may see. For whom rules hold, each entity with a read rule
stands for a WITH of the rows that the rule lets through, so joins and lists see no more than that.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

import re
from collections.abc import Callable, Sequence

import msgspec

from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import key_of
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.tables import quote, table
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.app.store.aim import dialect_of
from backstay.app.store.session import RowTrouble
from backstay.app.values import codec
from backstay.lang.program import Ask, DecimalType, Entity, Expr, Program, RowType
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_text
from backstay.lang.query.errors import CANNOT_COMPILE, EXECUTION, QueryError

_SEEN = "backstay_seen_"
_MARK = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\?)")


class Query:
    """One query of a program, made once. Raises QueryError for what is wrong with it."""

    def __init__(self, evaluator: Evaluator, spec: Ask) -> None:
        program = evaluator.program
        self._open = compile_text(program, spec.text, dialect_of(program).name)
        if self._open.writes:
            fix = "use the statements update and delete"
            raise QueryError(CANNOT_COMPILE, what="a query in do only reads", fix=fix)
        self._guarded, self._guards = _guarded(program, spec.text, self._open)
        self._given = [(name, _value(evaluator, expr)) for name, expr in spec.parameters]
        self._parse = codec(program, spec.type).parse

    def run(self, unit: Unit, scope: Scope) -> object:
        """Rows, or the one value, as Python values. Raises QueryError."""
        given = {name: value(unit, scope) for name, value in self._given}
        params: list[object] = list(self._open.bind(given, unit.now / 1_000_000))
        sql = self._open.sql
        if unit.guarded:
            sql = self._guarded
            params += [value for guard in self._guards for value in guard.bind(unit, {})]
        try:
            found = unit.conn.execute(sql, params)
        except RowTrouble as bad:
            raise QueryError(EXECUTION, reason=str(bad)) from bad
        return self._parse(self._made(found))

    def _made(self, found: Sequence[Sequence[object]]) -> object:
        if self._open.gives == "value":
            return self._open.cells(found[0])[-1]
        return [self._open.row(row) for row in found]


def _value(evaluator: Evaluator, expr: Expr) -> Closure:
    """A parameter as the query language takes it: JSON, but for decimals, and a row by its key."""
    program, value = evaluator.program, evaluator.closure(expr)
    if isinstance(expr.type, RowType):
        key = program.entity(expr.type.entity).key
        return lambda unit, scope: key_of(key, value(unit, scope))
    if isinstance(expr.type, DecimalType):
        return value
    shape = codec(program, expr.type).shape
    return lambda unit, scope: shape(value(unit, scope))


def _guarded(program: Program, text: str, plain: Compiled) -> tuple[str, list[Sql]]:
    """The statement for somebody for whom rules hold, and the rules in the order of their marks,
    which follow those of the query."""
    seen = [msgspec.structs.replace(each, table=_SEEN + each.table) for each in program.entities]
    copy = msgspec.structs.replace(program, entities=tuple(seen))
    made = compile_text(copy, text, plain.dialect)
    guards: list[Sql] = []
    parts: list[str] = []
    number = _numbers(plain)
    for entity in program.entities:
        if quote(_SEEN + entity.table) not in made.sql:
            continue
        guard = _rule(program, entity)
        rows = f"SELECT * FROM {quote(entity.table)}"
        if guard is not None:
            guards.append(guard)
            rows += f" WHERE {number(guard.text)}"
        parts.append(f"{quote(_SEEN + entity.table)} AS NOT MATERIALIZED ({rows})")
    if not guards:
        return plain.sql, []
    return f"WITH {', '.join(parts)} {made.sql}", guards


def _rule(program: Program, entity: Entity) -> Sql | None:
    rows = table(program, entity.name)
    return rule(program, Rows(program, guarded=False), rows, "read")


def _numbers(plain: Compiled) -> Callable[[str], str]:
    """Gives the question marks of a rule the numbers that follow those of the query."""
    count, sign = len(plain.slots), "?" if plain.dialect == "sqlite" else "$"

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        if found.group(1) is None:
            return found.group(0)
        count += 1
        return f"{sign}{count}"

    return lambda text: _MARK.sub(mark, text)
