"""The columns that a program's fields become, on both databases: the contract of the stores.

The compiler writes SQL for these columns and no others; a store that makes its tables from this
table gives the same rows in the same order as the other one. docs/decisions/0029-columns.md says
why. `JSON` in a text column is compact and UTF-8.
"""

from collections.abc import Mapping

import msgspec

from backstay.lang.program import (
    DecimalType,
    EnumType,
    Program,
    RefType,
    ScalarType,
    Type,
)

DELETED_AT = "deleted_at"
"""The column that an entity with `soft_delete` has besides its fields: a timestamp or null."""


class ColumnType(msgspec.Struct, frozen=True):
    """`sqlite` and `postgres` are the words of the DDL; `holds` says what SQLite keeps; `cast` is
    PostgreSQL's name of the type in an expression; `text` values travel to PostgreSQL as text."""

    sqlite: str
    postgres: str
    holds: str
    cast: str
    ordered: bool = True
    text: bool = False


_TEXT = ColumnType("TEXT", 'text COLLATE "C"', "the text", "text")

COLUMNS: Mapping[str, ColumnType] = {
    "string": _TEXT,
    "text": _TEXT,
    "enum": ColumnType("TEXT", 'text COLLATE "C"', "the member, checked", "text"),
    "int": ColumnType("INTEGER", "bigint", "64 bits", "bigint"),
    "float": ColumnType("REAL", "double precision", "finite numbers", "double precision"),
    "decimal": ColumnType("INTEGER", "numeric", "the digits without the point", "numeric"),
    "duration": ColumnType("REAL", "double precision", "seconds", "double precision"),
    "bool": ColumnType("INTEGER", "boolean", "0 or 1", "boolean"),
    "uuid": ColumnType("TEXT", "uuid", "lower case, with hyphens", "uuid", text=True),
    "timestamp": ColumnType("INTEGER", "timestamptz", "UTC microseconds", "timestamptz", text=True),
    "date": ColumnType("TEXT", "date", "2026-03-01", "date", text=True),
    "time": ColumnType("TEXT", "time", "12:30:00, with .000001 where it is", "time", text=True),
    "json": ColumnType("TEXT", "jsonb", "JSON", "jsonb", ordered=False, text=True),
}
"""By the word of `type_word`: a reference has the column of its target's key; lists, records and
rows have that of `json`."""


def type_word(kind: Type) -> str:
    """The key of `COLUMNS` for a type; a reference is to be resolved before."""
    if isinstance(kind, ScalarType):
        return kind.name
    if isinstance(kind, DecimalType):
        return "decimal"
    return "enum" if isinstance(kind, EnumType) else "json"


def stored_type(program: Program, kind: Type) -> Type:
    """The type of the value in the column: a reference holds its target's key."""
    while isinstance(kind, RefType):
        target = program.entity(kind.entity)
        kind = next(each.type for each in target.fields if each.primary)
    return kind


def postgres_column(program: Program, kind: Type) -> str:
    """The type of a PostgreSQL column, such as `numeric(10, 2)`."""
    kind = stored_type(program, kind)
    if isinstance(kind, DecimalType):
        return f"numeric({kind.precision}, {kind.scale})"
    return COLUMNS[type_word(kind)].postgres


def sqlite_column(program: Program, kind: Type) -> str:
    """The type of a column of a STRICT table of SQLite."""
    return COLUMNS[type_word(stored_type(program, kind))].sqlite
