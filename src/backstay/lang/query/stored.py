"""What a query has to know of the columns that it speaks of (`lang/columns.py` makes them)."""

from backstay.lang.columns import SCALARS
from backstay.lang.program import (
    DecimalType,
    EnumType,
    Program,
    RefType,
    ScalarType,
    Type,
)

DELETED_AT = "deleted_at"
"""The column that an entity with `soft_delete` has besides its fields: a timestamp, null while the
row lives."""

BY_TEXT = ("uuid", "timestamp", "date", "time", "json")
"""Types whose values travel to PostgreSQL as text, so that a driver need not know them."""


def type_word(kind: Type) -> str:
    """The name of a column's type; lists, records and rows are json. A reference is to be resolved
    before."""
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


def cast(kind: Type) -> str:
    """PostgreSQL's name of the type in an expression."""
    word = type_word(kind)
    if word in ("decimal", "json"):
        return "numeric" if word == "decimal" else "json"
    return SCALARS["string" if word == "enum" else word][1].split(" COLLATE")[0].lower()


def has_order(kind: Type) -> bool:
    """Whether values of the type can be sorted."""
    return type_word(kind) != "json"
