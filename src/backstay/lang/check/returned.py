"""`returns` beside `do`: the answer is held against the shape that is promised.

A record that is written out is checked member by member, so that a mistake is told at its own
place; a row answers with the fields that the shape names.
"""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.entities import column
from backstay.lang.check.expressions import each, lower, walk
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import assignable, is_builtin, resolve, show
from backstay.lang.check.values import fit, mismatch
from backstay.lang.check.world import Checker, EntityInfo

_WHAT = "what is returned"


def promised(k: Checker, member: s.Member) -> p.Type | None:
    """The type that `returns` names, None for void and after a mistake."""
    kind = member.value
    if isinstance(kind, s.RecordFields):
        return resolve(k, kind)
    if not isinstance(kind, s.TypeName) or kind.name.name == "void":
        return None
    if kind.name.name == "paginated":
        what, fix = "pages are made of an entity, without do", "write list(…), or leave do out"
        k.error(e.CONFLICT, member.name.span, what=what, fix=fix)
        return None
    if kind.args or is_builtin(kind.name.name):
        return resolve(k, kind)
    info = k.entity(kind.name)
    return p.RowType(info.name) if info else None


def returned(k: Checker, node: s.Expr, scope: Scope, to: p.Type) -> p.Expr:
    """The value of a `return` as one of type `to`, which is unknown where nothing is promised."""
    if isinstance(to, p.UnknownType):
        return lower(k, node, scope)
    match node, to:
        case s.RecordExpr(), p.RecordType():
            return _record(k, node, scope, to)
        case s.Each(value=s.RecordExpr() as inside), p.ListType(item=p.RecordType() as item):
            items, inner = walk(k, node.variable, node.items, scope)
            made = _record(k, inside, inner, item)
            return p.Map(node.variable.name, items, made, p.ListType(item))
        case s.ListExpr(), p.ListType(item=item):
            k.note("expression.list", node.span)
            return p.Listed(tuple(returned(k, one, scope, item) for one in node.items), to)
    value = each(k, node, scope) if isinstance(node, s.Each) else lower(k, node, scope)
    match value.type, to:
        case p.RowType(entity=name), p.RowType(entity=other):
            if name != other:
                mismatch(k, to, value.type, node.span, _WHAT)
            return value
        case p.RowType(entity=name), p.RecordType(fields=fields):
            of_row(k, k.world.entities[name], fields, node.span)
            return value
    return fit(k, value, to, node.span, _WHAT)


def _record(k: Checker, node: s.RecordExpr, scope: Scope, to: p.RecordType) -> p.Record:
    fields = {field.name: field for field in to.fields}
    found: dict[str, p.Expr] = {}
    for entry in node.fields:
        name = entry.name
        if name.name in found:
            k.error(e.DUPLICATE_MEMBER, name.span, name=name.name)
        if name.name not in fields:
            k.unknown(e.UNKNOWN_FIELD, name, fields, owner="what is returned")
            lower(k, entry.value, scope)
            continue
        found[name.name] = returned(k, entry.value, scope, fields[name.name].type)
    missing = [name for name, field in fields.items() if field.required and name not in found]
    if missing:
        got = f"one without {', '.join(missing)}"
        k.error(e.MISMATCH, node.span, what=_WHAT, wanted=show(to), got=got)
    return p.Record(tuple(found.items()), to)


def of_row(k: Checker, info: EntityInfo, fields: tuple[p.Field, ...], span: s.Range) -> None:
    """Whether a row of the entity has what the shape names."""
    for field in fields:
        if isinstance(field.type, p.UnknownType):
            continue  # its type could not be read, which was told
        held = column(k, info, s.Ident(span, field.name), "be returned")
        if held is not None and not assignable(k, field.type, held.type):
            mismatch(k, field.type, held.type, span, f"'{field.name}' of {info.name}")
