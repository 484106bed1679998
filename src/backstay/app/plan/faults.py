"""What the database refuses, told as a Fault that names the field.

SQLite says which constraint failed in its message: CHECKs carry our own names
(`Order.total|at least 0`), UNIQUE and NOT NULL name table and column. A foreign key names nothing,
so the references of the row are looked up, in the failing case only.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

import re
from collections.abc import Mapping, Sequence

import apsw

from backstay.app.errors import (
    DANGLING,
    NO_VALUE,
    NOT_UNIQUE,
    OUT_OF_RANGE,
    STILL_REFERRED,
)
from backstay.app.plan.tables import Table, quote, table
from backstay.app.values import SqlValue, as_text, plain
from backstay.core.errors import Fault
from backstay.lang.program import Program, RefType

Touched = tuple[str, Sequence[SqlValue]]
_NAMED = re.compile(r"constraint failed: (.+)")
_COLUMN = re.compile(r"column \S+\.(\S+)$")


class Refusals:
    """Turns constraint errors of one table into Faults."""

    def __init__(self, program: Program, rows: Table) -> None:
        self._rows = rows
        self._targets = {
            column.name: table(program, column.field.type.entity)
            for column in rows.columns
            if isinstance(column.field.type, RefType)
        }
        self._referring = [
            (table(program, entity.name), field.name)
            for entity in program.entities
            for field in entity.fields
            if isinstance(field.type, RefType) and field.type.entity == rows.entity.name
        ]

    def fault(
        self,
        refusal: apsw.ConstraintError,
        conn: apsw.Connection,
        stored: Mapping[str, SqlValue],
        touched: Touched = ("0", ()),
    ) -> Exception:
        """The Fault for `refusal`; `stored` are the values that were written, by field, `touched`
        is the condition (with its parameters) of the rows that were changed or deleted."""
        code = getattr(refusal, "extendedresult", 0)
        named = _NAMED.search(str(refusal))
        name = named.group(1) if named else ""
        entity = self._rows.entity.name
        if code in (apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY):
            fields = [part.rsplit(".", 1)[-1] for part in name.split(", ")]
            values = ", ".join(_shown(stored.get(field)) for field in fields)
            return Fault(NOT_UNIQUE, entity=entity, field=", ".join(fields), value=values)
        if code == apsw.SQLITE_CONSTRAINT_NOTNULL:
            return Fault(NO_VALUE, entity=entity, field=name.rsplit(".", 1)[-1])
        if code == apsw.SQLITE_CONSTRAINT_CHECK:
            where, _, rule = name.partition("|")
            return Fault(OUT_OF_RANGE, entity=entity, field=where.rsplit(".", 1)[-1], rule=rule)
        if code == apsw.SQLITE_CONSTRAINT_DATATYPE:
            place = _COLUMN.search(str(refusal))
            field = place.group(1) if place else "?"
            return Fault(OUT_OF_RANGE, entity=entity, field=field, rule="at most 64 bits")
        if code == apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
            return self._reference(conn, stored) or self._referred(conn, touched) or refusal
        return refusal

    def _reference(self, conn: apsw.Connection, stored: Mapping[str, SqlValue]) -> Exception | None:
        for name, target in self._targets.items():
            value = stored.get(name)
            if value is not None and missing(conn, target, [value]):
                return Fault(
                    DANGLING,
                    entity=self._rows.entity.name,
                    field=name,
                    target=target.entity.name,
                    value=_shown(value),
                )
        return None

    def _referred(self, conn: apsw.Connection, touched: Touched) -> Exception | None:
        rows, (condition, params) = self._rows, touched
        keys = f"SELECT {rows.name}.{quote(rows.key)} FROM {rows.name} WHERE {condition}"
        for other, field in self._referring:
            text = f"SELECT 1 FROM {other.name} WHERE {other.name}.{quote(field)} IN ({keys})"
            if conn.execute(f"{text} LIMIT 1", params).fetchone() is not None:
                return Fault(
                    STILL_REFERRED, entity=rows.entity.name, other=other.entity.name, field=field
                )
        return None


def missing(conn: apsw.Connection, target: Table, keys: Sequence[SqlValue]) -> list[SqlValue]:
    """Those of `keys` that no row of `target` has. One statement for up to 500 keys."""
    absent: list[SqlValue] = []
    key = quote(target.key)
    for start in range(0, len(keys), 500):
        part = list(dict.fromkeys(keys[start : start + 500]))
        marks = ", ".join("?" * len(part))
        found = conn.execute(f"SELECT {key} FROM {target.name} WHERE {key} IN ({marks})", part)
        known = {row[0] for row in found}
        absent += [value for value in part if value not in known]
    return absent


def _shown(value: SqlValue) -> str:
    return as_text(plain(value)) if not isinstance(value, bytes) else "bytes"
