"""Types of the language as JSON Schema 2020-12: what stands in a body, not what is stored."""

from collections.abc import Mapping, Sequence

from backstay.core.errors import Plain
from backstay.lang.program import (
    DecimalType,
    Entity,
    EnumType,
    Field,
    ListType,
    ManyType,
    Program,
    RecordType,
    RefType,
    RowType,
    ScalarType,
    Type,
)

Schema = dict[str, Plain]
_SCALARS: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "text": {"type": "string"},
    "int": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "uuid": {"type": "string", "format": "uuid"},
    "timestamp": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string"},
    "duration": {"type": "string", "examples": ["1m30s"]},
    "json": {},
}


def of_type(program: Program, kind: Type) -> Schema:
    """The schema of a value; rows are references to `components/schemas`."""
    match kind:
        case ScalarType(name=name):
            return dict(_SCALARS.get(name, {}))
        case DecimalType(scale=scale):
            point = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
            return {"type": "string", "format": "decimal", "pattern": f"^-?[0-9]+{point}$"}
        case EnumType(members=members):
            return {"type": "string", "enum": list(members)}
        case RefType(entity=entity):
            return of_type(program, _key(program.entity(entity)).type)
        case RowType(entity=entity):
            return row(entity)
        case ManyType(entity=entity):
            return {"type": "array", "items": row(entity)}
        case ListType(item=item):
            return {"type": "array", "items": of_type(program, item)}
        case RecordType(fields=fields):
            return of_record(program, fields)
        case _:
            return {}


def of_record(program: Program, fields: Sequence[Field]) -> Schema:
    """An object that takes these members and no others."""
    needed: list[Plain] = [each.name for each in fields if each.required and each.default is None]
    made: Schema = {
        "type": "object",
        "properties": {each.name: of_field(program, each) for each in fields},
        "additionalProperties": False,
    }
    return made | ({"required": needed} if needed else {})


def of_field(program: Program, field: Field) -> Schema:
    """The type with its bounds; what is not required may be null."""
    made = of_type(program, field.type) | _bounds(field)
    if field.required or field.primary or not made or "$ref" in made:
        return made
    if "enum" in made:
        return {"anyOf": [made, {"type": "null"}]}
    return made | {"type": [made["type"], "null"]}


def entity(
    program: Program, of: Entity, included: Sequence[str] = (), *, whole: bool = True
) -> Schema:
    """A row as an answer holds it. A list of rows is there when it is `included`; of a reference
    that is, the row stands there, or the key where the row may not be read. What is not `whole` has
    the members that a request chose."""
    there = [
        each.name
        for each in of.fields
        if each.name in included or not isinstance(each.type, ManyType)
    ]
    made: Schema = {
        "type": "object",
        "properties": {
            each.name: _beside(program, each) if each.name in included else of_field(program, each)
            for each in of.fields
        },
    }
    if whole:
        made["required"] = [*there]
    return made | ({"description": of.description} if of.description else {})


def _beside(program: Program, field: Field) -> Schema:
    kind = field.type
    if not isinstance(kind, RefType):
        return of_field(program, field)
    key = of_field(program, field)
    return {"anyOf": [row(kind.entity), *key.get("anyOf", [key])]}  # type: ignore[misc]


def row(name: str) -> Schema:
    """A reference to the schema of an entity."""
    return {"$ref": f"#/components/schemas/{name}"}


def _bounds(field: Field) -> Schema:
    kind = field.type
    low = None if field.minimum is None else field.minimum
    high = None if field.maximum is None else field.maximum
    if isinstance(kind, DecimalType):
        # A decimal travels as text, which JSON Schema cannot bound.
        says = [
            f"{word} {bound:f}"
            for word, bound in (("at least", low), ("at most", high))
            if bound is not None
        ]
        return {"description": ", ".join(says)} if says else {}
    words = ("minimum", "maximum")
    if isinstance(kind, ListType):
        words = ("minItems", "maxItems")
    elif isinstance(kind, ScalarType) and kind.name in ("string", "text"):
        words = ("minLength", "maxLength")
    made: Schema = {"pattern": field.pattern} if field.pattern else {}
    for word, bound in zip(words, (low, high), strict=True):
        if bound is not None:
            made[word] = int(bound) if bound == int(bound) else float(bound)
    return made


def _key(of: Entity) -> Field:
    return next(each for each in of.fields if each.primary)
