"""Fields: their types, what modifiers say about them."""

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.expressions import literal, typed
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import (
    INT,
    TIMESTAMP,
    UUID,
    is_number,
    is_text,
    resolve,
    show,
    too_many,
)
from backstay.lang.check.world import Checker

_ARGUMENTS: Mapping[str, int | tuple[int, int]] = {
    "required": 0,
    "optional": (0, 1),
    "primary": 0,
    "auto": 0,
    "unique": 0,
    "default": 1,
    "min": 1,
    "max": 1,
    "via": 1,
    "auto_update": 0,
    "searchable": 0,
    "nullable": 0,
    "index": 0,
    "pattern": 1,
}
_OF_ENTITIES = ("primary", "auto", "unique", "via", "auto_update", "searchable", "index")
NOTED = ("auto_update", "searchable", "index", "pattern")
"""Modifiers that a runtime has to know."""


MOST_FIELDS = 500
"""Of a record or an entity; a query names them all."""


def record_type(k: Checker, node: s.RecordFields, owner: str = "") -> p.RecordType:
    """`{ field … }` as a type. Without an `owner` its fields are the parameters of a request or of
    a workflow, and are spoken of so (C11)."""
    found: dict[str, p.Field] = {}
    too_many(k, "a record", "fields", len(node.fields), MOST_FIELDS, node.span)
    for each in node.fields[:MOST_FIELDS]:
        if each.name.name in found:
            _twice(k, each.name, owner)
            continue
        made = field(k, each, of_entity=False)
        if _holds_rows(made.type):
            what = f"a list of rows as '{made.name}'"
            instead = "write list({ … }) for new rows, list(ref(Entity)) for known ones"
            k.error(e.UNSUPPORTED, each.type.span, what=what, instead=instead)
        found[made.name] = made
    return p.RecordType(tuple(found.values()))


def _twice(k: Checker, name: s.Ident, owner: str) -> None:
    if owner:
        k.error(e.DUPLICATE_FIELD, name.span, what=f"field '{name.name}'", owner=owner)
    else:
        k.error(e.DUPLICATE_PARAMETER, name.span, name=name.name)


def _holds_rows(kind: p.Type) -> bool:
    return isinstance(kind, p.ListType) and isinstance(kind.item, p.RowType)


def field(k: Checker, node: s.FieldNode, *, of_entity: bool) -> p.Field:
    """One field with its type and modifiers."""
    kind = resolve(k, node.type)
    given: dict[str, s.Modifier] = {}
    for modifier in node.modifiers:
        name = modifier.name.name
        if not _is_known(k, modifier, of_entity=of_entity):
            # What was most likely meant still holds, or a second mistake would seem to follow.
            name = nearest(name, _ARGUMENTS) or name
        elif name in given:
            k.error(e.DUPLICATE_MEMBER, modifier.name.span, name=name)
        given.setdefault(name, modifier)
    made = p.Field(
        name=node.name.name,
        type=kind,
        required="required" in given,
        primary="primary" in given,
        auto="auto" in given,
        unique="unique" in given,
        default=_default(k, _default_of(k, given, node.name.name), kind, node.name.name),
        minimum=_bound(k, given.get("min"), kind),
        maximum=_bound(k, given.get("max"), kind),
        auto_update="auto_update" in given,
        searchable="searchable" in given,
        pattern=_pattern(k, given.get("pattern"), kind),
        indexed="index" in given,
    )
    optional = given.get("optional") or given.get("nullable")
    if optional is not None and "required" in given:
        what = f"field '{made.name}' cannot be both required and optional"
        k.error(e.MODIFIERS_DISAGREE, optional.span, what=what)
    _bounds_agree(k, made, given)
    _auto_fits(k, made, given)
    return made


def _is_known(k: Checker, modifier: s.Modifier, *, of_entity: bool) -> bool:
    name = modifier.name.name
    if name in NOTED:
        k.note(f"modifier.{name}", modifier.span)
    known = [each for each in _ARGUMENTS if of_entity or each not in _OF_ENTITIES]
    if name not in known:
        k.unknown(e.UNKNOWN_MODIFIER, modifier.name, known)
        return False
    wanted, got = _ARGUMENTS[name], len(modifier.args)
    some = wanted if isinstance(wanted, tuple) else (wanted,)
    if got not in some:
        said = " or ".join(map(str, some))
        k.error(e.WRONG_ARGUMENTS, modifier.span, name=name, wanted=said, got=got)
        return False
    return True


