"""Entities: fields, keys, the way back of each list, indexes, access rules."""

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.calls import USER
from backstay.lang.check.expressions import condition
from backstay.lang.check.fields import MOST_FIELDS, field, with_type
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import UNKNOWN, too_many
from backstay.lang.check.world import Checker, EntityInfo

_ACTIONS = ("read", "create", "update", "delete")


def declare_fields(k: Checker, info: EntityInfo) -> None:
    """Types of all fields; lists of rows still without their way back."""
    k.turn_to(info.reports, info.declaration)
    for member in info.declaration.block.members:
        if not isinstance(member.value, s.FieldNode):
            continue
        node = member.value
        if node.name.name in info.fields:
            k.error(e.DUPLICATE_DECLARATION, node.name.span, name=node.name.name)
            continue
        if len(info.fields) == MOST_FIELDS:
            too_many(k, f"entity '{info.name}'", "fields", MOST_FIELDS + 1, MOST_FIELDS, node.span)
            info.broken = True
            break
        made = field(k, node, of_entity=True)
        _column_fits(k, node, made)
        info.fields[made.name] = made
        if isinstance(made.type, p.RefType):
            info.refs.setdefault(made.type.entity, []).append(made.name)
        info.broken |= isinstance(made.type, p.UnknownType)
    name = info.declaration.name or info.declaration.keyword
    keys = [each for each in info.fields.values() if each.primary]
    info.key = keys[0] if keys else None
    if len(keys) != 1 and not (info.broken and not keys):
        k.error(e.PRIMARY_KEY, name.span, entity=info.name, count=len(keys))


def _column_fits(k: Checker, node: s.FieldNode, made: p.Field) -> None:
    item = made.type.item if isinstance(made.type, p.ListType) else made.type
    if isinstance(item, p.RecordType):
        k.error(e.UNSUPPORTED, node.type.span, what="a record as a column", instead="use json")


def find_ways_back(k: Checker, info: EntityInfo) -> None:
    """`lines: list(OrderLine)` are the rows whose `ref(Order)` points here: which field is it?"""
    k.turn_to(info.reports, info.declaration)
    for member in info.declaration.block.members:
        node = member.value
        if not isinstance(node, s.FieldNode):
            continue
        made = info.fields.get(node.name.name)
        via = next((each for each in node.modifiers if each.name.name == "via"), None)
        if made and isinstance(made.type, p.ListType) and isinstance(made.type.item, p.RowType):
            other = k.world.entities[made.type.item.entity]
            back = _way_back(k, info, other, node, via)
            kind = p.ManyType(other.name, back) if back else UNKNOWN
            info.fields[made.name] = with_type(made, kind)
        elif via is not None and made:
            k.error(e.BAD_MODIFIER, via.span, name="via", type="other than list(Entity)")


def _way_back(
    k: Checker, info: EntityInfo, other: EntityInfo, node: s.FieldNode, via: s.Modifier | None
) -> str:
    back = other.refs.get(info.name, [])
    if via is not None:
        match via.args:
            case (s.NameExpr(name=name) as word,):
                if name not in back:
                    k.unknown(e.UNKNOWN_FIELD, word, back, owner=f"entity '{other.name}'")
                return name
    if len(back) == 1:
        return back[0]
    if back or not other.broken:
        fix = f"write list({other.name}), via({back[0]})" if back else ""
        fix = fix or f"add a field of type ref({info.name}) to {other.name}"
        said = "ambiguous" if back else "without a way back"
        k.error(
            e.NO_WAY_BACK,
            node.type.span,
            entity=other.name,
            owner=info.name,
            count=len(back),
            word=said,
            fix=fix,
        )
    return ""


def entity(k: Checker, info: EntityInfo) -> p.Entity:
    """The checked entity."""
    k.turn_to(info.reports, info.declaration)
    members = Members(k, info.declaration.block)
    return p.Entity(
        name=info.name,
        table=info.table,
        fields=tuple(info.fields.values()),
        indexes=tuple(_index(k, info, each) for each in _indexes(k, members)),
        soft_delete=info.soft,
        access=_access(k, info, members.block("access")),
        description=members.text("description"),
    )


def _indexes(k: Checker, members: Members) -> list[s.Names]:
    block = members.block("indexes")
    inner = list(Members(k, block).every("index", s.Names)) if block else []
    return [*members.every("index", s.Names), *inner]


def of_fields(k: Checker, names: s.Names) -> bool:
    """Whether the index has fields; reports one without."""
    if not names.names:
        fix = "name the fields: index: [name]"
        k.error(e.SETTING, names.span, what="an index needs fields", fix=fix)
    return bool(names.names)


def _flag(members: Members, name: str) -> bool:
    node = members.value(name, s.Literal_)
    return node is not None and node.value is True


def _index(k: Checker, info: EntityInfo, names: s.Names) -> p.Index:
    of_fields(k, names)
    seen: set[str] = set()
    for name in names.names:
        if name.name in seen:
            k.error(e.DUPLICATE_MEMBER, name.span, name=name.name)
        seen.add(name.name)
        column(k, info, name, "be part of an index")
    if names.index_kind:
        k.note("index.kind", names.span)
    return p.Index(tuple(name.name for name in names.names), names.unique, names.index_kind)


def column(k: Checker, info: EntityInfo, name: s.Ident, what: str) -> p.Field | None:
    """The column of this name; reports an unknown field and a list of rows."""
    found = info.fields.get(name.name)
    if found is None:
        if not info.broken:
            k.unknown(e.UNKNOWN_FIELD, name, info.fields, owner=f"entity '{info.name}'")
        return None
    if isinstance(found.type, p.ManyType):
        said = f"it cannot {what}"
        k.error(e.NOT_A_COLUMN, name.span, name=name.name, entity=info.name, what=said)
        return None
    return found


def _access(k: Checker, info: EntityInfo, block: s.Block | None) -> p.Access:
    if block is None:
        return p.Access()
    scope = Scope(row=info)
    scope.variables["user"] = USER
    rules: dict[str, p.Expr] = {}
    members = Members(k, block)
    for name in ("write", *_ACTIONS):
        node = members.expression(name)
        if node is not None:
            rule = condition(k, node, scope, f"the rule '{name}'")
            rules |= dict.fromkeys(_ACTIONS[1:], rule) if name == "write" else {name: rule}
    return p.Access(**rules)
