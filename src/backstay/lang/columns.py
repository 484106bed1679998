"""What a field is in a database: one table for the query language and for the app's own tables.

Texts compare by their bytes on both databases (decision 30).
"""

from collections.abc import Mapping
from typing import Literal

from backstay.lang.program import DecimalType, EnumType, Program, RefType, ScalarType, Type

Dialect = Literal["sqlite", "postgres"]

SCALARS: Mapping[str, tuple[str, str]] = {
    "string": ("TEXT", 'TEXT COLLATE "C"'),
    "text": ("TEXT", 'TEXT COLLATE "C"'),
    "int": ("INTEGER", "BIGINT"),
    "float": ("REAL", "DOUBLE PRECISION"),
    "duration": ("REAL", "DOUBLE PRECISION"),
    "bool": ("INTEGER", "BOOLEAN"),
    "uuid": ("TEXT", "UUID"),
    "timestamp": ("INTEGER", "TIMESTAMPTZ"),
    "date": ("TEXT", "DATE"),
    "time": ("TEXT", "TIME"),
}
"""By the name of a scalar: the type of its column on SQLite and on PostgreSQL."""


def column(program: Program, kind: Type, dialect: Dialect) -> str:
    """The type of the column that stores a field of `kind`. A reference is its target's key; what
    has no column type of its own is JSON text."""
    place = 0 if dialect == "sqlite" else 1
    match kind:
        case ScalarType(name=name) if name in SCALARS:
            return SCALARS[name][place]
        case EnumType():
            return SCALARS["string"][place]
        case DecimalType(precision=precision, scale=scale):
            return ("INTEGER", f"NUMERIC({precision},{scale})")[place]
        case RefType(entity=entity):
            target = program.entity(entity)
            key = next(field for field in target.fields if field.primary)
            return column(program, key.type, dialect)
        case _:
            return ("TEXT", "JSON")[place]
