"""What the database refuses, told as a Fault that names the field.

A broken CHECK comes with the name we gave it (`Order.total|at least 0`), UNIQUE and NOT NULL with
their columns. SQLite names no foreign key, so the references of the row are looked up, in the
failing case only.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Mapping, Sequence

from backstay.app.errors import (
    DANGLING,
    NO_VALUE,
    NOT_UNIQUE,
    OUT_OF_RANGE,
    STILL_REFERRED,
)
from backstay.app.plan.tables import Table, quote, table
from backstay.app.store.session import RowTrouble, Session
from backstay.app.values import SqlValue, as_text, plain
from backstay.core.errors import Fault
from backstay.lang.program import Program, RefType

Touched = tuple[str, Sequence[SqlValue]]


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
        refusal: RowTrouble,
        conn: Session,
        stored: Mapping[str, SqlValue],
        touched: Touched = ("0", ()),
    ) -> Exception:
        """The Fault for `refusal`; `stored` are the values that were written, by field, `touched`
        is the condition (with its parameters) of the rows that were changed or deleted."""
        entity, fields = self._rows.entity.name, refusal.columns
        match refusal.rule:
            case "unique":
                values = ", ".join(_shown(stored.get(field)) for field in fields)
                return Fault(NOT_UNIQUE, entity=entity, field=", ".join(fields), value=values)
            case "not null":
                return Fault(NO_VALUE, entity=entity, field=", ".join(fields))
            case "check":
                where, _, rule = refusal.constraint.partition("|")
                field = where.rsplit(".", 1)[-1]
                return Fault(OUT_OF_RANGE, entity=entity, field=field, rule=rule)
            case "range":
                field = ", ".join(fields) or "?"
                return Fault(OUT_OF_RANGE, entity=entity, field=field, rule="at most 64 bits")
            case "foreign key":
                return self._reference(conn, stored) or self._referred(conn, touched) or refusal
            case _:
                return refusal

    def _reference(self, conn: Session, stored: Mapping[str, SqlValue]) -> Exception | None:
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

    def _referred(self, conn: Session, touched: Touched) -> Exception | None:
        rows, (condition, params) = self._rows, touched
        keys = f"SELECT {rows.name}.{quote(rows.key)} FROM {rows.name} WHERE {condition}"
        for other, field in self._referring:
            text = f"SELECT 1 FROM {other.name} WHERE {other.name}.{quote(field)} IN ({keys})"
            if conn.execute(f"{text} LIMIT 1", params).fetchone() is not None:
                return Fault(
                    STILL_REFERRED, entity=rows.entity.name, other=other.entity.name, field=field
                )
        return None


def missing(conn: Session, target: Table, keys: Sequence[SqlValue]) -> list[SqlValue]:
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
