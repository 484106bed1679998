"""One row by its key, and related rows beside it: one statement more for each include, however many
rows there are."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from backstay.app.errors import BAD_QUERY, NO_ROW
from backstay.app.plan.checks import Mistake, fault_of
from backstay.app.plan.chosen import FIELDS, Chosen, chosen, cut, picked
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.params import Params, Query, refuse_unknown
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.tables import Table, quote, table
from backstay.app.plan.unit import Row, Scope, Unit
from backstay.app.values import SqlValue, as_text
from backstay.core.errors import Fault
from backstay.lang.program import ManyType, OneOf, Program, RefType

Include = Callable[[Unit, Sequence[Row]], None]
"""Puts the related rows into shaped rows of one entity."""


class Includes:
    """The related rows that an endpoint puts into rows of one entity."""

    def __init__(self, program: Program, rows: Table, names: Sequence[str]) -> None:
        self._all = [(name, _include(program, rows, name)) for name in names]

    def any(self, fields: Chosen = None) -> bool:
        """Whether one of them is wanted."""
        return any(fields is None or name in fields for name, _ in self._all)

    def put(self, unit: Unit, rows: Sequence[Row], fields: Chosen = None) -> None:
        """One statement for each that is wanted."""
        for name, include in self._all if rows else ():
            if fields is None or name in fields:
                include(unit, rows)


class Reader:
    """Reads shaped rows of one entity with its includes."""

    def __init__(self, program: Program, entity: str, include: Sequence[str]) -> None:
        self._rows = table(program, entity)
        self._rule = _read_rule(program, self._rows)
        self._includes = Includes(program, self._rows, include)
        self.members = (*self._rows.names, *include)
        key = f"{self._rows.name}.{quote(self._rows.key)}"
        self._text = f"SELECT {self._rows.select} FROM {self._rows.source()} WHERE {key} = ?"

    def several(self, fields: Chosen = None) -> bool:
        """Whether it takes more than one statement."""
        return self._includes.any(fields)

    def find(
        self, unit: Unit, key: object, *, guarded: bool = True, fields: Chosen = None
    ) -> Row | None:
        """The row as JSON values, None when there is none that may be read."""
        text, params = self._text, [cast("SqlValue", key)]
        if guarded and unit.guarded and self._rule is not None:
            text += f" AND {self._rule.text}"
            params += self._rule.bind(unit, {})
        values = unit.conn.execute(text, params).fetchone()
        if values is None:
            return None
        row = self._rows.shaped(values)
        self._includes.put(unit, [row], fields)
        return cut(row, fields)


class OnePlan:
    """`returns: ENTITY` by the path's key."""

    def __init__(self, program: Program, spec: OneOf, query: Params) -> None:
        self._reader = Reader(program, spec.entity, spec.include)
        self._key = Evaluator(program, Rows(program, guarded=True)).closure(spec.key)
        self._query = query
        self._entity = spec.entity
        self._picked = picked(spec.picked)
        self._members = spec.picked or self._reader.members

    def parse(self, given: Query) -> tuple[Chosen, dict[str, object]]:
        """The wanted members, and the declared query parameters. Raises APP012."""
        mistakes: list[Mistake] = []
        values = self._query.collect(given, mistakes)
        known, fields = self._query.names, None
        if FIELDS not in known:
            known = (*known, FIELDS)
            texts = given.get(FIELDS, ())
            fields = chosen(",".join(texts) if texts else None, self._members, mistakes)
        refuse_unknown(given, known, mistakes)
        if mistakes:
            raise fault_of(BAD_QUERY, "the query", mistakes)
        return fields, values

    def several(self, fields: Chosen = None) -> bool:
        """Whether it takes more than one statement."""
        return self._reader.several(fields)

    def run(self, unit: Unit, scope: Scope, fields: Chosen = None) -> Row:
        """Raises APP013 (404) when there is no such row for this principal."""
        key = self._key(unit, scope)
        row = self._reader.find(unit, key, fields=fields or self._picked)
        if row is None:
            raise Fault(NO_ROW, entity=self._entity, key=as_text(key))
        return row


def _read_rule(program: Program, rows: Table) -> Sql | None:
    return rule(program, Rows(program, guarded=False), rows, "read")


def _include(program: Program, rows: Table, name: str) -> Include:
    field = next(field for field in rows.entity.fields if field.name == name)
    if isinstance(field.type, ManyType):
        return _children(program, rows, name, field.type)
    if isinstance(field.type, RefType):
        return _target(program, name, field.type)
    raise TypeError(f"{rows.entity.name}.{name} is neither a list of rows nor a reference")


def _children(program: Program, rows: Table, name: str, kind: ManyType) -> Include:
    child = table(program, kind.entity)
    guard = _read_rule(program, child)
    order = f" ORDER BY {child.name}.{quote(child.key)}"

    def include(unit: Unit, parents: Sequence[Row]) -> None:
        held: dict[object, list[Row]] = {parent[rows.key]: [] for parent in parents}
        for parent in parents:
            parent[name] = held[parent[rows.key]]
        text, params = _related(unit, child, kind.via, list(held), guard)
        for values in unit.conn.execute(text + order, params):
            row = child.shaped(values)
            held[row[kind.via]].append(row)

    return include


def _target(program: Program, name: str, kind: RefType) -> Include:
    target = table(program, kind.entity)
    guard = _read_rule(program, target)

    def include(unit: Unit, parents: Sequence[Row]) -> None:
        wanted = {parent[name] for parent in parents if parent[name] is not None}
        text, params = _related(unit, target, target.key, list(wanted), guard)
        found = [target.shaped(values) for values in unit.conn.execute(text, params)]
        by_key = {row[target.key]: row for row in found}
        for parent in parents:
            # One that may not be read stays a bare key: the reader knew that much already.
            parent[name] = by_key.get(parent[name], parent[name])

    return include


def _related(
    unit: Unit, rows: Table, by: str, keys: list[object], guard: Sql | None
) -> tuple[str, list[SqlValue]]:
    params: list[SqlValue] = [msgspec.json.encode(keys).decode()]
    text = f"SELECT {rows.select} FROM {rows.source()} WHERE {rows.among(by)}"
    if guard is not None and unit.guarded:
        text += f" AND {guard.text}"
        params += guard.bind(unit, {})
    return text, params
