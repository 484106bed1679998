"""What an endpoint without `do` changes: its method says it, as in the business language.

`POST` with a body and `returns: E` makes a row, `PUT` and `PATCH` change the row of the path's key,
`DELETE /es/{id}` removes it. They become the statements that somebody would write for it, and
whoever runs a program needs to know nothing of them.
"""

from collections.abc import Iterator
from typing import TypeGuard

import msgspec

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import BOOL, INT, STRING
from backstay.lang.check.values import fit
from backstay.lang.check.world import Checker, EntityInfo
from backstay.lang.check.writes import Writes

_MADE = "made"
_NO_ROW = 404


def created(k: Checker, info: EntityInfo, body: s.RecordFields, scope: Scope) -> p.Action:
    """The row that a `POST` makes of its body."""
    values = tuple(_values(k, info, body, scope, new=True))
    given = {field.name.name for field in body.fields}
    if not body.broken:
        Writes(k).complete(info, given, body.span)
    returns = p.Name(_MADE, p.RowType(info.name))
    return p.Action((p.Create(info.name, values, _MADE),), returns)


def updated(
    k: Checker, info: EntityInfo, body: s.RecordFields, scope: Scope, key: p.Get
) -> p.Action:
    """The row of the key with what the body gives; what it leaves out stays."""
    values = tuple(_values(k, info, body, scope, new=False))
    change = p.Update(info.name, _is_key(info, key), values, absent(info))
    return p.Action((change,), msgspec.structs.replace(key, type=p.RowType(info.name)))


def deleted(info: EntityInfo, key: p.Get) -> p.Action:
    """Removes the row of the key; 404 when there is none."""
    where = _is_key(info, key)
    count = p.Aggregate("count", info.name, "", where, INT)
    none = p.Binary("==", count, p.Constant(0, INT), BOOL)
    return p.Action((p.If(none, (absent(info),)), p.Delete(info.name, where)))


def _values(
    k: Checker, info: EntityInfo, body: s.RecordFields, scope: Scope, *, new: bool
) -> Iterator[tuple[str, p.Expr]]:
    record = scope.variables["body"]
    types = {field.name: field for field in record.fields} if _is_record(record) else {}
    for node in body.fields:
        name = node.name.name
        field, given = info.fields.get(name), types.get(name)
        if field is None or given is None:
            if not info.broken:
                k.unknown(e.UNKNOWN_FIELD, node.name, info.fields, owner=f"entity '{info.name}'")
            continue
        if isinstance(field.type, p.ManyType) or (field.primary and not new):
            what = "it takes a do to set it" if not field.primary else "it cannot be changed"
            k.error(e.NOT_A_COLUMN, node.name.span, name=name, entity=info.name, what=what)
            continue
        value: p.Expr = p.Get(p.Name("body", record), name, given.type)
        value = fit(k, value, field.type, node.type.span, f"field '{name}'")
        yield name, _or_else(k, value, field, given, node, new=new)


def _or_else(
    k: Checker, value: p.Expr, field: p.Field, given: p.Field, node: s.FieldNode, *, new: bool
) -> p.Expr:
    """The value, or what stands in for one that a request left out."""
    if given.required or given.default is not None:
        return value
    if not new:
        return p.Binary("??", value, p.Column(field.name, field.type), field.type)
    if field.default is not None:
        return p.Binary("??", value, field.default, field.type)
    if field.required and not field.auto:
        what = f"'{field.name}' may be missing in the body, and the row needs it"
        k.error(e.CONFLICT, node.name.span, what=what, fix="add required")
    return value


def _is_record(kind: p.Type) -> TypeGuard[p.RecordType]:
    return isinstance(kind, p.RecordType)


def _is_key(info: EntityInfo, key: p.Get) -> p.Expr:
    name = info.key.name if info.key else "id"
    return p.Binary("==", p.Column(name, key.type), key, BOOL)


def absent(info: EntityInfo) -> p.Fail:
    """What is said where the row of a change is not there."""
    return p.Fail(p.Constant(f"there is no such {info.name}", STRING), _NO_ROW)
