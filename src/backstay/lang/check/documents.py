"""Models and collections of `database` blocks as entities: everything that a program may do with
rows, it may do with them.

`check/models.py` reports what is wrong with them, in the words that people know. This room says
little itself: what a table cannot hold is noted by its place, and a runtime refuses it.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.entities import of_fields
from backstay.lang.check.types import UNKNOWN, UUID
from backstay.lang.check.world import Checker, EntityInfo, World, reserved_table
from backstay.lang.reports import Reports

_JSON = p.ScalarType("json")
_SCALARS: Mapping[str, str] = {
    "objectid": "uuid",
    "integer": "int",
    "int32": "int",
    "int64": "int",
    "double": "float",
    "boolean": "bool",
    "jsonb": "json",
    "object": "json",
    "mixed": "json",
}
_PLAIN = ("uuid", "string", "text", "int", "float", "bool", "timestamp", "date", "time", "json")
_INSIDE = ("required", "optional", "nullable")
"""Modifiers that a field of an embedded document can have: it is no column."""
_MODIFIERS = (
    *_INSIDE,
    "primary",
    "auto",
    "unique",
    "default",
    "auto_update",
    "searchable",
    "index",
)


def collect_models(world: World, files: Sequence[tuple[s.File, Reports]]) -> None:
    """An entity for each model whose name and table are free; the others are noted."""
    tables = {info.table for info in world.entities.values()}
    for file, reports in files:
        for declaration in file.declarations:
            if declaration.keyword.name != "database":
                continue
            reports.base = declaration.line
            for member in declaration.block.members:
                if member.label is None or not isinstance(member.value, s.Block):
                    continue
                node = s.Declaration(
                    member.span, declaration.line, member.name, member.label, member.value
                )
                info = EntityInfo(member.label.name, node, reports)
                taken = info.table in tables or reserved_table(info.table)
                if taken or info.name in world.entities:
                    reports.note("model.name", reports.at(member.label.span))
                    continue
                info.model = True
                tables.add(info.table)
                world.entities[info.name] = info


def model_fields(k: Checker, info: EntityInfo) -> None:
    """The fields of a model. A document without a key gets one: `id`, or `_id` where a field has
    that name."""
    k.turn_to(info.reports, info.declaration)
    document = info.declaration.keyword.name == "collection"
    for member in info.declaration.block.members:
        node = member.value
        if isinstance(node, s.FieldNode) and node.name.name not in info.fields:
            info.fields[node.name.name] = _field(k, node, document=document)
    keys = [each for each in info.fields.values() if each.primary]
    if len(keys) > 1:
        name = info.declaration.name or info.declaration.keyword
        k.note("model.key", name.span)
    if not keys:
        key = p.Field("_id" if "id" in info.fields else "id", UUID, primary=True, auto=True)
        info.fields = {key.name: key, **info.fields}
        keys = [key]
    info.key = keys[0]


def model_entity(k: Checker, info: EntityInfo) -> p.Entity:
    """The model as an entity, with the indexes that a table can have."""
    k.turn_to(info.reports, info.declaration)
    members = Members(k, info.declaration.block)
    nodes = list(members.every("index", s.Names))
    inner = members.block("indexes")
    if inner is not None:
        nodes += Members(k, inner).every("index", s.Names)
    return p.Entity(
        name=info.name,
        table=info.table,
        fields=tuple(info.fields.values()),
        indexes=tuple(_indexes(k, info, nodes)),
        description=members.text("description"),
    )


def _indexes(k: Checker, info: EntityInfo, nodes: Sequence[s.Names]) -> Iterator[p.Index]:
    for node in nodes:
        if not of_fields(k, node):
            continue
        if node.index_kind:
            k.note("index.kind", node.span)
        elif all(name.name in info.fields for name in node.names):
            yield p.Index(tuple(name.name for name in node.names), node.unique)


def _field(
    k: Checker, node: s.FieldNode, *, document: bool, known: Sequence[str] = _MODIFIERS
) -> p.Field:
    kind = _type(k, node.type, document=document)
    given = {each.name.name: each for each in node.modifiers}
    for modifier in node.modifiers:
        if modifier.name.name not in known:
            k.note("model.modifier", modifier.span)
    return p.Field(
        name=node.name.name,
        type=kind,
        required="required" in given,
        primary="primary" in given,
        auto="auto" in given,
        unique="unique" in given,
        default=_default(k, given.get("default"), kind),
        auto_update="auto_update" in given,
        searchable="searchable" in given,
        indexed="index" in given,
    )


def _type(k: Checker, node: s.TypeName | s.RecordFields, *, document: bool) -> p.Type:
    if isinstance(node, s.RecordFields):
        fields = {
            each.name.name: _field(k, each, document=document, known=_INSIDE)
            for each in node.fields
        }
        return p.RecordType(tuple(fields.values()))
    name = node.name.name
    scalar = _SCALARS.get(name, name)
    if name == "date" and document:
        scalar = "timestamp"  # a date of a document is a moment
    if scalar in _PLAIN:
        return p.ScalarType(scalar)  # type: ignore[arg-type]
    made = _shaped(k, node, document=document)
    if made is None:
        k.note("model.type", node.span)
    return made or _JSON


def _shaped(k: Checker, node: s.TypeName, *, document: bool) -> p.Type | None:
    match node.name.name, node.args:
        case "decimal", (s.Literal_(value=int(precision)), s.Literal_(value=int(scale))):
            return p.DecimalType(precision, scale)
        case "enum", args if args:
            names = [each.name.name for each in args if isinstance(each, s.TypeName)]
            return p.EnumType(tuple(names)) if len(names) == len(args) else None
        case "ref", (s.TypeName(name=s.Ident(name=name)),) if name in k.world.entities:
            k.use("entity", name)
            return p.RefType(name)
        case "list" | "array", (s.TypeName() | s.RecordFields() as item,):
            return p.ListType(_type(k, item, document=document))
        case "list" | "array", ():
            return p.ListType(UNKNOWN)
        case "embedded", (s.RecordFields() as inside,):
            return _type(k, inside, document=document)
    return None


def _default(k: Checker, modifier: s.Modifier | None, kind: p.Type) -> p.Expr | None:
    if modifier is None:
        return None
    made = _constant(modifier.args[0] if modifier.args else None, kind)
    if made is None:
        k.note("model.default", modifier.span)
    return made


def _constant(node: s.Expr | None, kind: p.Type) -> p.Expr | None:
    """The value, where it is one of the type for sure."""
    match node, kind:
        case s.CallExpr(callee=s.NameExpr(name="now"), args=()), p.ScalarType(name="timestamp"):
            return p.Call("now", (), kind)
        case s.Literal_(literal="string", value=str(text)), p.ScalarType(name="string" | "text"):
            return p.Constant(text, kind)
        case s.Literal_(literal="string", value=str(text)), p.EnumType(members=members):
            return p.Constant(text, kind) if text in members else None
        case s.NameExpr(name=text), p.EnumType(members=members):
            return p.Constant(text, kind) if text in members else None
        case s.Literal_(literal="bool", value=bool(flag)), p.ScalarType(name="bool"):
            return p.Constant(flag, kind)
        case s.Literal_(literal="int", value=int(number)), p.ScalarType(name="int"):
            return p.Constant(number, kind)
        case s.Literal_(literal="int" | "decimal", value=number), p.ScalarType(name="float"):
            return p.Constant(float(str(number)), kind)
        case s.Literal_(literal="int" | "decimal", value=number), p.DecimalType():
            return p.Constant(Decimal(str(number)), kind)
    return None
