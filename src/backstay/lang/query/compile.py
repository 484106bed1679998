"""From a query to SQL: names are looked up, types compared, values kept apart from the text.

Both databases give the same rows in the same order: nulls sort first, texts by code point, ties by
the key. Case is folded for ASCII letters only, which is what both can do.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Mapping, Sequence

import msgspec

from backstay.core.nearest import nearest
from backstay.lang.program import (
    DecimalType,
    Entity,
    Field,
    ManyType,
    Program,
    RefType,
    ScalarType,
    Type,
)
from backstay.lang.query import errors as e
from backstay.lang.query.parser import parse
from backstay.lang.query.slots import Slot, fill, slot
from backstay.lang.query.tree import Assign, Condition, Order, Place, Query, Ref
from backstay.lang.query.values import Dialect, SqlValue, load, type_word
from backstay.lang.query.where import Scope, WhereCompiler, cannot

_NUMBERS = ("int", "float", "decimal", "duration")
_ORDERED = (*_NUMBERS, "string", "text", "timestamp", "date", "enum")
_NO_CLAUSES = ("include", "order", "group", "having", "limit", "offset")


class Output(msgspec.Struct, frozen=True):
    """One column of the answer."""

    name: str
    type: Type


class Compiled(msgspec.Struct, frozen=True):
    """A statement ready to run. `sql` has `?` on SQLite and `$1` on PostgreSQL; it holds no value.
    `outputs` is empty for statements that only write."""

    sql: str
    dialect: Dialect
    entity: str
    slots: tuple[Slot, ...]
    outputs: tuple[Output, ...]
    writes: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what `bind` wants, each once."""
        return tuple(dict.fromkeys(each.parameter for each in self.slots if each.parameter))

    def bind(self, given: Mapping[str, object] | None = None) -> tuple[SqlValue, ...]:
        """The values in the order of the statement. Raises CompilerError for one that is missing
        or of another type."""
        given = given or {}
        found: list[SqlValue] = []
        for each in self.slots:
            if not each.parameter:
                found.append(each.value)
            elif each.parameter in given:
                found.append(fill(each, given[each.parameter], self.dialect))
            else:
                what = f"the parameter '@{each.parameter}' has no value"
                raise cannot(what, each.at, "give it a value")
        return tuple(found)

    def row(self, values: Sequence[object]) -> dict[str, object]:
        """A row that SQLite gave, with the values as JSON has them."""
        return {
            output.name: load(output.type, value)
            for output, value in zip(self.outputs, values, strict=True)
        }


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
        query = msgspec.structs.replace(query, entity=Ref(entity, _START))
    return _Compiler(program, query, dialect).run()


_START = Place(0, 0)


