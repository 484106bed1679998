"""Related rows beside the rows of a page, however many there are.

Where a statement is a way to a server and back, they come along in the statement of the page: all
rows of one include as one array for each of their columns, beside one of the page's rows. So every
value arrives as that column's type and is made JSON by the codec that makes it elsewhere. Where the
database is in this process, each include is one statement more.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Iterable, Sequence

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
Found = Sequence[Sequence[SqlValue]]


class Includes:
    """The related rows that an endpoint puts into rows of one entity."""

    def __init__(self, program: Program, rows: Table, names: Sequence[str]) -> None:
        self._all = [_include(program, rows, name) for name in names]
        self._together = rows.dialect.arrays
        self._width = len(rows.columns)
        self._first = f"{PAGE}.{quote(rows.key)} = (SELECT {quote(rows.key)} FROM {PAGE} LIMIT 1)"

    def more(self, fields: Chosen) -> bool:
        """Whether they take statements of their own."""
        return not self._together and bool(self._wanted(fields))

    def along(self, unit: Unit, page: Bound, order: str, fields: Chosen) -> Bound:
        """The statement of a page, with what comes along in it. `order` is that of PAGE's rows."""
        wanted = self._wanted(fields) if self._together else []
        if not wanted:
            return page
        text, params = page
        text, params = f"WITH {PAGE} AS MATERIALIZED ({text}) SELECT * FROM {PAGE}", list(params)
        for place, each in enumerate(wanted):
            beside, more = each.beside(unit)
            text += f" LEFT JOIN ({beside}) AS include{place} ON {self._first}"
            params += more
        return text + order, params

    def put(self, unit: Unit, rows: Sequence[Row], found: Found, fields: Chosen) -> None:
        """Into shaped rows, what the statement of `along` found with them; or what is asked for
        now."""
        begin = self._width
        for each in self._wanted(fields) if rows else ():
            if self._together:
                each.put(rows, _side_by_side(found, begin, begin + each.width))
                begin += each.width
            else:
                each.put(rows, each.ask(unit, rows))

    def _wanted(self, fields: Chosen) -> "list[_Children | _Target]":
        return [each for each in self._all if fields is None or each.name in fields]


def _side_by_side(found: Found, begin: int, end: int) -> Iterable[Sequence[SqlValue]]:
    """The rows of the arrays in these columns, which stand in one row; without rows in none."""
    for values in found:
        if values[begin] is not None:
            return zip(*values[begin:end], strict=True)
    return ()


def read_rule(program: Program, rows: Table) -> Sql | None:
    """Which rows may be read, None for all."""
    return rule(program, Rows(program, guarded=False), rows, "read")


def _include(program: Program, rows: Table, name: str) -> "_Children | _Target":
    field = next(field for field in rows.entity.fields if field.name == name)
    if isinstance(field.type, ManyType):
        return _Children(program, rows, name, field.type)
    if isinstance(field.type, RefType):
        return _Target(program, name, field.type)
    raise TypeError(f"{rows.entity.name}.{name} is neither a list of rows nor a reference")


class _Related:
    """Rows of another entity that may be read: those whose column `by` holds what is in the
    page's column `of`."""

    def __init__(self, program: Program, name: str, entity: str, by: str, of: str) -> None:
        self.name = name
        self._rows = table(program, entity)
        self.width = len(self._rows.columns)
        self._guard = read_rule(program, self._rows)
        self._by, self._of = by, of
        self._order = f" ORDER BY {self._rows.name}.{quote(self._rows.key)}"
        self._arrays = ", ".join(f"array_agg({quote(each)})" for each in self._rows.names)

    def ask(self, unit: Unit, parents: Sequence[Row]) -> Found:
        """Of these parents, in the order of their keys."""
        keys = {parent[self._of] for parent in parents} - {None}
        text, params = self._select(unit, self._rows.among(self._by))
        return unit.conn.execute(text, [msgspec.json.encode(list(keys)).decode(), *params])

    def beside(self, unit: Unit) -> Bound:
        """The same of the rows of PAGE, each column an array."""
        column = f"{self._rows.name}.{quote(self._by)}"
        keys = f"ARRAY(SELECT {quote(self._of)} FROM {PAGE})"
        text, params = self._select(unit, f"{column} = ANY ({keys})")
        return f"SELECT {self._arrays} FROM ({text}) AS related", params

    def _select(self, unit: Unit, condition: str) -> Bound:
        text = f"SELECT {self._rows.select} FROM {self._rows.source()} WHERE {condition}"
        params: list[SqlValue] = []
        if self._guard is not None and unit.guarded:
            text += f" AND {self._guard.text}"
            params = self._guard.bind(unit, {})
        return text + self._order, params


class _Children(_Related):
    def __init__(self, program: Program, parent: Table, name: str, kind: ManyType) -> None:
        super().__init__(program, name, kind.entity, by=kind.via, of=parent.key)

    def put(self, parents: Sequence[Row], found: Iterable[Sequence[SqlValue]]) -> None:
        held: dict[object, list[Row]] = {parent[self._of]: [] for parent in parents}
        for values in found:
            row = self._rows.shaped(values)
            # A page reads one row more than it shows.
            if (of := held.get(row[self._by])) is not None:
                of.append(row)
        for parent in parents:
            parent[self.name] = held[parent[self._of]]


class _Target(_Related):
    def __init__(self, program: Program, name: str, kind: RefType) -> None:
        super().__init__(program, name, kind.entity, by=program.entity(kind.entity).key, of=name)

    def put(self, parents: Sequence[Row], found: Iterable[Sequence[SqlValue]]) -> None:
        rows = [self._rows.shaped(values) for values in found]
        by_key = {row[self._by]: row for row in rows}
        for parent in parents:
            # One that may not be read stays a bare key: the reader knew that much already.
            parent[self.name] = by_key.get(parent[self.name], parent[self.name])
