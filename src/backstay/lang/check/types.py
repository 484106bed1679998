"""Types: from syntax, as words for a message, and which value may stand where."""

from typing import TypeGuard

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.world import Checker
from backstay.lang.diagnostics import Edit

SCALARS = (
    "string",
    "text",
    "int",
    "float",
    "bool",
    "uuid",
    "timestamp",
    "date",
    "time",
    "duration",
    "json",
)
_ALIASES = {"integer": "int", "boolean": "bool", "number": "float", "datetime": "timestamp"}
_ALIASES |= {"jsonb": "json", "object": "json", "array": "list"}
_SHAPED = ("decimal", "enum", "ref", "list")

UNKNOWN = p.UnknownType()
STRING, INT, FLOAT = p.ScalarType("string"), p.ScalarType("int"), p.ScalarType("float")
BOOL, UUID, TIMESTAMP = p.ScalarType("bool"), p.ScalarType("uuid"), p.ScalarType("timestamp")
DURATION = p.ScalarType("duration")
_TEXTS = ("string", "text")
MAX_PRECISION = 38


def show(kind: p.Type) -> str:
    """The type as a person writes it."""
    match kind:
        case p.ScalarType(name):
            return name
        case p.DecimalType(precision, scale):
            return f"decimal({precision}, {scale})"
        case p.EnumType(members):
            return f"enum({', '.join(members)})"
        case p.RefType(entity):
            return f"ref({entity})"
        case p.ManyType(entity) | p.ListType(p.RowType(entity)):
            return f"list({entity})"
        case p.ListType(item):
            return f"list({show(item)})"
        case p.RowType(entity):
            return entity
        case p.RecordType(fields):
            return "{ " + ", ".join(field.name for field in fields) + " }"
    return "unknown"


def is_text(kind: p.Type) -> bool:
    return isinstance(kind, p.EnumType) or (isinstance(kind, p.ScalarType) and kind.name in _TEXTS)


def is_number(kind: p.Type) -> bool:
    return isinstance(kind, p.DecimalType) or kind in (INT, FLOAT)


def has_order(kind: p.Type) -> bool:
    """Whether values of this type can be put in an order."""
    if isinstance(kind, p.ScalarType):
        return kind.name not in ("bool", "json")
    return is_number(kind) or is_text(kind) or isinstance(kind, p.UnknownType)


def item_of(kind: p.Type) -> p.Type | None:
    """What a loop variable over a value of this type is; None when it cannot be walked."""
    match kind:
        case p.ListType(item):
            return item
        case p.ManyType(entity):
            return p.RowType(entity)
        case p.UnknownType():
            return UNKNOWN
    return None


def key_type(k: Checker, entity: str) -> p.Type:
    """The type of an entity's key; unknown while the entity is broken."""
    info = k.world.entities.get(entity)
    kind = info.key.type if info and info.key else UNKNOWN
    return UNKNOWN if isinstance(kind, p.RefType) else kind


def assignable(k: Checker, to: p.Type, given: p.Type) -> bool:
    """Whether a value of `given` may be stored where `to` is wanted."""
    if isinstance(to, p.UnknownType) or isinstance(given, p.UnknownType) or to == given:
        return True
    if isinstance(to, p.RefType | p.RowType) or isinstance(given, p.RefType | p.RowType):
        return _keys(k, to, given)
    match to, given:
        case p.ScalarType("json"), _:
            return True
        case p.ScalarType(name), _ if name in _TEXTS:
            return is_text(given)
        case p.ScalarType("float"), p.ScalarType("int"):
            return True
        case p.DecimalType(), (p.DecimalType() | p.ScalarType("int")):
            return True
        case p.EnumType(members), p.EnumType(others):
            return set(others) <= set(members)
        case p.ListType(item), p.ListType(other):
            return assignable(k, item, other)
        case p.RecordType(wanted), p.RecordType(found):
            return _records(k, wanted, found)
    return False


def _keys(k: Checker, to: p.Type, given: p.Type) -> bool:
    """Rows, refs and keys stand for each other."""
    match to, given:
        case p.RefType(entity), (p.RowType(other) | p.RefType(other)):
            return entity == other
        case p.RefType(entity), _:
            return assignable(k, key_type(k, entity), given)
        case _, p.RefType(entity):
            return to == p.ScalarType("json") or assignable(k, to, key_type(k, entity))
    return to == p.ScalarType("json")


def _records(k: Checker, wanted: tuple[p.Field, ...], found: tuple[p.Field, ...]) -> bool:
    by_name = {field.name: field.type for field in found}
    return all(
        assignable(k, field.type, by_name[field.name])
        if field.name in by_name
        else not field.required
        for field in wanted
    ) and set(by_name) <= {field.name for field in wanted}


def comparable(k: Checker, left: p.Type, right: p.Type) -> bool:
    """Whether `==` between the two can ever be true."""
    if is_number(left) and is_number(right):
        return True
    if _is_word(k, left) and _is_word(k, right):
        return True
    return assignable(k, left, right) or assignable(k, right, left)


