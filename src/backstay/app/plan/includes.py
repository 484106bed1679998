"""Related rows beside the rows of a page, however many there are.

Where a statement is a way to a server and back, they come along in the statement of the page: a
reference as the columns of its row, a list as one array for each of its columns. So every value
arrives as that column's type and is made JSON by the codec that makes it elsewhere. Where the
database is in this process, each include is one statement more.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Sequence
from typing import Protocol

import msgspec

from backstay.app.plan.chosen import Chosen
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.tables import Table, quote, table
from backstay.app.plan.unit import Row, Unit
from backstay.app.values import SqlValue
from backstay.lang.program import ManyType, Program, RefType

PAGE = "backstay_page"
"""What the rows of the page are called in the statement that brings others along; no entity's
table may have a name of this kind."""

Bound = tuple[str, list[SqlValue]]
"""A text of SQL and its parameters."""


class _Include(Protocol):
    name: str
    width: int

    def put(self, unit: Unit, parents: Sequence[Row]) -> None:
        """Reads what is related to `parents`, and puts it into them."""
        ...

    def beside(self, unit: Unit) -> Bound:
        """A query of `width` columns for one row of PAGE."""
        ...

    def take(self, parent: Row, values: Sequence[SqlValue]) -> None:
        """Puts what `beside` gave into its row."""
        ...


class Includes:
    """The related rows that an endpoint puts into rows of one entity."""

    def __init__(self, program: Program, rows: Table, names: Sequence[str]) -> None:
        self._all = [_include(program, rows, name) for name in names]
        self._together = rows.dialect.lateral
        self._width = len(rows.columns)

    def more(self, fields: Chosen) -> bool:
        """Whether they take statements of their own."""
        return not self._together and bool(self._wanted(fields))

    def along(self, unit: Unit, page: Bound, order: str, fields: Chosen) -> Bound:
        """The statement of a page, with what comes along in it. `order` is that of PAGE's rows."""
        wanted = self._wanted(fields) if self._together else []
        if not wanted:
            return page
        text, params = page
        text, params = f"SELECT * FROM ({text}) AS {PAGE}", list(params)
        for place, each in enumerate(wanted):
            beside, more = each.beside(unit)
            text += f" LEFT JOIN LATERAL ({beside}) AS include{place} ON TRUE"
            params += more
        return text + order, params

    def put(
        self, unit: Unit, rows: Sequence[Row], found: Sequence[Sequence[SqlValue]], fields: Chosen
    ) -> None:
        """Into shaped rows, what the statement of `along` found with them; or what is asked for
        now."""
        for each in self._wanted(fields) if rows else ():
            if not self._together:
                each.put(unit, rows)
        if self._together:
            self._take(rows, found, fields)

    def _take(
        self, rows: Sequence[Row], found: Sequence[Sequence[SqlValue]], fields: Chosen
    ) -> None:
        begin = self._width
        for each in self._wanted(fields):
            end = begin + each.width
            for row, values in zip(rows, found, strict=True):
                each.take(row, values[begin:end])
            begin = end

    def _wanted(self, fields: Chosen) -> list[_Include]:
        return [each for each in self._all if fields is None or each.name in fields]


def read_rule(program: Program, rows: Table) -> Sql | None:
    """Which rows may be read, None for all."""
    return rule(program, Rows(program, guarded=False), rows, "read")


def _include(program: Program, rows: Table, name: str) -> _Include:
    field = next(field for field in rows.entity.fields if field.name == name)
    if isinstance(field.type, ManyType):
        return _Children(program, rows, name, field.type)
    if isinstance(field.type, RefType):
        return _Target(program, name, field.type)
    raise TypeError(f"{rows.entity.name}.{name} is neither a list of rows nor a reference")


class _Related:
    """What both kinds have in common: rows of another entity that may be read."""

    def __init__(self, program: Program, name: str, entity: str) -> None:
        self.name = name
        self._rows = table(program, entity)
        self._guard = read_rule(program, self._rows)
        self.width = len(self._rows.columns)

    def _select(self, unit: Unit, condition: str, params: list[SqlValue]) -> Bound:
        text = f"SELECT {self._rows.select} FROM {self._rows.source()} WHERE {condition}"
        if self._guard is not None and unit.guarded:
            text += f" AND {self._guard.text}"
            params += self._guard.bind(unit, {})
        return text, params

    def _among(self, unit: Unit, by: str, keys: Sequence[object]) -> Bound:
        return self._select(unit, self._rows.among(by), [msgspec.json.encode(keys).decode()])

    def _one(self, unit: Unit, by: str, of: str) -> Bound:
        return self._select(unit, f"{self._rows.name}.{quote(by)} = {PAGE}.{quote(of)}", [])


class _Children(_Related):
    def __init__(self, program: Program, parent: Table, name: str, kind: ManyType) -> None:
        super().__init__(program, name, kind.entity)
        self._via, self._key = kind.via, parent.key
        self._order = f" ORDER BY {self._rows.name}.{quote(self._rows.key)}"
        self._arrays = ", ".join(f"array_agg({quote(each)})" for each in self._rows.names)

    def put(self, unit: Unit, parents: Sequence[Row]) -> None:
        held: dict[object, list[Row]] = {parent[self._key]: [] for parent in parents}
        for parent in parents:
            parent[self.name] = held[parent[self._key]]
        text, params = self._among(unit, self._via, list(held))
        for values in unit.conn.execute(text + self._order, params):
            row = self._rows.shaped(values)
            held[row[self._via]].append(row)

    def beside(self, unit: Unit) -> Bound:
        text, params = self._one(unit, self._via, self._key)
        return f"SELECT {self._arrays} FROM ({text}{self._order}) AS child", params

    def take(self, parent: Row, values: Sequence[SqlValue]) -> None:
        # Without a row there is no array either.
        rows = zip(*values, strict=True) if values[0] is not None else ()
        parent[self.name] = [self._rows.shaped(row) for row in rows]


class _Target(_Related):
    """One that may not be read stays a bare key: the reader knew that much already."""

    def __init__(self, program: Program, name: str, kind: RefType) -> None:
        super().__init__(program, name, kind.entity)
        self._key = self._rows.key
        self._place = self._rows.names.index(self._key)

    def put(self, unit: Unit, parents: Sequence[Row]) -> None:
        wanted = {parent[self.name] for parent in parents if parent[self.name] is not None}
        text, params = self._among(unit, self._key, list(wanted))
        found = [self._rows.shaped(values) for values in unit.conn.execute(text, params)]
        by_key = {row[self._key]: row for row in found}
        for parent in parents:
            parent[self.name] = by_key.get(parent[self.name], parent[self.name])

    def beside(self, unit: Unit) -> Bound:
        return self._one(unit, self._key, self.name)

    def take(self, parent: Row, values: Sequence[SqlValue]) -> None:
        if values[self._place] is not None:
            parent[self.name] = self._rows.shaped(values)
