"""The tables of a program: what they should be, and the SQL that makes them so.

Checks are named `Entity.field|rule`, so that a refusal can say which rule was broken (faults.py).
Unique fields and references get an index of their own; tables are STRICT: a number that no longer
fits in 64 bits is refused rather than stored as something else.
"""

from importlib import resources

import msgspec

from backstay.app.errors import NOT_SUPPORTED
from backstay.app.plan.tables import Column, Table, quote, table
from backstay.core.errors import Fault
from backstay.core.sqlite import Schema
from backstay.lang.program import (
    DecimalType,
    EnumType,
    Field,
    ListType,
    Program,
    RefType,
    ScalarType,
)


class Item(msgspec.Struct, frozen=True):
    """One column (`column`) or index (`index`) of a table, as SQL. `addable` columns may be added
    to a table that has rows."""

    kind: str
    name: str
    definition: str
    addable: bool = True


class Relation(msgspec.Struct, frozen=True):
    """A table with all its items, columns first."""

    name: str
    items: tuple[Item, ...]

    @property
    def columns(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.kind == "column")

    def create(self) -> list[str]:
        """The SQL for an empty place."""
        columns = ",\n  ".join(item.definition for item in self.columns)
        made = [f"CREATE TABLE {quote(self.name)} (\n  {columns}\n) STRICT"]
        return made + [item.definition for item in self.items if item.kind == "index"]


def runtime_schema() -> Schema:
    """The runtime's own tables: this room's, then those of workflows and jobs where they exist."""
    migrations = [_sql("backstay.app.store", "runtime.sql")]
    flow = resources.files("backstay.app") / "flow" / "schema.sql"
    if flow.is_file():
        migrations.append(flow.read_text(encoding="utf-8"))
    return Schema("backstay-app", migrations)


def relations(program: Program) -> list[Relation]:
    """The tables of all entities, each after those it refers to where that is possible."""
    return [_relation(program, table(program, entity.name)) for entity in program.entities]


def _sql(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


_DIGITS = 18
"""A 64-bit integer holds any decimal of so many digits."""


def _relation(program: Program, rows: Table) -> Relation:
    columns = [
        Item("column", column.name, _column(program, rows, column), _addable(column.field))
        for column in rows.columns
    ]
    return Relation(rows.entity.table, (*columns, *_indexes(rows)))


def _column(program: Program, rows: Table, column: Column) -> str:
    field = column.field
    parts = [quote(field.name), column.codec.column]
    if field.primary:
        parts.append("PRIMARY KEY")
    if field.required or (field.primary and column.codec.column != "INTEGER"):
        parts.append("NOT NULL")
    for rule, condition in _checks(field):
        name = quote(f"{rows.entity.name}.{field.name}|{rule}")
        parts.append(f"CONSTRAINT {name} CHECK ({condition})")
    if isinstance(field.type, RefType):
        target = table(program, field.type.entity)
        parts.append(f"REFERENCES {target.name} ({quote(target.key)})")
    return " ".join(parts)


def _checks(field: Field) -> list[tuple[str, str]]:
    column, kind = quote(field.name), field.type
    if isinstance(kind, DecimalType) and kind.precision > _DIGITS:
        what = f"decimal({kind.precision}, {kind.scale}) with more than {_DIGITS} digits"
        raise Fault(NOT_SUPPORTED, where=field.name, what=what)
    checks: list[tuple[str, str]] = []
    if isinstance(kind, EnumType):
        members = ", ".join("'" + member.replace("'", "''") + "'" for member in kind.members)
        checks.append((f"one of {', '.join(kind.members)}", f"{column} IN ({members})"))
    if isinstance(kind, ScalarType) and kind.name == "bool":
        checks.append(("true or false", f"{column} IN (0, 1)"))
    if isinstance(kind, DecimalType):
        bound = 10**kind.precision
        checks.append((f"at most {kind.precision} digits", f"abs({column}) < {bound}"))
    size, unit = _measure(field)
    scale = kind.scale if isinstance(kind, DecimalType) else 0
    for word, sign, bound_ in (("least", ">=", field.minimum), ("most", "<=", field.maximum)):
        if bound_ is not None:
            checks.append(
                (f"at {word} {bound_:f}{unit}", f"{size} {sign} {bound_.scaleb(scale):f}")
            )
    return checks


def _measure(field: Field) -> tuple[str, str]:
    column, kind = quote(field.name), field.type
    if isinstance(kind, ListType):
        return f"json_array_length({column})", " entries"
    if isinstance(kind, ScalarType) and kind.name in ("string", "text"):
        return f"length({column})", " characters"
    return column, ""


def _addable(field: Field) -> bool:
    """A column that existing rows can have: they get its default, or null."""
    return not field.primary and (not field.required or field.default is not None)


def _indexes(rows: Table) -> list[Item]:
    entity = rows.entity
    wanted: list[tuple[tuple[str, ...], bool]] = [
        ((field.name,), True) for field in entity.fields if field.unique
    ]
    wanted += [(index.fields, index.unique) for index in entity.indexes]
    leading = {fields[0] for fields, _ in wanted}
    wanted += [
        ((column.name,), False)
        for column in rows.columns
        if isinstance(column.field.type, RefType) and column.name not in leading
    ]
    return [_index(rows, fields, unique=unique) for fields, unique in dict.fromkeys(wanted)]


def _index(rows: Table, fields: tuple[str, ...], *, unique: bool) -> Item:
    name = f"{rows.entity.table}_{'_'.join(fields)}_{'unique' if unique else 'index'}"
    columns = ", ".join(quote(field) for field in fields)
    word = "UNIQUE INDEX" if unique else "INDEX"
    return Item("index", name, f"CREATE {word} {quote(name)} ON {rows.name} ({columns})")
