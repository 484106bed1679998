"""An entity as SQL sees it: quoted names, the columns in order, rows to and from Python."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.app.plan.unit import Row
from backstay.app.store.aim import dialect_of
from backstay.app.store.dialect import Dialect
from backstay.app.values import Codec, SqlValue, codec, is_many, same
from backstay.lang.program import Entity, Field, Program, RefType, RowType, Type
from backstay.lang.query.stored import DELETED_AT


class Column(msgspec.Struct, frozen=True):
    """One stored field. `kind` is that of what is stored: for a reference, its target's key."""

    field: Field
    codec: Codec
    kind: Type

    @property
    def name(self) -> str:
        return self.field.name


class Table(msgspec.Struct, frozen=True):
    """`name` is quoted; `select` is the list of all columns in order, qualified by it."""

    entity: Entity
    dialect: Dialect
    name: str
    key: str
    columns: tuple[Column, ...]
    select: str
    names: tuple[str, ...]
    loads: tuple[tuple[str, Callable[[object], object]], ...]
    emits: tuple[tuple[str, Callable[[object], object]], ...]

    def column(self, name: str) -> Column:
        """Raises KeyError; a checked program has no dangling field."""
        for column in self.columns:
            if column.field.name == name:
                return column
        raise KeyError(f"{self.entity.name}.{name}")

    def has(self, name: str) -> bool:
        return name in self.names

    def among(self, name: str) -> str:
        """The column is one of the keys in a JSON array, the only parameter."""
        return self.dialect.among(f"{self.name}.{quote(name)}", self.column(name).kind)

    @property
    def soft(self) -> bool:
        """Whether deleted rows stay, marked, and are not seen any more."""
        return self.entity.soft_delete

    def living(self, alias: str = "") -> str:
        """The condition that leaves deleted rows out, "" where they are gone anyway."""
        column = f"{quote(alias) if alias else self.name}.{quote(DELETED_AT)}"
        return f"{column} IS NULL" if self.soft else ""

    def source(self, alias: str = "") -> str:
        """What stands after FROM to read the rows that are there; `alias` is a plain name."""
        if not self.soft:
            return f"{self.name} AS {alias}" if alias else self.name
        rows = f"(SELECT * FROM {self.name} WHERE {self.living()})"  # noqa: S608 - checked names
        return f"{rows} AS {alias or self.name}"

    def row(self, values: Sequence[SqlValue]) -> Row:
        """Python values of what the database gave for `select`."""
        row: Row = dict(zip(self.names, values, strict=True))
        for name, load in self.loads:
            row[name] = load(row[name])
        return row

    def shaped(self, values: Sequence[SqlValue]) -> Row:
        """JSON values of what the database gave for `select`, without the way through Python's.
        What it gave besides stands behind."""
        row: Row = dict(zip(self.names, values, strict=False))
        for name, emit in self.emits:
            row[name] = emit(row[name])
        return row

    def shape(self, row: Mapping[str, object]) -> Row:
        """JSON values of a row of Python values."""
        return {column.name: column.codec.shape(row[column.name]) for column in self.columns}


def table(program: Program, name: str) -> Table:
    """Everything about the entity `name`."""
    entity = program.entity(name)
    columns = tuple(
        Column(field, codec(program, field.type), key_kind(program, field.type))
        for field in entity.fields
        if not is_many(field.type)
    )
    quoted = quote(entity.table)
    return Table(
        entity=entity,
        dialect=dialect_of(program),
        name=quoted,
        key=entity.key,
        columns=columns,
        select=", ".join(f"{quoted}.{quote(column.name)}" for column in columns),
        names=tuple(column.name for column in columns),
        loads=tuple((c.name, c.codec.load) for c in columns if c.codec.load is not same),
        emits=tuple((c.name, c.codec.emit) for c in columns if c.codec.emit is not None),
    )


def key_kind(program: Program, kind: Type) -> Type:
    """A reference, or a row, is what its key is; everything else is itself."""
    while isinstance(kind, RefType | RowType):
        target = program.entity(kind.entity)
        kind = next(field.type for field in target.fields if field.primary)
    return kind


def quote(name: str) -> str:
    """An SQL identifier. Names come from the checked program, never from a request."""
    return '"' + name.replace('"', '""') + '"'
