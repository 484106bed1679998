"""What a request for a list asks for, checked: filters, order, page, members.

`?status=paid` · `?total[gte]=10` (eq ne gt gte lt lte in contains) · `?sort=-created_at,total` ·
`?page=2&limit=50` or `?cursor=…` from the page before · `?total=true` counts · `?fields=id,total` ·
`?search=…` where fields are searchable. A list without pages takes no page, cursor or total.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.errors import BAD_QUERY
from backstay.app.plan.checks import Mistake, fault_of, unknown_name
from backstay.app.plan.chosen import FIELDS, Chosen, chosen, picked
from backstay.app.plan.operators import is_scalar
from backstay.app.plan.params import Params, Query, refuse_unknown
from backstay.app.plan.searching import SEARCH, Search
from backstay.app.plan.tables import Column, Table
from backstay.app.plan.unit import Unit
from backstay.app.values import SqlValue
from backstay.lang.program import DecimalType, EnumType, Field, ListOf, Program, RefType

_EQUALITY = ("eq", "ne", "in")
_ORDER = ("gt", "gte", "lt", "lte")
_ORDERED = ("int", "float", "timestamp", "date", "time", "duration")
_PAGED = ("page", "limit", "cursor", "sort", "total", FIELDS)
_SHORT = 100
_UNPAGED = ("limit", "sort", FIELDS)
_LAST_PAGE = 1_000_000
_MOST_IN = 100
_COVERED = msgspec.json.Decoder(tuple[str, tuple[object, ...]])


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
    fields: Chosen = None
    search: str = ""

    @property
    def long(self) -> bool:
        """Whether it is known to be no little work before it is done."""
        return self.count or bool(self.search) or self.limit > _SHORT


class Asking:
    """Reads the queries of one list endpoint; `search` is how it is looked through."""

    def __init__(
        self, program: Program, spec: ListOf, query_fields: Sequence[Field], rows: Table
    ) -> None:
        self._spec = spec
        self._params = Params(program, query_fields, "query")
        self._filters = {name: rows.column(name) for name in spec.filter}
        self._sorts = {name: rows.column(name) for name in spec.sort}
        self._key = rows.column(rows.key)
        self._members = spec.picked or (*rows.names, *spec.include)
        self._picked = picked(spec.picked)
        self.search = Search(rows)
        self._paging = (*(_PAGED if spec.paged else _UNPAGED), *self.search.names)

    def parse(self, given: Query) -> tuple[Page, dict[str, object]]:
        """The page, and the declared query parameters. Raises APP012 with every mistake."""
        mistakes: list[Mistake] = []
        values = self._params.collect(given, mistakes)
        filters, paging = self._split(given, mistakes)
        limit = _whole(paging, "limit", self._usual, self._spec.page_limit, mistakes)
        number = _whole(paging, "page", 1, _LAST_PAGE, mistakes)
        sort = self._sort(paging.get("sort", ""), mistakes)
        after = self._after(paging.get("cursor"), sort, mistakes)
        if after is not None and "page" in paging:
            mistakes.append(Mistake("page", "cannot be used together with cursor"))
        count = _flag(paging.get("total", "false"), mistakes)
        fields = chosen(paging.get(FIELDS), self._members, mistakes) or self._picked
        search = self.search.pattern(paging.get(SEARCH, ""), mistakes)
        if mistakes:
            raise fault_of(BAD_QUERY, "the query", mistakes)
        page = Page(tuple(filters), sort, limit, number, after, count, fields, search)
        return page, values

    def fill(self, unit: Unit, values: dict[str, object]) -> None:
        """Defaults of the declared query parameters."""
        self._params.fill(unit, values)

    @property
    def _usual(self) -> int:
        """How many rows there are unless the request says a number."""
        return self._spec.page_size if self._spec.paged else self._spec.page_limit

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
            elif name in self._paging and not (
                name in self._filters and self._is_value(name, texts[0])
            ):
                paging[name] = texts[0]
            elif field in self._filters:
                filters += self._filter(name, field, op, texts[0], mistakes)
            else:
                rest[name] = texts
        known = list(dict.fromkeys([*self._params.names, *self._filters, *self._paging]))
        refuse_unknown(rest, known, mistakes)
        return filters, paging

    def _is_value(self, name: str, text: str) -> bool:
        """`?total=…` may mean the field `total`; true and false mean the count."""
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
        if found is not None and found[0] == spelled(sort) and len(found[1]) == len(sort):
            codecs = [each.column.codec for each in sort]
            try:
                # JSON values, so that a cursor is the same whatever the database holds.
                pairs = zip(codecs, found[1], strict=True)
                return tuple(codec.store(codec.parse(value)) for codec, value in pairs)
            except ValueError:
                pass
        mistakes.append(Mistake("cursor", "is not one that this list gave for this sort"))
        return None


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


def _listed(text: str) -> list[str]:
    texts = text.split(",")
    if len(texts) > _MOST_IN:
        raise ValueError(f"takes at most {_MOST_IN} values, got {len(texts)}")
    return texts


def _named(name: str) -> tuple[str, str]:
    """`total[gte]` is (total, gte); without brackets it is eq."""
    field, bracket, op = name.partition("[")
    return (field, op[:-1]) if bracket and op.endswith("]") else (name, "eq")


def spelled(sort: tuple[Sort, ...]) -> str:
    """As the request wrote it."""
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
