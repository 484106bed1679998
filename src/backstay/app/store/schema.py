"""The tables of a program: what they should be, and the SQL that makes them so.

Checks are named `Entity.field|rule`, so that a refusal can say which rule was broken (faults.py).
Unique fields and references get an index of their own; tables are STRICT: a number that no longer
fits in 64 bits is refused rather than stored as something else.
"""

from importlib import resources

import msgspec

from backstay.app.plan.constraints import Key, checks, keys, primary_name, reference_name
from backstay.app.plan.operators import is_scalar
from backstay.app.plan.tables import Column, Table, quote, table
from backstay.core.sqlite import Schema
from backstay.lang.columns import SCALARS
from backstay.lang.columns import column as column_type
from backstay.lang.program import Field, Program, RefType
from backstay.lang.query.stored import DELETED_AT


class Item(msgspec.Struct, frozen=True):
    """One `column`, `index`, and where they stand for themselves `required`, `check` and
    `reference` of a table, as SQL. `addable` columns may be added to a
    table that has rows; `column` is the one that a rule is about."""

    kind: str
    name: str
    definition: str
    addable: bool = True
    column: str = ""


class Relation(msgspec.Struct, frozen=True):
    """A table with all its items, columns first. `rebuilt`: a column that changes means a new
    table."""

    name: str
    items: tuple[Item, ...]
    closing: str
    rebuilt: bool

    @property
    def columns(self) -> tuple[Item, ...]:
        return self.of("column")

    def create(self) -> list[str]:
        """The SQL for an empty place; `references` come when all tables are there."""
        columns = ",\n  ".join(item.definition for item in self.columns)
        made = [f"CREATE TABLE {quote(self.name)} (\n  {columns}\n){self.closing}"]
        return made + [
            item.definition for item in self.items if item.kind not in ("column", "reference")
        ]

    def references(self) -> list[str]:
        """The SQL that ties it to other tables, where its columns do not."""
        return [item.definition for item in self.of("reference")]

    def of(self, kind: str) -> tuple[Item, ...]:
        """The items of one kind."""
        return tuple(item for item in self.items if item.kind == kind)


def runtime_schema() -> Schema:
    """The runtime's own tables: this room's, those of workflows and jobs where they exist, of keys
    and of the audit."""
    migrations = [_sql("backstay.app.store", "runtime.sql")]
    flow = resources.files("backstay.app") / "flow" / "schema.sql"
    if flow.is_file():
        migrations.append(flow.read_text(encoding="utf-8"))
    migrations += [_sql(f"backstay.app.{room}", "schema.sql") for room in ("keys", "audit")]
    migrations.append(_sql("backstay.app.incoming", "schema.sql"))
    migrations += [_sql("backstay.app.flow", name) for name in ("priorities.sql", "paused.sql")]
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
    columns += _deleted(rows)
    indexes = [_index(rows, key) for key in keys(rows)]
    apart = rows.dialect.apart
    more = [*_rules(rows), *_references(program, rows)] if apart else []
    items = (*columns, *indexes, *more)
    return Relation(rows.entity.table, items, rows.dialect.closing, rebuilt=not apart)


def _column(program: Program, rows: Table, column: Column) -> str:
    field, dialect = column.field, rows.dialect
    kind = column_type(program, field.type, dialect.name)
    numbered = field.primary and is_scalar(field.type, "int")
    parts = [quote(field.name)]
    if numbered:
        parts.append(dialect.numbered_key())
    elif field.primary and dialect.apart:
        parts.append(f"{kind} CONSTRAINT {quote(primary_name(rows))} PRIMARY KEY")
    else:
        parts += [kind, *(["PRIMARY KEY"] if field.primary else [])]
    if dialect.apart:
        return " ".join(parts)
    if field.required or (field.primary and not numbered):
        parts.append("NOT NULL")
    parts += [
        f"CONSTRAINT {quote(check.name)} CHECK ({check.condition})"
        for check in checks(rows, column)
    ]
    if isinstance(field.type, RefType):
        parts.append(_target(program, field.type))
    return " ".join(parts)


def _rules(rows: Table) -> list[Item]:
    """What a column must hold, where each rule can be added and dropped."""
    table_, found = f"ALTER TABLE {rows.name}", []
    for column in rows.columns:
        if column.field.required and not column.field.primary:
            change = f"{table_} ALTER COLUMN {quote(column.name)} SET NOT NULL"
            found.append(Item("required", column.name, change, column=column.name))
        found += [
            Item(
                "check",
                check.name,
                f"{table_} ADD CONSTRAINT {quote(check.name)} CHECK ({check.condition})",
                column=column.name,
            )
            for check in checks(rows, column)
        ]
    return found


def _references(program: Program, rows: Table) -> list[Item]:
    """A column's own cannot name a table that is still to come."""
    return [
        Item(
            "reference",
            name := reference_name(rows, column.name),
            f"ALTER TABLE {rows.name} ADD CONSTRAINT {quote(name)}"
            f" FOREIGN KEY ({quote(column.name)}) {_target(program, column.field.type)}",
        )
        for column in rows.columns
        if isinstance(column.field.type, RefType)
    ]


def _target(program: Program, kind: RefType) -> str:
    target = table(program, kind.entity)
    return f"REFERENCES {target.name} ({quote(target.key)})"


def _addable(field: Field) -> bool:
    """A column that existing rows can have: they get its default, or null."""
    return not field.primary and (not field.required or field.default is not None)


def _index(rows: Table, key: Key) -> Item:
    columns = ", ".join(
        rows.dialect.ordered(quote(name), nullable=_nullable(rows, name)) for name in key.fields
    )
    word = "UNIQUE INDEX" if key.unique else "INDEX"
    made = f"CREATE {word} {quote(key.name)} ON {rows.name} ({columns})"
    if key.unique and rows.soft:
        made += f" WHERE {quote(DELETED_AT)} IS NULL"
    return Item("index", key.name, made)


def _deleted(rows: Table) -> list[Item]:
    """The column that says since when a row is deleted; an entity may declare it as a field."""
    if not rows.soft or rows.has(DELETED_AT):
        return []
    kind = SCALARS["timestamp"][rows.dialect.apart]
    return [Item("column", DELETED_AT, f"{quote(DELETED_AT)} {kind}")]


def _nullable(rows: Table, name: str) -> bool:
    field = rows.column(name).field
    return not (field.required or field.primary)
