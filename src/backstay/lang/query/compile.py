"""From a query to SQL: names are looked up, types compared, values kept apart from the text.

Both databases give the same rows in the same order: nulls sort first, texts by code point, ties by
the key. Case is folded for ASCII letters only, which is what both can do.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from backstay.core.nearest import nearest
from backstay.lang.columns import Dialect
from backstay.lang.program import DecimalType, Entity, Program
from backstay.lang.query import errors as e
from backstay.lang.query.parser import AGGREGATES, parse
from backstay.lang.query.scope import Scope, cannot
from backstay.lang.query.select import Output, Select
from backstay.lang.query.slots import Slot, Slots, fill, fill_now
from backstay.lang.query.tree import Place, Query, Ref
from backstay.lang.query.values import SqlValue, load
from backstay.lang.query.write import write

__all__ = ["Compiled", "Output", "compile"]


Gives = Literal["rows", "value", "changed"]
"""What a query is worth: rows; the one value of `count(E)`; the number of rows it changed."""


class Compiled(msgspec.Struct, frozen=True):
    """A statement ready to run. `sql` has `?1` on SQLite and `$1` on PostgreSQL; it holds no value.
    `outputs` is empty for statements that only write."""

    sql: str
    dialect: Dialect
    entity: str
    slots: tuple[Slot, ...]
    outputs: tuple[Output, ...]
    writes: bool = False
    gives: Gives = "rows"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what `bind` wants, each once."""
        return tuple(dict.fromkeys(each.parameter for each in self.slots if each.parameter))

    def bind(
        self, given: Mapping[str, object] | None = None, now: float | None = None
    ) -> tuple[SqlValue, ...]:
        """The values in the order of the statement. `given` is as JSON has it; `now` is seconds of
        the epoch, for queries that ask for the time. Raises CompilerError for a value that is
        missing or of another type."""
        return tuple(self._bound(each, given or {}, now) for each in self.slots)

    def _bound(self, slot: Slot, given: Mapping[str, object], now: float | None) -> SqlValue:
        if slot.form == "now":
            if now is None:
                raise cannot("the query asks for the time", slot.at, "give bind the time")
            return fill_now(slot, now, self.dialect)
        if not slot.parameter:
            return slot.value
        if slot.parameter not in given:
            what = f"the parameter '@{slot.parameter}' has no value"
            raise cannot(what, slot.at, "give it a value")
        return fill(slot, _from_json(slot, given[slot.parameter]), self.dialect)

    def cells(self, values: Sequence[object]) -> list[object]:
        """The values of a row that a driver gave, as JSON has them. Raises ExecutionError for a
        number of more than 64 bits, which SQLite no longer keeps exactly."""
        return [_loaded(*each) for each in zip(self.outputs, values, strict=True)]

    def row(self, values: Sequence[object]) -> dict[str, object]:
        """As `cells`, by name: `customer.name` stands in `customer`, and a row that came along
        takes the place of its key, or null where there is none."""
        made: dict[str, object] = {}
        for output, cell in zip(self.outputs, self.cells(values), strict=True):
            head, _, tail = output.name.partition(".")
            if not tail:
                made[head] = cell
                continue
            at = made.get(head)
            inside = at if isinstance(at, dict) else {}
            made[head] = inside
            *between, last = tail.split(".")
            for name in between:
                inside = inside.setdefault(name, {})
            inside[last] = cell
        for name in dict.fromkeys(each.along for each in self.outputs if each.along):
            row = made[name]
            if isinstance(row, dict) and all(value is None for value in row.values()):
                made[name] = None
        return made


def _from_json(slot: Slot, value: object) -> object:
    """JSON has decimals as texts."""
    if isinstance(slot.type, DecimalType) and isinstance(value, str):
        try:
            return Decimal(value)
        except InvalidOperation:
            return value
    return value


def _loaded(output: Output, value: object) -> object:
    if output.rows:
        rows = msgspec.json.decode(str(value), type=list[list[object]])
        return [
            {each.name: load(each.type, cell) for each, cell in zip(output.rows, row, strict=True)}
            for row in rows
        ]
    exact = isinstance(output.type, DecimalType) or getattr(output.type, "name", "") == "int"
    if exact and isinstance(value, float):
        raise e.QueryError(e.EXECUTION, reason=f"'{output.name}' has more than 64 bits")
    return load(output.type, value)


def compile(  # noqa: A001 - read as query.compile
    program: Program, text: str, dialect: Dialect, entity: str = ""
) -> Compiled:
    """The SQL of a query. `entity` is what filters without a `select` look in.

    Raises QueryError: LexerError, ParserError, SemanticError, CompilerError.
    """
    query = parse(text)
    if query.entity is None:
        if not entity:
            raise e.QueryError(
                e.CANNOT_COMPILE,
                what="filters alone do not say which entity they look in",
                fix="write: select from ENTITY where …, or name the entity beside them",
            )
        query = msgspec.structs.replace(query, entity=Ref(entity, Place(0, 0)))
    return _compiled(program, query, dialect)


def _compiled(program: Program, query: Query, dialect: Dialect) -> Compiled:
    assert query.entity is not None  # noqa: S101 - `compile` saw to it
    found = _entity(program, query.entity)
    scope = Scope(program, found, dialect)
    slots = Slots(dialect, loosely=query.verb == "filters")
    outputs: list[Output] = []
    writes = query.verb in ("update", "delete")
    if writes:
        sql = write(scope, slots, query)
    else:
        sql, outputs = Select(scope, slots, query).run()
    gives: Gives = "changed" if writes else "rows"
    if query.verb in AGGREGATES and not query.group:
        gives = "value"
    return Compiled(sql, dialect, found.name, tuple(slots.found), tuple(outputs), writes, gives)


def _entity(program: Program, ref: Ref) -> Entity:
    """By name, whatever its case."""
    wanted = ref.name.lower()
    for entity in program.entities:
        if entity.name.lower() == wanted or entity.table == wanted:
            return entity
    close = nearest(ref.name, [entity.name for entity in program.entities])
    raise e.QueryError(
        e.UNKNOWN_ENTITY,
        line=ref.at.line,
        column=ref.at.column,
        name=ref.name,
        meant=close or "",
        hint=f"did you mean '{close}'?" if close else "name one that the program declares",
    )
