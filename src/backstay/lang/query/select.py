"""Queries that read: columns, the rows that come along, groups, order and pages."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Mapping, Sequence

import msgspec

from backstay.lang.program import DecimalType, Field, ListType, ManyType, RefType, RowType, Type
from backstay.lang.query.compute import Compute, sorted_by
from backstay.lang.query.numbers import INT
from backstay.lang.query.parser import AGGREGATES
from backstay.lang.query.scope import Scope, cannot, quote
from backstay.lang.query.slots import Slots, Typed
from backstay.lang.query.stored import has_order, type_word
from backstay.lang.query.tree import (
    Arith,
    Column,
    Func,
    Operand,
    Order,
    Path,
    Place,
    Query,
    Ref,
    Value,
    spelled,
)
from backstay.lang.query.where import Where

_WIDEST = 38


class Output(msgspec.Struct, frozen=True):
    """One column of the answer; a list of rows has those of its rows in `rows`, a field of a row
    that came along the name of its reference in `along`."""

    name: str
    type: Type
    rows: tuple["Output", ...] = ()
    along: str = ""


class Select:
    """One reading query on its way to SQL."""

    def __init__(self, scope: Scope, slots: Slots, query: Query) -> None:
        self.scope = scope
        self.slots = slots
        self.query = query
        self.dialect = slots.dialect
        self._outputs: list[Output] = []
        self._texts: list[str] = []

    def run(self) -> tuple[str, list[Output]]:
        query = self.query
        total = any(_aggregates(each.value) for each in query.columns)
        body = self._grouped() if query.group or total else self._rows()
        columns = ", ".join(self._texts)
        return f"SELECT {columns} FROM {body}", self._outputs

    # --- rows ---

    def _rows(self) -> str:
        query = self.query
        if query.having is not None:
            raise cannot("'having' needs 'group by'", query.entity, "use where")
        compute = Compute(self.scope, self.slots)
        if query.columns:
            named = self._columns(compute, query.columns)
        else:
            named = {}
            for field in self.scope.columns:
                self._add(field.name, self.scope.typed(field, _path(field.name)), query.entity)
        for ref in query.include:
            self._include(ref)
        where = self._where(compute)
        order = self._order(Compute(self.scope, self.slots, named), [self._key()])
        return f"{self.scope.source()}{where}{order}{self._page()}"

    def _key(self) -> Typed:
        return self.scope.typed(self.scope.key, _path(self.scope.key.name))

    def _columns(self, compute: Compute, columns: Sequence[Column]) -> dict[str, Typed]:
        """Adds the columns; gives those with names of their own."""
        named: dict[str, Typed] = {}
        for column in columns:
            value = compute.value(column.value)
            name = column.name.name if column.name else self._name(column.value)
            self._add(name, value, column.name or column.value.at)
            if column.name is not None:
                named[name.lower()] = value
        return named

    def _name(self, value: Operand) -> str:
        match value:
            case Path(names=(ref,)):
                field = self.scope.find(ref)
                return field.name if field else ref.name
            case Path():
                return value.text
            case Func(name=name):
                return name
        what = f"'{spelled(value)}' has no name in the answer"
        raise cannot(what, value.at, "write: as NAME behind it")

    def _add(
        self, name: str, value: Typed, where: Ref | Path | Place | None, along: str = ""
    ) -> None:
        if any(_clash(each.name, name, along) for each in self._outputs):
            what = f"two columns of the answer are named '{name}'"
            raise cannot(what, where, "name one of them with as")
        self._texts.append(f"{shown(value, self.dialect)} AS {quote(name)}")
        self._outputs.append(Output(name, value.kind, (), along))

    # --- rows that come along ---

    def _include(self, ref: Ref) -> None:
        """The row behind a reference, its fields named `customer.name`; or a list of rows."""
        field = self.scope.field(ref)
        if isinstance(field.type, ManyType):
            self._include_rows(ref, field, field.type)
            return
        if not isinstance(field.type, RefType):
            raise cannot(f"'{ref.name}' is no relation", ref, "leave it out")
        target = self.scope.behind(field, field.type.entity)
        for each in target.columns:
            name = f"{field.name}.{each.name}"
            self._add(name, target.typed(each, _path(name)), ref, field.name)

    def _include_rows(self, ref: Ref, field: Field, many: ManyType) -> None:
        """A list of rows is one column of json: the number of statements does not grow."""
        rows, tie = self.scope.rows(field, many)
        values = [rows.typed(each, _path(each.name)) for each in rows.columns]
        order = sorted_by(rows.typed(rows.key, _path(rows.key.name)), self.dialect)
        cells = ", ".join(_in_json(each, self.dialect) for each in values)
        if self.dialect == "sqlite":
            made = f"json_group_array(json_array({cells}) ORDER BY {order})"
        else:
            made = f"coalesce(jsonb_agg(jsonb_build_array({cells}) ORDER BY {order}), '[]')"
        text = f"(SELECT {made} FROM {rows.source()} WHERE {tie})"
        kind = ListType(RowType(many.entity))
        self._add(field.name, Typed(text, kind, field.name, ref.at, plain=True), ref)
        inner = tuple(
            Output(each.name, value.kind) for each, value in zip(rows.columns, values, strict=True)
        )
        self._outputs[-1] = Output(field.name, kind, inner)

    # --- groups ---

    def _grouped(self) -> str:
        query = self.query
        for ref in query.include:
            raise cannot("an aggregate includes no rows", ref, "leave out 'with'")
        plain = Compute(self.scope, self.slots)
        groups = {spelled(each): plain.value(each) for each in query.group}
        # A column may be written in either spelling of its name.
        by_text = {each.text: each for each in groups.values()}
        compute = _Grouped(self.scope, self.slots, {}, groups, by_text)
        columns = [Column(each) for each in query.group]
        if query.verb == "select":
            columns = list(query.columns) or columns
            self._refuse_ungrouped(columns, compute)
        else:
            columns += query.columns
        named = self._columns(compute, columns)
        where = self._where(plain)
        if not groups:
            self._refuse_for_one()
            return f"{self.scope.source()}{where}"
        compute = _Grouped(self.scope, self.slots, named, groups, by_text)
        having = f" HAVING {Where(compute).condition(query.having)}" if query.having else ""
        order = self._order(compute, list(groups.values()))
        by = ", ".join(each.text for each in groups.values())
        return f"{self.scope.source()}{where} GROUP BY {by}{having}{order}{self._page()}"

    def _refuse_ungrouped(self, columns: Sequence[Column], compute: Compute) -> None:
        for column in columns:
            value = column.value
            if isinstance(value, Path) and not compute.is_grouped(value):
                what = f"'{value.text}' is selected but not grouped by"
                raise cannot(what, value, "add it to group by")

    def _refuse_for_one(self) -> None:
        for name in ("having", "order", "limit", "offset"):
            if getattr(self.query, name):
                what = f"'{name}' has no meaning for one number"
                raise cannot(what, self.query.entity, "leave it out")

    # --- clauses ---

    def _where(self, compute: Compute) -> str:
        tests = [self.scope.living()]
        if self.query.where is not None:
            tests.insert(0, Where(compute).condition(self.query.where))
        said = " AND ".join(each for each in tests if each)
        return f" WHERE {said}" if said else ""

    def _order(self, compute: Compute, ties: Sequence[Typed]) -> str:
        terms = [self._term(compute, each) for each in self.query.order]
        sorted_ = [sorted_by(each, self.dialect) for each in ties if has_order(each.kind)]
        terms += [f"{each} ASC NULLS FIRST" for each in sorted_]
        return f" ORDER BY {', '.join(terms)}" if terms else ""

    def _term(self, compute: Compute, order: Order) -> str:
        """Nulls first, and last when descending: what SQLite does by itself."""
        value = compute.value(order.value)
        if not has_order(value.kind):
            raise cannot(f"'{value.name}' has no order", order.value.at, "order by another field")
        text = sorted_by(value, self.dialect)
        return f"{text} DESC NULLS LAST" if order.descending else f"{text} ASC NULLS FIRST"

    def _page(self) -> str:
        limit, offset = self.query.limit, self.query.offset
        text = f" LIMIT {self._number('limit', limit)}" if limit else ""
        if offset is None:
            return text
        # SQLite knows no offset without a limit.
        text = text or (" LIMIT -1" if self.dialect == "sqlite" else "")
        return f"{text} OFFSET {self._number('offset', offset)}"

    def _number(self, name: str, value: Value) -> str:
        return value.text if value.kind == "int" else self.slots.add(name, INT, "count", value)


class _Grouped(Compute):
    """Values over groups of rows."""

    def __init__(
        self,
        scope: Scope,
        slots: Slots,
        named: Mapping[str, Typed],
        grouped: Mapping[str, Typed],
        by_text: Mapping[str, Typed],
    ) -> None:
        super().__init__(scope, slots, named, grouped)
        self._by_text = by_text

    def is_grouped(self, path: Path) -> bool:
        return super().is_grouped(path) or self.scope.resolve(path).text in self._by_text


def _clash(one: str, two: str, along: str) -> bool:
    """Whether both names would be one in the answer; a row takes the place of its key."""
    if one == two:
        return True
    inside = one.startswith(f"{two}.") or two.startswith(f"{one}.")
    return inside and one != along


def _aggregates(value: Operand) -> bool:
    match value:
        case Func(name=name, args=args):
            return name in AGGREGATES or any(_aggregates(each) for each in args)
        case Arith(left=left, right=right):
            return _aggregates(left) or _aggregates(right)
    return False


def _path(name: str) -> Path:
    return Path((Ref(name, Place(0, 0)),))


def shown(value: Typed, dialect: str) -> str:
    """A computed decimal of PostgreSQL with the digits that SQLite shows."""
    if dialect == "postgres" and isinstance(value.kind, DecimalType) and not value.plain:
        return f"({value.text})::numeric({_WIDEST}, {value.kind.scale})"
    return value.text


def _in_json(value: Typed, dialect: str) -> str:
    """A cell of a row in json, in a form that loses nothing."""
    word = type_word(value.kind)
    if word == "json":
        return f"json({value.text})" if dialect == "sqlite" else value.text
    if dialect == "postgres" and word == "decimal":
        scale = value.kind.scale if isinstance(value.kind, DecimalType) else 0
        return f"({value.text} * {10**scale})::numeric({_WIDEST}, 0)"
    if dialect == "postgres" and word == "timestamp":
        return f"(extract(epoch FROM {value.text}) * 1000000)::bigint"
    return value.text
