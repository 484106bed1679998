"""`database` blocks: models and collections, with the texts people know."""

from collections.abc import Mapping
from typing import Literal

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.blocks import Members
from backstay.lang.check.world import Checker
from backstay.lang.diagnostics import Related, Span
from backstay.lang.names import listed, suggestion

Database = Literal["postgres", "mongodb"]
_TYPES: Mapping[Database, tuple[str, ...]] = {
    "postgres": (
        "uuid",
        "string",
        "text",
        "integer",
        "int",
        "decimal",
        "float",
        "boolean",
        "bool",
        "timestamp",
        "date",
        "time",
        "json",
        "jsonb",
        "list",
        "array",
        "ref",
        "enum",
    ),
    "mongodb": (
        "objectid",
        "string",
        "int",
        "int32",
        "int64",
        "double",
        "decimal",
        "bool",
        "boolean",
        "date",
        "timestamp",
        "binary",
        "regex",
        "array",
        "object",
        "null",
        "mixed",
        "embedded",
    ),
}
_NOT_MONGO = ("foreign_key", "references", "on_delete", "on_update", "cascade")
MOST_DEEP = 10
MOST_FIELDS = 500


def models(k: Checker, node: s.Declaration, seen: dict[str, Span]) -> list[p.Model]:
    """The models and collections of one `database` block."""
    kind = node.name.name if node.name else ""
    if node.name is not None and kind not in _TYPES:
        k.unknown(e.UNKNOWN_WORD, node.name, tuple(_TYPES), what="the kind of a database")
    database: Database = "mongodb" if kind == "mongodb" else "postgres"
    found: list[p.Model] = []
    for member in node.block.members:
        if isinstance(member.value, s.Block) and member.label is not None:
            span = k.reports.at(member.label.span)
            first = seen.setdefault(member.label.name, span)
            if first is not span:
                related = (Related(first, "first declared here"),)
                name = member.label.name
                k.error(e.DUPLICATE_DECLARATION, member.label.span, related=related, name=name)
            owner = f"{member.name.name} '{member.label.name}'"
            mongo: Database = "mongodb" if member.name.name == "collection" else database
            found.append(_model(k, member.label, member.value, mongo, owner))
    return found


def _model(k: Checker, name: s.Ident, block: s.Block, database: Database, owner: str) -> p.Model:
    fields = [each.value for each in block.members if isinstance(each.value, s.FieldNode)]
    made = _fields(k, fields[:MOST_FIELDS], database, owner, 1)
    members = Members(k, block)
    nodes = list(members.every("index", s.Names))
    inner = members.block("indexes")
    if inner is not None:
        nodes += Members(k, inner).every("index", s.Names)
    known = {each.name for each in made}
    for node in nodes:
        for field in node.names:
            head = field.name.split(".")[0]
            if head not in known and not block.broken:
                edit = suggestion(field.name, known, k.reports.at(field.span))
                k.error(
                    e.INDEX_FIELD,
                    field.span,
                    edit=edit,
                    name=field.name,
                    owner=owner,
                    known=listed(known),
                )
    indexes = tuple(
        p.Index(tuple(each.name for each in node.names), node.unique, node.index_kind)
        for node in nodes
    )
    return p.Model(name.name, database, made, indexes, members.text("description"))


def _fields(
    k: Checker, nodes: list[s.FieldNode], database: Database, owner: str, depth: int
) -> tuple[p.ModelField, ...]:
    found: dict[str, p.ModelField] = {}
    for node in nodes:
        name = node.name.name
        if name in found:
            k.error(e.DUPLICATE_FIELD, node.name.span, what=f"field '{name}'", owner=owner)
        found.setdefault(name, _field(k, node, database, owner, depth))
    return tuple(found.values())


def _field(
    k: Checker, node: s.FieldNode, database: Database, owner: str, depth: int
) -> p.ModelField:
    inner: tuple[p.ModelField, ...] = ()
    kind = "embedded"
    if isinstance(node.type, s.TypeName):
        kind = written(node.type)
        embedded = node.type.args[0] if node.type.args else None
        _type(k, node, node.type, database, owner)
    else:
        embedded = node.type
    if isinstance(embedded, s.RecordFields):
        if depth > MOST_DEEP:
            what = "embedded document nesting exceeds maximum depth of (10)"
            fix = "keep the inner documents in a collection"
            k.error(e.BAD_SETTING, node.span, what=what, fix=fix)
        else:
            inner = _fields(k, list(embedded.fields), database, owner, depth + 1)
    return p.ModelField(node.name.name, kind, _modifiers(k, node, database, owner), inner)


def _type(k: Checker, node: s.FieldNode, kind: s.TypeName, database: Database, owner: str) -> None:
    name, valid = kind.name.name, _TYPES[database]
    if name in valid:
        return
    what = f"unknown type '{name}' in {owner}"
    if database == "mongodb":
        what = f"unknown MongoDB type '{name}' in {owner}, field '{node.name.name}'"
    edit = suggestion(name, valid, k.reports.at(kind.name.span))
    k.error(e.MODEL_TYPE, kind.name.span, edit=edit, what=what, known=", ".join(valid))


def _modifiers(k: Checker, node: s.FieldNode, database: Database, owner: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for modifier in node.modifiers:
        name = modifier.name.name
        if name in found:
            what = f"modifier '{name}' on field '{node.name.name}'"
            k.error(e.DUPLICATE_FIELD, modifier.name.span, what=what, owner=owner)
        if database == "mongodb" and name in _NOT_MONGO:
            what = f"modifier '{name}' is not valid for MongoDB collections"
            k.error(e.MODIFIERS_DISAGREE, modifier.name.span, what=what)
        found[name] = None
    if "required" in found and "optional" in found:
        what = f"field '{node.name.name}' cannot be both required and optional"
        k.error(e.MODIFIERS_DISAGREE, node.name.span, what=what)
    return tuple(found)


def written(kind: s.TypeName) -> str:
    """A type as it is written: `decimal(10, 2)`, `array(string)`."""
    parts = []
    for arg in kind.args:
        match arg:
            case s.TypeName():
                parts.append(written(arg))
            case s.Literal_(value=value):
                parts.append(str(value))
            case s.Ident(name=name):
                parts.append(name)
    return f"{kind.name.name}({', '.join(parts)})" if parts else kind.name.name
