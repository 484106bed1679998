"""What the database refuses, told as a Fault that names the field.

A broken CHECK comes with the name we gave it, UNIQUE with its columns or its name, NOT NULL with
its column. SQLite names no foreign key, so the references of the row are looked up, in the failing
case only.
"""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.errors import (
    DANGLING,
    NO_VALUE,
    NOT_UNIQUE,
    OUT_OF_RANGE,
    STILL_REFERRED,
)
from backstay.app.plan.constraints import checks, keys, primary_name, reference_name
from backstay.app.plan.tables import Table, quote, table
from backstay.app.store.session import RowTrouble, Session
from backstay.app.values import SqlValue, as_text
from backstay.core.errors import Fault
from backstay.lang.program import DecimalType, Program, RefType

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
        self._unique = {key.name: key.fields for key in keys(rows)}
        self._unique[primary_name(rows)] = (rows.key,)
        self._rules = {
            check.name: (check.field, check.rule)
            for column in rows.columns
            for check in checks(rows, column)
        }
        self._own = {reference_name(rows, name): name for name in self._targets}
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
        touched: Touched = ("FALSE", ()),
        computed: Sequence[str] = (),
    ) -> Exception:
        """The Fault for `refusal`; `stored` are the values that were written, by field, `touched`
        is the condition (with its parameters) of the rows that were changed or deleted, `computed`
        are the fields that got what the database computed."""
        entity, fields = self._rows.entity.name, refusal.columns
        match refusal.rule:
            case "unique":
                fields = fields or self._unique.get(refusal.constraint, ())
                values = ", ".join(self._shown(field, stored) for field in fields)
                return Fault(NOT_UNIQUE, entity=entity, field=", ".join(fields), value=values)
            case "not null":
                return Fault(NO_VALUE, entity=entity, field=", ".join(fields))
            case "check":
                field, rule = self._rules.get(refusal.constraint, ("?", refusal.constraint))
                return Fault(OUT_OF_RANGE, entity=entity, field=field, rule=rule)
            case "range":
                return self._too_large(fields or computed)
            case "foreign key" if refusal.constraint:
                return self._named(refusal.constraint, stored) or refusal
            case "foreign key":
                return self._reference(conn, stored) or self._referred(conn, touched) or refusal
            case _:
                return refusal

    def _too_large(self, fields: Sequence[str]) -> Fault:
        rule = "at most 64 bits"
        if len(fields) == 1:
            kind = self._rows.column(fields[0]).field.type
            rule = f"at most {kind.precision} digits" if isinstance(kind, DecimalType) else rule
        field = ", ".join(fields) or "?"
        return Fault(OUT_OF_RANGE, entity=self._rows.entity.name, field=field, rule=rule)

    def _named(self, constraint: str, stored: Mapping[str, SqlValue]) -> Exception | None:
        """A reference that the database names: one of this table's, if it was written."""
        field = self._own.get(constraint)
        if field is not None and field in stored:
            return self._dangling(field, stored)
        for other, name in self._referring:
            if reference_name(other, name) == constraint:
                return self._held(other, name)
        return None

    def _reference(self, conn: Session, stored: Mapping[str, SqlValue]) -> Exception | None:
        for name, target in self._targets.items():
            value = stored.get(name)
            if value is not None and missing(conn, target, [value]):
                return self._dangling(name, stored)
        return None

    def _dangling(self, field: str, stored: Mapping[str, SqlValue]) -> Fault:
        return Fault(
            DANGLING,
            entity=self._rows.entity.name,
            field=field,
            target=self._targets[field].entity.name,
            value=self._shown(field, stored),
        )

    def _held(self, other: Table, field: str) -> Fault:
        entity = self._rows.entity.name
        return Fault(STILL_REFERRED, entity=entity, other=other.entity.name, field=field)

    def _shown(self, field: str, stored: Mapping[str, SqlValue]) -> str:
        """A written value as a request has it."""
        value, emit = stored.get(field), self._rows.column(field).codec.emit
        return as_text(value if emit is None else emit(value))

    def _referred(self, conn: Session, touched: Touched) -> Exception | None:
        rows, (condition, params) = self._rows, touched
        keys = f"SELECT {rows.name}.{quote(rows.key)} FROM {rows.name} WHERE {condition}"
        for other, field in self._referring:
            text = f"SELECT 1 FROM {other.name} WHERE {other.name}.{quote(field)} IN ({keys})"
            if conn.execute(f"{text} LIMIT 1", params).fetchone() is not None:
                return self._held(other, field)
        return None


def missing(conn: Session, target: Table, keys: Sequence[SqlValue]) -> list[SqlValue]:
    """Those of `keys` that no row of `target` has; one statement."""
    text = f"SELECT {quote(target.key)} FROM {target.source()} WHERE {target.among(target.key)}"
    found = conn.execute(text, (msgspec.json.encode(list(dict.fromkeys(keys))).decode(),))
    known = {row[0] for row in found}
    return [key for key in dict.fromkeys(keys) if key not in known]