def _default_of(k: Checker, given: Mapping[str, s.Modifier], name: str) -> s.Modifier | None:
    """`default(v)`, or `optional(v)`, which says both in one word."""
    both, plain = given.get("optional"), given.get("default")
    if both is None or not both.args:
        return plain
    if plain is not None:
        what = f"field '{name}' has two defaults"
        k.error(e.MODIFIERS_DISAGREE, both.span, what=what)
    return both


def _default(k: Checker, modifier: s.Modifier | None, kind: p.Type, name: str) -> p.Expr | None:
    if modifier is None or len(modifier.args) != 1:
        return None
    node = modifier.args[0]
    match node:
        case s.CallExpr(callee=s.NameExpr(name="now")) | s.Literal_() | s.UnaryExpr():
            return typed(k, node, Scope(), kind, f"field '{name}'")
        case s.NameExpr(name=word) if isinstance(kind, p.EnumType) and word in kind.members:
            return p.Constant(word, kind)
    k.error(e.NOT_CONSTANT, node.span, what=f"the default of '{name}'", wanted="a value or now()")
    return None


def _pattern(k: Checker, modifier: s.Modifier | None, kind: p.Type) -> str:
    if modifier is None or len(modifier.args) != 1:
        return ""
    if not is_text(kind) and not isinstance(kind, p.UnknownType):
        k.error(e.BAD_MODIFIER, modifier.span, name="pattern", type=show(kind))
    node = modifier.args[0]
    if isinstance(node, s.Literal_) and node.literal == "string":
        return _regular(k, node)
    k.error(e.NOT_CONSTANT, node.span, what="a pattern", wanted="a text")
    return ""


def _regular(k: Checker, node: s.Literal_) -> str:
    text = str(node.value)
    try:
        re.compile(text)
    except re.error as bad:
        fix = f"write a regular expression: {bad.msg}"
        k.error(e.OUT_OF_RANGE, node.span, value=f'"{text}"', what="a pattern", fix=fix)
    return text


def _bound(k: Checker, modifier: s.Modifier | None, kind: p.Type) -> Decimal | None:
    if modifier is None or len(modifier.args) != 1:
        return None
    name = modifier.name.name
    bounded = is_number(kind) or isinstance(kind, p.ListType)
    if not bounded and not (is_text(kind) and not isinstance(kind, p.EnumType)):
        if not isinstance(kind, p.UnknownType):
            k.error(e.BAD_MODIFIER, modifier.span, name=name, type=show(kind))
        return None
    node, sign = modifier.args[0], 1
    if isinstance(node, s.UnaryExpr) and node.op == "-":
        node, sign = node.operand, -1
    if isinstance(node, s.Literal_) and node.literal in ("int", "decimal"):
        return sign * Decimal(str(literal(node).value))
    k.error(e.NOT_CONSTANT, node.span, what=f"the bound of {name}", wanted="a number")
    return None


def _bounds_agree(k: Checker, made: p.Field, given: Mapping[str, s.Modifier]) -> None:
    low, high = made.minimum, made.maximum
    if low is not None and high is not None and low > high:
        what = f"'{made.name}', whose min is {low}"
        k.error(e.OUT_OF_RANGE, given["max"].span, value=str(high), what=what, fix="swap the two")


def _auto_fits(k: Checker, made: p.Field, given: Mapping[str, s.Modifier]) -> None:
    unknown = isinstance(made.type, p.UnknownType)
    if made.auto and not unknown and made.type not in (UUID, INT, TIMESTAMP):
        k.error(e.BAD_MODIFIER, given["auto"].span, name="auto", type=show(made.type))
    if made.primary and not (unknown or isinstance(made.type, p.ScalarType)):
        k.error(e.BAD_MODIFIER, given["primary"].span, name="primary", type=show(made.type))


def with_type(made: p.Field, kind: p.Type) -> p.Field:
    """The field with another type."""
    return msgspec.structs.replace(made, type=kind)
