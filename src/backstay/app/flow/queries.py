"""A query in a step: compiled when the step runs, so that what is wrong with it is the step's own
failure, said with its kind (C13)."""

from collections.abc import Callable, Mapping

import msgspec

from backstay.app.plan.unit import Unit
from backstay.app.store.session import RowTrouble
from backstay.app.values import stamp_text
from backstay.lang.program import Program, ScalarType
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_text
from backstay.lang.query.errors import EXECUTION, QueryError
from backstay.lang.query.slots import Slot

Answer = Callable[[Unit, Mapping[str, object]], str]


def compile_query(program: Program, text: str) -> Answer:
    """`answer(unit, scope)` gives rows as JSON text; the value alone of a `count(E)` or `sum(…)`;
    `{"changed": N}` for an update or a delete. `@name` is the variable of that name, `@name.field`
    a value in it. Raises QueryError when it runs."""
    made: list[Compiled] = []

    def answer(unit: Unit, scope: Mapping[str, object]) -> str:
        if not made:
            made.append(compile_text(program, text, unit.conn.dialect.name))
        return msgspec.json.encode(_run(made[0], unit, scope)).decode()

    return answer


def _run(query: Compiled, unit: Unit, scope: Mapping[str, object]) -> object:
    given = {slot.parameter: _given(slot, scope) for slot in query.slots if slot.parameter}
    values = query.bind(given, unit.now / 1_000_000)
    try:
        found = unit.conn.execute(query.sql, values)
        changed = unit.conn.changes()
    except RowTrouble as bad:
        raise QueryError(EXECUTION, reason=str(bad)) from bad
    if query.gives == "value":
        (row,) = found
        return query.cells(row)[-1]
    if not query.writes:
        return [query.row(row) for row in found]
    # What the statement changed may have been read already in this transaction.
    unit.forget(query.entity)
    return {"changed": changed}


def _given(slot: Slot, scope: Mapping[str, object]) -> object:
    """A variable as a query takes it: a row by its key, a time as text."""
    head, *path = slot.parameter.split(".")
    value = scope.get(head)
    for name in path:
        # A reference is its key already, and the checker lets nothing else through.
        value = value.get(name) if isinstance(value, Mapping) else value
    if isinstance(value, Mapping):
        return value.get("id")
    stamped = isinstance(slot.type, ScalarType) and slot.type.name == "timestamp"
    return stamp_text(value) if stamped and isinstance(value, int) else value
