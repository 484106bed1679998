"""What a field lets in: sizes, patterns, and whether its modifiers go with its type at all.

Sizes are checks of the database, too. A pattern is not: neither database has the other's regular
expressions, so it is held against every value before that is written.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from backstay.app.errors import OUT_OF_RANGE, UNFIT
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.operators import is_scalar
from backstay.app.plan.speaking import speaks_of_columns
from backstay.app.plan.tables import Table
from backstay.app.plan.unit import Closure, Scope, Unit
from backstay.core.errors import Fault
from backstay.lang.program import Binary, Choose, Column, EnumType, Expr, Field
from backstay.lang.query.stored import DELETED_AT

Check = Callable[[Unit, Scope], None]


def broken_bound(field: Field, value: object) -> str:
    """The rule among `min`, `max` and `pattern` that `value` breaks, "" when none: numbers by size,
    texts and lists by length."""
    if field.pattern and isinstance(value, str) and not re.search(field.pattern, value):
        return f"like {field.pattern}"
    if value is None or (field.minimum is None and field.maximum is None):
        return ""
    if isinstance(value, str | list | tuple):
        units = (" character", " characters") if isinstance(value, str) else (" entry", " entries")
        size = Decimal(len(value))
    elif isinstance(value, int | float | Decimal):
        size, units = Decimal(value), ("", "")
    else:
        return ""
    if field.minimum is not None and size < field.minimum:
        return f"at least {field.minimum:f}{units[field.minimum != 1]}"
    if field.maximum is not None and size > field.maximum:
        return f"at most {field.maximum:f}{units[field.maximum != 1]}"
    return ""


def fit_for_rows(rows: Table) -> None:
    """Raises APP005 for modifiers that mean nothing on their fields."""
    for column in rows.columns:
        field = column.field
        text = is_scalar(field.type, "string") or is_scalar(field.type, "text")
        if field.auto_update and not is_scalar(field.type, "timestamp"):
            raise _unfit(rows, field, "auto_update is for a timestamp", "make it a timestamp")
        if field.searchable and not text:
            raise _unfit(rows, field, "searchable is for a text", "filter by it: filter: [ … ]")
        if field.pattern and not (text or isinstance(field.type, EnumType)):
            raise _unfit(rows, field, "pattern is for a text", "leave it out")
        stamp = is_scalar(field.type, "timestamp") and not field.required
        if rows.soft and field.name == DELETED_AT and not stamp:
            problem = "soft_delete keeps the time of the deletion there"
            raise _unfit(rows, field, problem, "make it an optional timestamp, or rename it")


def _unfit(rows: Table, field: Field, problem: str, instead: str) -> Fault:
    where = f"{rows.entity.name}.{field.name}"
    return Fault(UNFIT, where=where, problem=problem, instead=instead)


def pattern_checks(
    rows: Table, evaluator: Evaluator, values: Sequence[tuple[str, Expr]]
) -> list[Check]:
    """The patterns that an update has to hold its values against. Raises APP005 for a text that
    only the database would know."""
    found: list[Check] = []
    for name, expr in values:
        field = rows.column(name).field
        if field.pattern:
            found += [
                _check(rows, field, evaluator.closure(part)) for part in _given(rows, field, expr)
            ]
    return found


def _given(rows: Table, field: Field, expr: Expr) -> list[Expr]:
    """The values that may be written, without the one that is there."""
    if not speaks_of_columns(expr):
        return [expr]
    match expr:
        case Column(field=name) if name == field.name:
            return []
        case Binary(op="??", left=left, right=right):
            return _given(rows, field, left) + _given(rows, field, right)
        case Choose(then=then, otherwise=otherwise):
            return _given(rows, field, then) + _given(rows, field, otherwise)
    problem = "a text that is made of columns cannot be held against its pattern"
    raise _unfit(rows, field, problem, "compute it into a let first")


def _check(rows: Table, field: Field, value: Closure) -> Check:
    entity = rows.entity.name

    def check(unit: Unit, scope: Scope) -> None:
        given = value(unit, scope)
        if isinstance(given, str) and not re.search(field.pattern, given):
            rule = f"like {field.pattern}"
            raise Fault(OUT_OF_RANGE, entity=entity, field=field.name, rule=rule)

    return check
