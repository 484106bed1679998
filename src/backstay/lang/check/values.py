"""A value where a type is wanted: constants take the wanted shape, rows become their keys."""

import re
from datetime import time
from decimal import Decimal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.types import STRING, assignable, show
from backstay.lang.check.world import Checker
from backstay.lang.names import listed, suggestion

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?")


def fit(k: Checker, value: p.Expr, to: p.Type, span: s.Range, what: str) -> p.Expr:
    """`value` as one of type `to`. Reports a mismatch; the value is then returned as it is."""
    if isinstance(value, p.Constant) and value.value is not None:
        return constant(k, value, to, span, what)
    if isinstance(value, p.Constant) and not isinstance(value.type, p.UnknownType):
        return value
    if not assignable(k, to, value.type):
        mismatch(k, to, value.type, span, what)
        return value
    if isinstance(to, p.RefType) and isinstance(value.type, p.RowType):
        info = k.world.entities[value.type.entity]
        if info.key:
            return p.Get(value, info.key.name, to)
    return value


def mismatch(k: Checker, to: p.Type, given: p.Type, span: s.Range, what: str) -> None:
    k.error(e.MISMATCH, span, what=what, wanted=show(to), got=show(given), expected=(show(to),))


def constant(k: Checker, value: p.Constant, to: p.Type, span: s.Range, what: str) -> p.Constant:
    """A constant in the shape of `to`: `"paid"` as a member of an enum, `5` as a decimal."""
    plain = value.value
    match to:
        case p.EnumType(members) if isinstance(plain, str):
            return _member(k, plain, to, members, span, what)
        case p.DecimalType() if isinstance(plain, int | Decimal) and not isinstance(plain, bool):
            return _decimal(k, Decimal(plain), to, span, what)
        case p.ScalarType("float") if isinstance(plain, int | Decimal) and plain is not True:
            return p.Constant(float(plain), to)
        case p.ScalarType(("uuid" | "timestamp" | "date" | "time") as name) if value.type == STRING:
            if _reads_as(name, str(plain)):
                return p.Constant(_written(name, str(plain)), to)
            k.error(e.OUT_OF_RANGE, span, value=f'"{plain}"', what=name, fix=_LIKE[name])
            return p.Constant(plain, to)
    if not assignable(k, to, value.type):
        mismatch(k, to, value.type, span, what)
    return value


def _member(
    k: Checker, text: str, to: p.Type, members: tuple[str, ...], span: s.Range, what: str
) -> p.Constant:
    if text not in members:
        place = k.reports.at(span)
        edit = suggestion(text, members, place)
        if edit:
            edit = type(edit)(edit.title, edit.span, f'"{edit.text}"')
        k.error(
            e.NOT_A_MEMBER,
            span,
            edit=edit,
            expected=members,
            value=text,
            what=what,
            known=listed(members),
        )
    return p.Constant(text, to)


def _decimal(
    k: Checker, number: Decimal, to: p.DecimalType, span: s.Range, what: str
) -> p.Constant:
    places = -int(number.as_tuple().exponent)
    whole = len(number.as_tuple().digits) - places
    if places > to.scale or whole > to.precision - to.scale:
        fix = f"it holds {to.precision} digits, {to.scale} of them after the point"
        k.error(e.OUT_OF_RANGE, span, value=str(number), what=f"{what}, {show(to)}", fix=fix)
    return p.Constant(number, to)


_LIKE = {
    "uuid": "write it like 01890a5d-ac96-774b-bcce-b302099a8057",
    "timestamp": "write it like 2026-03-01T12:00:00Z",
    "date": "write it like 2026-03-01",
    "time": "write it like 09:30:00",
}


def _written(name: str, text: str) -> str:
    """As a value of the type is kept: `09:30` is `09:30:00`."""
    return time.fromisoformat(text).isoformat() if name == "time" else text


def _reads_as(name: str, text: str) -> bool:
    if name == "uuid":
        return _UUID.fullmatch(text) is not None
    if name in ("date", "time"):
        return (_DATE if name == "date" else _TIME).fullmatch(text) is not None
    # Imported here: the clock brings asyncio with it, which most programs do not need.
    from backstay.core.clock import parse_rfc3339

    try:
        parse_rfc3339(text)
    except ValueError:
        return False
    return True
