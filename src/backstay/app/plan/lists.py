"""Lists: filter, sort, page and cursor of a request as one SQL statement.

`?status=paid` · `?total[gte]=10` (eq ne gt gte lt lte in contains) · `?sort=-created_at,total` ·
`?page=2&limit=50` or `?cursor=…` from the page before · `?total=true` counts · `?search=…` looks
through the fields that are marked searchable. Rows with equal sort values stand in the order of
their key, so no page repeats or skips one.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

import base64
import binascii
from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.errors import BAD_QUERY
from backstay.app.plan.checks import Mistake, fault_of, unknown_name
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import is_json, is_scalar
from backstay.app.plan.params import Params, Query, refuse_unknown
from backstay.app.plan.rows import Rows
from backstay.app.plan.rules import rule
from backstay.app.plan.scales import Sql
from backstay.app.plan.searching import SEARCH, Search
from backstay.app.plan.sql import SqlCompiler
from backstay.app.plan.tables import Column, quote, table
from backstay.app.plan.unit import Row, Scope, Unit
from backstay.app.store.aim import dialect_of
from backstay.app.values import SqlValue
from backstay.lang.program import DecimalType, EnumType, Field, ListOf, Program, RefType

_SIGNS: Mapping[str, str] = {
    "eq": "=",
    "ne": "IS DISTINCT FROM",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
}
_EQUALITY = ("eq", "ne", "in")
_ORDER = ("gt", "gte", "lt", "lte")
_PAGING = ("page", "limit", "cursor", "sort", "total")
_LAST_PAGE = 1_000_000
_MOST_IN = 100


class Filter(msgspec.Struct, frozen=True):
    """`values` are in storage form; more than one only for `in`."""

    column: Column
    op: str
    values: tuple[SqlValue, ...]


class Sort(msgspec.Struct, frozen=True):
    column: Column
    descending: bool


class Page(msgspec.Struct, frozen=True):
    """What a request asked for, checked. `after` holds the sort values of the last row seen,
    `search` a pattern for LIKE."""

    filters: tuple[Filter, ...]
    sort: tuple[Sort, ...]
    limit: int
    page: int = 1
    after: tuple[SqlValue, ...] | None = None
    count: bool = False
    search: str = ""


class ListPlan:
    """One list endpoint, made once."""

    def __init__(self, program: Program, spec: ListOf, query_fields: Sequence[Field]) -> None:
        self._rows = table(program, spec.entity)
        self._spec = spec
        self._params = Params(program, query_fields, "query")
        raw = Rows(program, guarded=False)
        self._rule = rule(program, raw, self._rows, "read")
        self._where = None
        if spec.where is not None:
            evaluator = Evaluator(program, Rows(program, guarded=True))
            self._where = SqlCompiler(evaluator, self._rows).condition(spec.where)
        self._filters = {name: self._rows.column(name) for name in spec.filter}
        self._sorts = {name: self._rows.column(name) for name in spec.sort}
        self._search = Search(self._rows)
        self._paging = (*_PAGING, *self._search.names)
        self._key = self._rows.column(self._rows.key)
        self._dialect = dialect_of(program)

    # --- what was asked ---

    def parse(self, given: Query) -> tuple[Page, dict[str, object]]:
        """The page, and the declared query parameters. Raises APP012 with every mistake."""
        mistakes: list[Mistake] = []
        values = self._params.collect(given, mistakes)
        filters, paging = self._split(given, mistakes)
        limit = _whole(paging, "limit", self._spec.page_size, self._spec.page_limit, mistakes)
        number = _whole(paging, "page", 1, _LAST_PAGE, mistakes)
        sort = self._sort(paging.get("sort", ""), mistakes)
        after = self._after(paging.get("cursor"), sort, mistakes)
        if after is not None and "page" in paging:
            mistakes.append(Mistake("page", "cannot be used together with cursor"))
        count = _flag(paging.get("total", "false"), mistakes)
        search = self._search.pattern(paging.get(SEARCH, ""), mistakes)
        if mistakes:
            raise fault_of(BAD_QUERY, "the query", mistakes)
        return Page(tuple(filters), sort, limit, number, after, count, search), values

    def fill(self, unit: Unit, values: dict[str, object]) -> None:
        """Defaults of the declared query parameters."""
        self._params.fill(unit, values)

    def _split(self, given: Query, mistakes: list[Mistake]) -> tuple[list[Filter], dict[str, str]]:
        filters: list[Filter] = []
        paging: dict[str, str] = {}
        rest: dict[str, Sequence[str]] = {}
        for name, texts in given.items():
            if name in self._params.names:
                continue
            field, op = _named(name)
            if len(texts) > 1:
                mistakes.append(Mistake(name, "is given twice"))
            elif name in self._paging and not self._is_filter(name, texts[0]):
                paging[name] = texts[0]
            elif field in self._filters:
                filters += self._filter(name, field, op, texts[0], mistakes)
            else:
                rest[name] = texts
        known = list(dict.fromkeys([*self._params.names, *self._filters, *self._paging]))
        refuse_unknown(rest, known, mistakes)
        return filters, paging

    def _is_filter(self, name: str, text: str) -> bool:
        """`?total=…` may mean the field `total`; true and false mean the count."""
        if name not in self._filters:
            return False
        kind = self._filters[name].field.type
        return name != "total" or text not in ("true", "false") or is_scalar(kind, "bool")

    def _filter(
        self, name: str, field: str, op: str, text: str, mistakes: list[Mistake]
    ) -> list[Filter]:
        column = self._filters[field]
        allowed = operators_of(column.field)
        if op not in allowed:
            mistakes.append(Mistake(name, f"the operator {op} {unknown_name(op, allowed)}"))
            return []
        try:
            texts = _listed(text) if op == "in" else [text]
            values = tuple(column.codec.store(column.codec.read(each)) for each in texts)
        except ValueError as bad:
            mistakes.append(Mistake(name, str(bad)))
            return []
        return [Filter(column, op, values)]

    def _sort(self, text: str, mistakes: list[Mistake]) -> tuple[Sort, ...]:
        sorts: list[Sort] = []
        for part in text.split(",") if text else ():
            name = part.removeprefix("-")
            if any(each.column.name == name for each in sorts):
                mistakes.append(Mistake("sort", f"{name} is given twice"))
            elif name in self._sorts:
                sorts.append(Sort(self._sorts[name], part.startswith("-")))
            else:
                mistakes.append(Mistake("sort", f"{name} {unknown_name(name, list(self._sorts))}"))
        if all(sort.column is not self._key for sort in sorts):
            sorts.append(Sort(self._key, descending=False))
        return tuple(sorts)

    def _after(
        self, cursor: str | None, sort: tuple[Sort, ...], mistakes: list[Mistake]
    ) -> tuple[SqlValue, ...] | None:
        if cursor is None:
            return None
        found = _uncover(cursor)
        if found is not None and found[0] == _spelled(sort) and len(found[1]) == len(sort):
            codecs = [each.column.codec for each in sort]
            try:
                # JSON values, so that a cursor is the same whatever the database holds.
                pairs = zip(codecs, found[1], strict=True)
                return tuple(codec.store(codec.parse(value)) for codec, value in pairs)
            except ValueError:
                pass
        mistakes.append(Mistake("cursor", "is not one that this list gave for this sort"))
        return None

    # --- what is run ---

    def run(self, unit: Unit, page: Page, scope: Scope) -> dict[str, object]:
        """The body of the answer, in JSON values."""
        conditions, params = self._conditions(unit, page, scope)
        total = self._count(unit, conditions, params) if page.count else None
        if page.after is not None:
            text, more = self._beyond(page.sort, page.after)
            conditions, params = [*conditions, text], [*params, *more]
        order = ", ".join(self._ordered(sort) for sort in page.sort)
        text = (
            f"SELECT {self._rows.select} FROM {self._rows.source()}{_where(conditions)}"
            f" ORDER BY {order} LIMIT ? OFFSET ?"
        )
        offset = 0 if page.after is not None else (page.page - 1) * page.limit
        found = list(unit.conn.execute(text, (*params, page.limit + 1, offset)))
        shown = found[: page.limit]
        return {
            "data": [self._rows.shaped(values) for values in shown],
            "pagination": self._pagination(page, shown, total, more=len(found) > page.limit),
        }

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
            text, more = self._search.condition(page.search)
            texts, params = [*texts, text], [*params, *more]
        return texts, params

    def _filtered(self, each: Filter) -> str:
        column = self._column(each.column)
        if each.op == "in":
            return f"{column} IN ({', '.join('?' * len(each.values))})"
        if each.op == "contains":
            return f"{self._dialect.position(column, '?')} > 0"
        return f"{column} {_SIGNS[each.op]} ?"

    def _column(self, column: Column) -> str:
        """As it is compared and sorted."""
        name = f"{self._rows.name}.{quote(column.name)}"
        return self._dialect.json_text(name) if is_json(column.field.type) else name

    def _ordered(self, sort: Sort) -> str:
        """Null sorts before everything else."""
        column, field = self._column(sort.column), sort.column.field
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
        raw = msgspec.json.encode([_spelled(sort), last])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def operators_of(field: Field) -> tuple[str, ...]:
    """The filter operators that make sense for a field."""
    kind = field.type
    if is_scalar(kind, "string") or is_scalar(kind, "text"):
        return (*_EQUALITY, *_ORDER, "contains")
    if isinstance(kind, EnumType | RefType) or is_scalar(kind, "bool") or is_scalar(kind, "uuid"):
        return _EQUALITY
    if isinstance(kind, DecimalType) or any(is_scalar(kind, name) for name in _ORDERED):
        return (*_EQUALITY, *_ORDER)
    return ("eq", "ne")


_COVERED = msgspec.json.Decoder(tuple[str, tuple[object, ...]])
_ORDERED = ("int", "float", "timestamp", "date", "time", "duration")


def _listed(text: str) -> list[str]:
    texts = text.split(",")
    if len(texts) > _MOST_IN:
        raise ValueError(f"takes at most {_MOST_IN} values, got {len(texts)}")
    return texts


def _named(name: str) -> tuple[str, str]:
    """`total[gte]` is (total, gte); without brackets it is eq."""
    field, bracket, op = name.partition("[")
    return (field, op[:-1]) if bracket and op.endswith("]") else (name, "eq")


def _step(column: str, value: SqlValue, *, descending: bool) -> str | None:
    if descending:
        return None if value is None else f"({column} < ? OR {column} IS NULL)"
    return f"{column} IS NOT NULL" if value is None else f"{column} > ?"


def _where(conditions: Sequence[str]) -> str:
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def _spelled(sort: tuple[Sort, ...]) -> str:
    return ",".join(("-" if each.descending else "") + each.column.name for each in sort)


def _uncover(cursor: str) -> tuple[str, tuple[object, ...]] | None:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return _COVERED.decode(raw)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        return None


def _whole(
    paging: Mapping[str, str], name: str, usual: int, most: int, mistakes: list[Mistake]
) -> int:
    text = paging.get(name)
    if text is None:
        return usual
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
        return int(text)
    mistakes.append(Mistake(name, f"expected a whole number from 1 to {most}"))
    return usual


def _flag(text: str, mistakes: list[Mistake]) -> bool:
    if text not in ("true", "false"):
        mistakes.append(Mistake("total", "expected true or false"))
    return text == "true"