def _is_word(k: Checker, kind: p.Type) -> bool:
    """Texts and uuids compare by their letters: `owner == user.id`."""
    if isinstance(kind, p.RefType):
        kind = key_type(k, kind.entity)
    return kind in (STRING, UUID, p.ScalarType("text"))


def is_builtin(name: str) -> bool:
    """Whether a type of this name needs no declaration."""
    return name in SCALARS or name in _SHAPED or name in _ALIASES


# --- from syntax -------------------------------------------------------------------------------


def resolve(k: Checker, node: s.TypeName | s.RecordFields) -> p.Type:
    """The type a field declares. `list(Entity)` becomes a list of rows, which the entity check
    turns into a `ManyType`. Reports unknown names; the result is then unknown."""
    if isinstance(node, s.RecordFields):
        # Imported late: fields hold types and types hold fields.
        from backstay.lang.check.fields import record_type

        kind = record_type(k, node, "a record")
        return UNKNOWN if node.broken else kind
    name = _ALIASES.get(node.name.name, node.name.name)
    if name in SCALARS:
        _no_arguments(k, node)
        if name == "time":
            k.note("type.time", node.span)
        return p.ScalarType(name)  # type: ignore[arg-type]
    shaped = {"decimal": _decimal, "enum": _enum, "ref": _ref, "list": _list}.get(name)
    if shaped:
        return shaped(k, node)
    if name in k.world.entities:
        span = k.reports.at(node.span)
        edit = Edit(f"write ref({name})", span, f"ref({name})")
        k.error(e.UNKNOWN_TYPE, node.name.span, edit=edit, name=name, known=f"ref({name})")
        return UNKNOWN
    k.unknown(e.UNKNOWN_TYPE, node.name, (*SCALARS, *_SHAPED, *_ALIASES))
    return UNKNOWN


def _no_arguments(k: Checker, node: s.TypeName) -> None:
    if node.args:
        _count(k, node, "0")


def _count(k: Checker, node: s.TypeName, wanted: str) -> p.Type:
    k.error(e.WRONG_ARGUMENTS, node.span, name=node.name.name, wanted=wanted, got=len(node.args))
    return UNKNOWN


def _decimal(k: Checker, node: s.TypeName) -> p.Type:
    numbers = [arg.value for arg in node.args if isinstance(arg, s.Literal_)]
    if len(node.args) != 2 or len(numbers) != 2:
        return _count(k, node, "2, as in decimal(10, 2)")
    precision, scale = numbers
    if not (isinstance(precision, int) and isinstance(scale, int)) or not (
        0 < precision <= MAX_PRECISION and 0 <= scale <= precision
    ):
        k.error(
            e.OUT_OF_RANGE,
            node.span,
            value=f"decimal({precision}, {scale})",
            what="the bounds of decimal",
            fix=f"precision is 1 to {MAX_PRECISION}, scale 0 to precision",
        )
        return UNKNOWN
    return p.DecimalType(precision, scale)


def _enum(k: Checker, node: s.TypeName) -> p.Type:
    if not node.args:
        return _count(k, node, "at least 1")
    members: dict[str, s.Range] = {}
    too_many(k, "an enum", "values", len(node.args), MOST_VALUES, node.name.span)
    for arg in node.args[:MOST_VALUES]:
        name = _member(arg)
        if name is None:
            k.error(e.NOT_CONSTANT, arg.span, what="a value of enum", wanted="a name")
        elif name in members:
            k.error(e.DUPLICATE_DECLARATION, arg.span, name=name)
        else:
            members[name] = arg.span
    return p.EnumType(tuple(members))


MOST_VALUES = 500
"""Of an enum; more are rows of an entity."""


def too_many(k: Checker, what: str, things: str, count: int, most: int, span: s.Range) -> None:
    """Bounds keep the work in proportion to the length of the text."""
    if count > most:
        fix = f"write at most {most} {things}"
        k.error(e.OUT_OF_RANGE, span, value=f"{count} {things}", what=what, fix=fix)


def _member(arg: s.TypeName | s.RecordFields | s.Literal_ | s.Ident) -> str | None:
    match arg:
        case s.TypeName(name=s.Ident(name=name), args=()):
            return name
        case s.Literal_(literal="string", value=str(text)):
            return text
    return None


def _ref(k: Checker, node: s.TypeName) -> p.Type:
    match node.args:
        case (s.TypeName(name=name, args=()),):
            info = k.entity(name)
            return p.RefType(info.name) if info else UNKNOWN
    return _count(k, node, "1, the name of an entity")


def _list(k: Checker, node: s.TypeName) -> p.Type:
    match node.args:
        case (s.TypeName(name=s.Ident(name=name), args=()),) if name in k.world.entities:
            k.use("entity", name)
            return p.ListType(p.RowType(name))
        case ((s.TypeName() | s.RecordFields()) as item,):
            if _looks_like_entity(item):
                k.entity(item.name)
                return UNKNOWN
            return p.ListType(resolve(k, item))
    return _count(k, node, "1, the type of an item")


def _looks_like_entity(item: s.TypeName | s.RecordFields) -> TypeGuard[s.TypeName]:
    return isinstance(item, s.TypeName) and item.name.name[:1].isupper() and not item.args
