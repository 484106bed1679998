"""Pieces of SQL, and numbers of different scales brought together before they meet."""

import msgspec

from backstay.app.plan.operators import is_scalar
from backstay.app.plan.unit import Param, Scope, Unit
from backstay.app.store.dialect import Dialect
from backstay.app.values import SqlValue
from backstay.lang.program import DecimalType, ScalarType, Type


class Sql(msgspec.Struct, frozen=True):
    """A piece of SQL. `params` stand in the order of its question marks."""

    text: str
    params: tuple[Param, ...]
    type: Type

    def bind(self, unit: Unit, scope: Scope) -> list[SqlValue]:
        """The parameters' values for this run."""
        return [param(unit, scope) for param in self.params]


def _scale(kind: Type) -> int | None:
    """Digits after the point of an exact number; None for floats."""
    if isinstance(kind, DecimalType):
        return kind.scale
    return 0 if is_scalar(kind, "int") else None


def is_number(kind: Type) -> bool:
    """Whether values of the type can be brought to one scale."""
    return _scale(kind) is not None or is_scalar(kind, "float")


def aligned(dialect: Dialect, a: Sql, b: Sql) -> tuple[Sql, Sql]:
    """Both at the larger scale; both as floats where one of them is."""
    if not dialect.scaled:
        return _together(a, b)
    left, right = _scale(a.type), _scale(b.type)
    if left == right:
        return a, b
    if left is None or right is None:
        return _real(a, left), _real(b, right)
    target = DecimalType(38, max(left, right))
    return _lifted(a, left, target), _lifted(b, right, target)


def _lifted(sql: Sql, scale: int, target: DecimalType) -> Sql:
    if scale == target.scale:
        return Sql(sql.text, sql.params, target)
    return Sql(f"({sql.text} * {10 ** (target.scale - scale)})", sql.params, target)


def _real(sql: Sql, scale: int | None) -> Sql:
    if not scale:
        return sql
    return Sql(f"({sql.text} / {10**scale}.0)", sql.params, ScalarType("float"))


def _together(a: Sql, b: Sql) -> tuple[Sql, Sql]:
    """Numbers as they are; the result's type is the wider one, which the first one is given."""
    left, right = _scale(a.type), _scale(b.type)
    if left is None or (right is not None and left >= right):
        return a, b
    return Sql(a.text, a.params, b.type), b


def product(a: Type, b: Type) -> Type:
    """The type of `a * b`: the scales add up."""
    left, right = _scale(a), _scale(b)
    if left is None or right is None:
        return ScalarType("float")
    return DecimalType(38, left + right) if left + right else a


def rescaled(dialect: Dialect, sql: Sql, target: DecimalType) -> Sql:
    """To the scale of the column; halves go away from zero, as in Python."""
    scale = _scale(sql.type)
    if not dialect.scaled:
        text = f"round(CAST({sql.text} AS NUMERIC), {target.scale})"
        return Sql(text, sql.params, target)
    if scale is None:
        text = f"CAST(round({sql.text} * {10**target.scale}) AS BIGINT)"
        return Sql(text, sql.params, target)
    if scale <= target.scale:
        return _lifted(sql, scale, target)
    step = 10 ** (scale - target.scale)
    text = (
        f"((({sql.text}) + {step // 2} * (CASE WHEN ({sql.text}) < 0 THEN -1 ELSE 1 END)) / {step})"
    )
    return Sql(text, sql.params + sql.params, target)