class _Compiler:
    def __init__(self, program: Program, query: Query, dialect: Dialect) -> None:
        assert query.entity is not None  # noqa: S101 - `compile` saw to it
        self.program = program
        self.query = query
        self.dialect = dialect
        self.slots: list[Slot] = []
        self.entity = _entity(program, query.entity)
        if self.entity.soft_delete:
            # The runtime keeps no such rows yet: an answer with deleted ones would be wrong.
            what = f"'{self.entity.name}' is soft-deleted, which queries do not know yet"
            raise cannot(what, query.entity, "keep a status in place of soft_delete")
        self.scope = Scope(program, self.entity, quote(self.entity.table))
        self.table = quote(self.entity.table)

    def run(self) -> Compiled:
        verb = self.query.verb
        outputs: list[Output] = []
        writes = verb in ("update", "delete")
        if writes:
            self._refuse_clauses()
            sql = self._update() if verb == "update" else self._delete()
        elif verb in ("select", "filters"):
            sql, outputs = self._select()
        else:
            sql, outputs = self._aggregate()
        return Compiled(
            sql, self.dialect, self.entity.name, tuple(self.slots), tuple(outputs), writes
        )

    # --- statements ---

    def _select(self) -> tuple[str, list[Output]]:
        query = self.query
        fields = [self.scope.field(each) for each in query.fields]
        if query.group:
            return self._grouped_select(fields)
        if query.having is not None:
            raise cannot("'having' needs 'group by'", query.entity, "use where")
        columns = fields or self.scope.columns
        texts = [self.scope.column(each) for each in columns]
        outputs = [Output(each.name, self.scope.type(each)) for each in columns]
        joins = self._joins(texts, outputs)
        order = self._order(query.order, key=True)
        sql = f"SELECT {', '.join(texts)} FROM {self.table}{joins}{self._where()}{order}"
        return sql + self._limit(), outputs

    def _joins(self, texts: list[str], outputs: list[Output]) -> str:
        """The row behind a reference comes along, its fields named `customer.name`."""
        joins = ""
        for ref in self.query.include:
            field = self.scope.any_field(ref)
            if isinstance(field.type, ManyType):
                what = f"'{ref.name}' of {self.entity.name} is a list and cannot be included"
                raise cannot(what, ref, f"query {field.type.entity} by '{field.type.via}'")
            if not isinstance(field.type, RefType):
                raise cannot(f"'{ref.name}' is no relation", ref, "leave it out")
            target = Scope(self.program, self.program.entity(field.type.entity), quote(field.name))
            for each in target.columns:
                name = f"{field.name}.{each.name}"
                texts.append(f"{target.column(each)} AS {quote(name)}")
                outputs.append(Output(name, target.type(each)))
            key = f"{quote(field.name)}.{quote(target.entity.key)}"
            joins += (
                f" LEFT JOIN {quote(target.entity.table)} AS {quote(field.name)}"
                f" ON {key} = {self.scope.column(field)}"
            )
        return joins

    def _grouped_select(self, fields: list[Field]) -> tuple[str, list[Output]]:
        group = [self.scope.field(each) for each in self.query.group]
        self._refuse_include()
        for ref, field in zip(self.query.fields, fields, strict=True):
            if field not in group:
                what = f"'{field.name}' is selected but not grouped by"
                raise cannot(what, ref, "add it to group by")
        texts = [self.scope.column(each) for each in fields or group]
        outputs = [Output(each.name, self.scope.type(each)) for each in fields or group]
        return self._finish_group(texts, group, {}), outputs

    def _aggregate(self) -> tuple[str, list[Output]]:
        self._refuse_include()
        verb = self.query.verb
        text, kind = self._aggregated(verb)
        group = [self.scope.field(each) for each in self.query.group]
        texts = [*(self.scope.column(each) for each in group), f"{text} AS {quote(verb)}"]
        outputs = [Output(each.name, self.scope.type(each)) for each in group]
        outputs.append(Output(verb, kind))
        if not group:
            for name in ("having", "order", "limit", "offset"):
                if getattr(self.query, name):
                    raise cannot(
                        f"'{name}' has no meaning for one number", self.query.entity, "leave it out"
                    )
            return f"SELECT {texts[0]} FROM {self.table}{self._where()}", outputs
        return self._finish_group(texts, group, {verb: (text, kind)}), outputs

    def _aggregated(self, verb: str) -> tuple[str, Type]:
        if not self.query.fields:
            return "count(*)", ScalarType("int")
        ref = self.query.fields[0]
        field = self.scope.field(ref)
        column, kind = self.scope.column(field), self.scope.type(field)
        word = type_word(kind)
        if verb == "count":
            return f"count({column})", ScalarType("int")
        allowed = _NUMBERS if verb in ("sum", "avg") else _ORDERED
        if word not in allowed:
            what = f"'{verb}' does not fit field '{field.name}' of type {word}"
            raise cannot(what, ref, f"{verb} takes {', '.join(allowed)}")
        if verb == "avg":
            return self._average(column, kind), ScalarType("float")
        return f"{verb}({self.scope.sorted_by(field, self.dialect)})", kind

    def _average(self, column: str, kind: Type) -> str:
        if self.dialect == "postgres":
            return f"avg({column})::double precision"
        scale = kind.scale if isinstance(kind, DecimalType) else 0
        return f"avg({column}) / {10**scale}.0" if scale else f"avg({column})"

    def _finish_group(
        self,
        texts: Sequence[str],
        group: Sequence[Field],
        made: Mapping[str, tuple[str, Type]],
    ) -> str:
        by = ", ".join(self.scope.column(each) for each in group)
        sql = f"SELECT {', '.join(texts)} FROM {self.table}{self._where()} GROUP BY {by}"
        grouped = Scope(self.program, self.entity, self.table, tuple(group), made)
        if self.query.having is not None:
            sql += f" HAVING {self._condition(grouped, self.query.having)}"
        terms = [self._term(grouped, each) for each in self.query.order]
        terms += [self._direction(grouped.sorted_by(each, self.dialect)) for each in group]
        return f"{sql} ORDER BY {', '.join(terms)}{self._limit()}"

    def _update(self) -> str:
        names = [each.field.name for each in self.query.assigned]
        terms = []
        for each in self.query.assigned:
            field = self.scope.field(each.field)
            if field.primary:
                raise cannot(f"the key '{field.name}' cannot be changed", each.field, "leave it")
            if names.count(each.field.name) > 1:
                raise cannot(f"'{field.name}' is set twice", each.field, "set it once")
            terms.append(f"{quote(field.name)} = {self._assigned(field, each)}")
        return f"UPDATE {self.table} SET {', '.join(terms)}{self._where()}"

    def _assigned(self, field: Field, each: Assign) -> str:
        if each.value.kind == "null" and not field.required:
            return "NULL"
        kind = self.scope.type(field)
        self.slots.append(slot(field.name, kind, "value", each.value, self.dialect))
        return WhereCompiler(self.scope, self.dialect, self.slots).placeholder(kind)

    def _delete(self) -> str:
        return f"DELETE FROM {self.table}{self._where()}"

    # --- clauses ---

    def _where(self) -> str:
        where = self.query.where
        return "" if where is None else f" WHERE {self._condition(self.scope, where)}"

    def _condition(self, scope: Scope, condition: Condition) -> str:
        loosely = self.query.verb == "filters"
        compiler = WhereCompiler(scope, self.dialect, self.slots, loosely=loosely)
        return compiler.condition(condition)

    def _order(self, order: Sequence[Order], *, key: bool) -> str:
        terms = [self._term(self.scope, each) for each in order]
        if key:
            field = next(each for each in self.entity.fields if each.primary)
            terms.append(self._direction(self.scope.sorted_by(field, self.dialect)))
        return f" ORDER BY {', '.join(terms)}"

    def _term(self, scope: Scope, order: Order) -> str:
        text = scope.sorted_name(order.field, self.dialect)
        return self._direction(text, descending=order.descending)

    def _direction(self, text: str, *, descending: bool = False) -> str:
        """Nulls first, and last when descending: what SQLite does by itself."""
        return f"{text} DESC NULLS LAST" if descending else f"{text} ASC NULLS FIRST"

    def _limit(self) -> str:
        limit, offset = self.query.limit, self.query.offset
        text = "" if limit is None else f" LIMIT {limit}"
        if offset is None:
            return text
        # SQLite knows no offset without a limit.
        return (text or (" LIMIT -1" if self.dialect == "sqlite" else "")) + f" OFFSET {offset}"

    def _refuse_include(self) -> None:
        for ref in self.query.include:
            raise cannot("an aggregate includes no rows", ref, "leave out 'with'")

    def _refuse_clauses(self) -> None:
        for name in _NO_CLAUSES:
            if getattr(self.query, name) not in (None, ()):
                word = "with" if name == "include" else name
                what = f"'{word}' has no meaning for {self.query.verb}"
                raise cannot(what, self.query.entity, "leave it out")


def _entity(program: Program, ref: Ref) -> Entity:
    """By name, whatever its case."""
    wanted = ref.name.lower()
    for entity in program.entities:
        if entity.name.lower() == wanted:
            return entity
    close = nearest(ref.name, [entity.name for entity in program.entities])
    raise e.QueryError(
        e.UNKNOWN_ENTITY,
        line=ref.at.line,
        column=ref.at.column,
        name=ref.name,
        hint=f"did you mean '{close}'?" if close else "name one that the program declares",
    )


def quote(name: str) -> str:
    """An SQL identifier; names come from the checked program."""
    return '"' + name.replace('"', '""') + '"'
