"""What the database itself sees to: checks, unique keys, references; their names and their SQL.

A refusal names the constraint that was broken, and the name leads back to the field and its rule.
"""

from decimal import Decimal

import msgspec

from backstay.app.errors import NOT_SUPPORTED, UNFIT
from backstay.app.plan.operators import is_json
from backstay.app.plan.tables import Column, Table, quote
from backstay.core.errors import Fault
from backstay.lang.program import DecimalType, EnumType, ListType, RefType, ScalarType

_DIGITS = 18


class Check(msgspec.Struct, frozen=True):
    """`rule` in words, `condition` in SQL."""

    name: str
    field: str
    rule: str
    condition: str


class Key(msgspec.Struct, frozen=True):
    """An index over `fields`; a unique one of an entity with soft delete is among living rows."""

    name: str
    fields: tuple[str, ...]
    unique: bool


def checks(rows: Table, column: Column) -> list[Check]:
    """The rules of one column. Raises APP004 for a decimal that not every database can hold."""
    found = _of_type(rows, column) + _bounds(rows, column)
    return [
        Check(
            rows.dialect.name_of(f"{rows.entity.name}.{column.name}|{rule}"),
            column.name,
            rule,
            condition,
        )
        for rule, condition in found
    ]


def keys(rows: Table) -> list[Key]:
    """Declared indexes, unique fields, and each reference that no other index begins with. Raises
    APP005 for an index that no database can make."""
    entity = rows.entity
    wanted: list[tuple[tuple[str, ...], bool]] = [
        ((field.name,), True) for field in entity.fields if field.unique
    ]
    wanted += [(index.fields, index.unique) for index in entity.indexes]
    wanted += [((field.name,), False) for field in entity.fields if field.indexed]
    leading = {fields[0] for fields, _ in wanted}
    wanted += [
        ((column.name,), False)
        for column in rows.columns
        if isinstance(column.field.type, RefType) and column.name not in leading
    ]
    return [_key(rows, fields, unique=unique) for fields, unique in dict.fromkeys(wanted)]


def primary_name(rows: Table) -> str:
    """The name of the primary key, where it has one."""
    return rows.dialect.name_of(f"{rows.entity.table}_primary")


def reference_name(rows: Table, field: str) -> str:
    """The name of a reference, where it has one."""
    return rows.dialect.name_of(f"{rows.entity.table}_{field}_reference")


def _key(rows: Table, fields: tuple[str, ...], *, unique: bool) -> Key:
    inside = [name for name in fields if is_json(rows.column(name).field.type)]
    if inside:
        where, problem = f"{rows.entity.name}.{inside[0]}", "a list or a document has no index"
        raise Fault(UNFIT, where=where, problem=problem, instead="leave it out of the index")
    name = f"{rows.entity.table}_{'_'.join(fields)}_{'unique' if unique else 'index'}"
    return Key(rows.dialect.name_of(name), fields, unique)


def _of_type(rows: Table, column: Column) -> list[tuple[str, str]]:
    name, kind = quote(column.name), column.field.type
    if isinstance(kind, EnumType):
        members = ", ".join("'" + member.replace("'", "''") + "'" for member in kind.members)
        return [(f"one of {', '.join(kind.members)}", f"{name} IN ({members})")]
    if isinstance(kind, ScalarType) and kind.name == "bool" and rows.dialect.numeric_flags:
        return [("true or false", f"{name} IN (0, 1)")]
    if isinstance(kind, DecimalType):
        if kind.precision > _DIGITS:
            what = f"decimal({kind.precision}, {kind.scale}) with more than {_DIGITS} digits"
            raise Fault(NOT_SUPPORTED, where=column.name, what=what)
        bound = _number(rows, Decimal(10) ** (kind.precision - kind.scale), kind.scale)
        return [(f"at most {kind.precision} digits", f"abs({name}) < {bound}")]
    return []


def _bounds(rows: Table, column: Column) -> list[tuple[str, str]]:
    field = column.field
    size, unit = _measure(column)
    scale = field.type.scale if isinstance(field.type, DecimalType) else 0
    found: list[tuple[str, str]] = []
    for word, sign, bound in (("least", ">=", field.minimum), ("most", "<=", field.maximum)):
        if bound is not None:
            condition = f"{size} {sign} {_number(rows, bound, scale)}"
            found.append((f"at {word} {bound:f}{unit}", condition))
    return found


def _number(rows: Table, number: Decimal, scale: int) -> str:
    return f"{number.scaleb(scale) if rows.dialect.scaled else number:f}"


def _measure(column: Column) -> tuple[str, str]:
    name, kind = quote(column.name), column.field.type
    if isinstance(kind, ListType):
        return f"json_array_length({name})", " entries"
    if isinstance(kind, ScalarType) and kind.name in ("string", "text"):
        return f"length({name})", " characters"
    return name, ""
