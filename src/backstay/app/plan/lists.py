"""Lists: filter, sort, page and cursor of a request as one SQL statement.

Rows with equal sort values stand in the order of their key, so no page repeats or skips one.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

import base64
from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.plan.asked import Asking, Filter, Page, Sort, spelled
from backstay.app.plan.chosen import cut
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.includes import PAGE, Includes, read_rule
from backstay.app.plan.operators import is_json
from backstay.app.plan.rows import Rows
from backstay.app.plan.scales import Sql
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Column, quote, table
from backstay.app.plan.unit import Row, Scope, Unit
from backstay.app.store.aim import dialect_of
from backstay.app.values import SqlValue
from backstay.lang.program import Field, ListOf, Program

_SIGNS: Mapping[str, str] = {
    "eq": "=",
    "ne": "IS DISTINCT FROM",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
}


class ListPlan:
    """One list endpoint, made once. `asked` reads the queries of its requests."""

    def __init__(self, program: Program, spec: ListOf, query_fields: Sequence[Field]) -> None:
        self._rows = table(program, spec.entity)
        self._paged = spec.paged
        self._rule = read_rule(program, self._rows)
        self._where = None
        if spec.where is not None:
            evaluator = Evaluator(program, Rows(program, guarded=True))
            self._where = SqlCompiler(evaluator, self._rows).condition(spec.where)
        self._dialect = dialect_of(program)
        self._includes = Includes(program, self._rows, spec.include)
        self.asked = Asking(program, spec, query_fields, self._rows)

    def several(self, page: Page) -> bool:
        """Whether this page takes more than one statement."""
        return page.count or self._includes.more(page.fields)

    def fill(self, unit: Unit, values: dict[str, object]) -> None:
        """Defaults of the declared query parameters."""
        self.asked.fill(unit, values)

    def run(self, unit: Unit, page: Page, scope: Scope) -> object:
        """The body of the answer, in JSON values."""
        conditions, params = self._conditions(unit, page, scope)
        total = self._count(unit, conditions, params) if page.count else None
        if page.after is not None:
            text, more = self._beyond(page.sort, page.after)
            conditions, params = [*conditions, text], [*params, *more]
        found = self._found(unit, page, conditions, params)
        shown = found[: page.limit]
        rows = [self._rows.shaped(values) for values in shown]
        self._includes.put(unit, rows, shown, page.fields)
        data = [cut(row, page.fields) for row in rows] if page.fields is not None else rows
        if not self._paged:
            return data
        pagination = self._pagination(page, shown, total, more=len(found) > page.limit)
        return {"data": data, "pagination": pagination}

    def _found(
        self, unit: Unit, page: Page, conditions: list[str], params: list[SqlValue]
    ) -> Sequence[Sequence[SqlValue]]:
        """The rows of the page and one more, with what comes along."""
        text = (
            f"SELECT {self._rows.select} FROM {self._rows.source()}{_where(conditions)}"
            f"{self._order(page.sort, self._rows.name)} LIMIT ? OFFSET ?"
        )
        offset = 0 if page.after is not None else (page.page - 1) * page.limit
        bound = text, [*params, page.limit + 1, offset]
        order = self._order(page.sort, PAGE)
        return unit.conn.execute(*self._includes.along(unit, bound, order, page.fields))

    def _pagination(
        self, page: Page, shown: Sequence[Sequence[SqlValue]], total: object, *, more: bool
    ) -> Row:
        cursor = self._cursor(page.sort, shown[-1]) if more and shown else None
        return {
            "limit": page.limit,
            "page": None if page.after is not None else page.page,
            "total": total,
            "has_next": more,
            "next_cursor": cursor,
        }

    def _conditions(self, unit: Unit, page: Page, scope: Scope) -> tuple[list[str], list[SqlValue]]:
        texts: list[str] = []
        params: list[SqlValue] = []
        for part in (self._where, self._rule if unit.guarded else None):
            if isinstance(part, Sql):
                texts.append(part.text)
                params += part.bind(unit, scope)
        for each in page.filters:
            texts.append(self._filtered(each))
            params += each.values
        if page.search:
            text, more = self.asked.search.condition(page.search)
            texts, params = [*texts, text], [*params, *more]
        return texts, params

    def _filtered(self, each: Filter) -> str:
        column = self._column(each.column)
        if each.op == "in":
            return f"{column} IN ({', '.join('?' * len(each.values))})"
        if each.op == "contains":
            return f"{self._dialect.position(column, '?')} > 0"
        return f"{column} {_SIGNS[each.op]} ?"

    def _column(self, column: Column, of: str = "") -> str:
        """As it is compared and sorted; `of` where it is not the table's own."""
        name = f"{of or self._rows.name}.{quote(column.name)}"
        return self._dialect.json_text(name) if is_json(column.field.type) else name

    def _order(self, sorts: Sequence[Sort], of: str) -> str:
        return " ORDER BY " + ", ".join(self._ordered(sort, of) for sort in sorts)

    def _ordered(self, sort: Sort, of: str) -> str:
        """Null sorts before everything else."""
        column, field = self._column(sort.column, of), sort.column.field
        direction = "DESC" if sort.descending else "ASC"
        if field.required or field.primary:
            return f"{column} {direction}"
        return f"{column} {direction} NULLS {'LAST' if sort.descending else 'FIRST'}"

    def _beyond(
        self, sort: tuple[Sort, ...], after: tuple[SqlValue, ...]
    ) -> tuple[str, list[SqlValue]]:
        """Rows after the last one seen."""
        alternatives: list[str] = []
        params: list[SqlValue] = []
        for place, (each, value) in enumerate(zip(sort, after, strict=True)):
            step = _step(self._column(each.column), value, descending=each.descending)
            if step is None:
                continue
            former = [
                (self._column(one.column), held)
                for one, held in zip(sort[:place], after[:place], strict=True)
            ]
            same = [f"{name} IS NULL" if held is None else f"{name} = ?" for name, held in former]
            alternatives.append("(" + " AND ".join([*same, step]) + ")")
            params += [held for _, held in former if held is not None]
            params += [value] if "?" in step else []
        return "(" + (" OR ".join(alternatives) or "FALSE") + ")", params

    def _count(self, unit: Unit, conditions: list[str], params: list[SqlValue]) -> SqlValue:
        text = f"SELECT count(*) FROM {self._rows.source()}{_where(conditions)}"
        counted: SqlValue = unit.conn.execute(text, params).get
        return counted

    def _cursor(self, sort: tuple[Sort, ...], values: Sequence[SqlValue]) -> str:
        row = self._rows.shaped(values)
        last = [row[each.column.name] for each in sort]
        raw = msgspec.json.encode([spelled(sort), last])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _step(column: str, value: SqlValue, *, descending: bool) -> str | None:
    if descending:
        return None if value is None else f"({column} < ? OR {column} IS NULL)"
    return f"{column} IS NOT NULL" if value is None else f"{column} > ?"


def _where(conditions: Sequence[str]) -> str:
    return " WHERE " + " AND ".join(conditions) if conditions else ""
