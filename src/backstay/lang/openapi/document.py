"""The document: one path per endpoint, the entities as components, the problem as every error."""

from collections.abc import Sequence

from backstay.core.errors import Plain
from backstay.lang.openapi.schemas import Schema, entity, of_field, of_type, row
from backstay.lang.program import Action, Endpoint, Field, ListOf, OneOf, Program, RowType

PREFIX = "/api/v1"
_PAGE: Schema = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer"},
        "page": {"type": ["integer", "null"]},
        "total": {"type": ["integer", "null"]},
        "has_next": {"type": "boolean"},
        "next_cursor": {"type": ["string", "null"]},
    },
}
_FIELDS: Schema = {
    "type": "string",
    "description": "names with commas: the answer then has these members alone",
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "fix": {"type": "string"},
        "retryable": {"type": "boolean"},
        "values": {"type": "object"},
    },
    "required": ["type", "title", "status", "detail", "error", "code"],
}


def document(program: Program) -> Schema:
    """OpenAPI 3.1.0."""
    paths: dict[str, Plain] = {}
    names: set[str] = set()
    for each in program.endpoints:
        place = paths.setdefault(PREFIX + each.path, {})
        assert isinstance(place, dict)  # noqa: S101 - made one line above
        name = _free(each, names)
        names.add(name)
        place[each.method.lower()] = _operation(program, each) | {"operationId": name}
    schemas: dict[str, Plain] = {each.name: entity(program, each) for each in program.entities}
    for each in program.endpoints:
        schemas |= _rows(program, each)
    schemas |= {"Page.Info": _PAGE, "Problem.Details": _PROBLEM}
    components: Schema = {"schemas": schemas}
    if program.auth is not None:
        bearer: Schema = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        key: Schema = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        components["securitySchemes"] = {"bearer": bearer, "key": key}
    return {
        "openapi": "3.1.0",
        "info": {"title": program.name or "app", "version": program.version or "0"},
        "paths": paths,
        "components": components,
    }


def _operation(program: Program, of: Endpoint) -> Schema:
    made: Schema = {
        "parameters": _parameters(program, of),
        "responses": {
            **_done(program, of),
            "default": {
                "description": "a problem",
                "content": {"application/problem+json": {"schema": row("Problem.Details")}},
            },
        },
    }
    if of.description:
        made["summary"] = of.description
    if of.body is not None:
        schema = of_type(program, of.body)
        needed = any(each.required and each.default is None for each in of.body.fields)
        made["requestBody"] = {
            "required": needed,
            "content": {"application/json": {"schema": schema}},
        }
    if program.auth is not None:
        made["security"] = _security(of)
    if any(name == "deprecated" for name, _ in of.annotations):
        made["deprecated"] = True
    if of.roles:
        made["x-roles"] = list(of.roles)
    if of.require_role:
        made["x-require-role"] = of.require_role
    return made


def _done(program: Program, of: Endpoint) -> Schema:
    """The answer of a request that was granted; an action that returns nothing has no body."""
    if isinstance(of.does, Action) and of.does.returns is None and of.status in (200, 204):
        return {"204": {"description": "done"}}
    content: Schema = {"application/json": {"schema": _answer(program, of)}}
    return {str(of.status): {"description": "done", "content": content}}


def _security(of: Endpoint) -> list[Plain]:
    needed: list[Plain] = [{"bearer": []}, {"key": []}]
    return {"public": [], "optional": [{}, *needed], "required": needed}[of.auth]


def _free(of: Endpoint, taken: set[str]) -> str:
    """A name that no other operation has: `/x/{id}` may stand beside `/x/id`."""
    plain = _name(of, "")
    for name in (plain, _name(of, "by_")):
        if name not in taken:
            return name
    return next(name for n in range(2, len(taken) + 3) if (name := f"{plain}_{n}") not in taken)


def _name(of: Endpoint, hole: str) -> str:
    parts = [part for part in of.path.split("/") if part]
    words = [hole + part.strip("{}") if part.startswith("{") else part for part in parts]
    return "_".join([of.method.lower(), *words]).replace("-", "_")


def _parameters(program: Program, of: Endpoint) -> list[Plain]:
    made: list[Plain] = []
    known = {each.name: each for each in of.path_fields}
    for part in of.path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            schema: Schema = {"type": "string"}
            if name in known:
                schema = of_type(program, known[name].type)
            made.append({"name": name, "in": "path", "required": True, "schema": schema})
    made += [_parameter(program, each, "query") for each in of.query_fields]
    for each in of.header_fields:
        # A name of the language has no dash, and `x_trace` is read from X-Trace.
        made.append(_parameter(program, each, "header") | {"name": each.name.replace("_", "-")})
    return made + _listing(program, of) + _conditions(program, of)


def _conditions(program: Program, of: Endpoint) -> list[Plain]:
    """The headers that make a write safe to repeat, and sure of what it changes."""
    if not isinstance(of.does, Action):
        return []
    shown = any(
        each.path == of.path and each.method == "GET" and isinstance(each.does, OneOf)
        for each in program.endpoints
    )
    key: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    made: list[Plain] = [_header(of.repeats.header, key, required=of.repeats.required)]
    return made + ([_header("if-match", {"type": "string"}, required=False)] if shown else [])


def _header(name: str, schema: Schema, *, required: bool) -> Schema:
    return {"name": name, "in": "header", "required": required, "schema": schema}


def _parameter(program: Program, field: Field, place: str) -> Schema:
    needed = field.required and field.default is None
    schema = of_field(program, field)
    return {"name": field.name, "in": place, "required": needed, "schema": schema}


def _listing(program: Program, of: Endpoint) -> list[Plain]:
    """Filters, order and pages of a list, and the members that are wanted."""
    does = of.does
    if isinstance(does, OneOf) and all(each.name != "fields" for each in of.query_fields):
        return [{"name": "fields", "in": "query", "schema": _FIELDS}]
    if not isinstance(does, ListOf):
        return []
    fields = {each.name: each for each in program.entity(does.entity).fields}
    declared = {each.name for each in of.query_fields}
    found = {
        name: of_type(program, fields[name].type)
        for name in does.filter
        if name in fields and name not in declared
    }
    limit: Schema = {"type": "integer", "minimum": 1, "maximum": does.page_limit}
    pages: dict[str, Schema] = {"limit": limit | {"default": does.page_limit}}
    if does.paged:
        pages = {
            "limit": limit | {"default": does.page_size},
            "page": {"type": "integer", "minimum": 1},
            "cursor": {"type": "string"},
            "total": {"type": "boolean", "description": "whether to count all rows"},
        }
    if does.sort:
        pages["sort"] = {"type": "string", "description": _sorts(does.sort)}
    pages["fields"] = _FIELDS
    if any(each.searchable for each in fields.values()):
        pages["search"] = {"type": "string", "maxLength": 100}
    taken = declared | set(found)
    found |= {name: schema for name, schema in pages.items() if name not in taken}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in found.items()]


def _sorts(names: Sequence[str]) -> str:
    return f"names with commas, - before one for descending: {', '.join(names)}"


def _answer(program: Program, of: Endpoint) -> Schema:
    match of.does:
        case ListOf(entity=name, paged=paged):
            data: Schema = {"type": "array", "items": _shown(program, of, name)}
            if not paged:
                return data
            return {
                "type": "object",
                "properties": {"data": data, "pagination": row("Page.Info")},
                "required": ["data", "pagination"],
            }
        case OneOf(entity=name):
            return _shown(program, of, name)
        case Action(promise=promise) if promise is not None:
            if isinstance(promise, RowType):
                return row(_whole(promise.entity, of.does.include))
            return of_type(program, promise)
        case Action(returns=None):
            return {}
        case Action(returns=given) if given is not None:
            kind = given.type
            if isinstance(kind, RowType):
                return row(_whole(kind.entity, of.does.include))
            return of_type(program, kind)
    return {}


def _shown(program: Program, of: Endpoint, entity: str) -> Schema:
    """A row that was asked for, or the members of it that were chosen."""
    assert not isinstance(of.does, Action)  # noqa: S101 - it shows no rows
    whole = _whole(entity, of.does.include)
    if of.does.picked:
        fields = {each.name: each for each in program.entity(entity).fields}
        members: Schema = {name: of_field(program, fields[name]) for name in of.does.picked}
        return {"type": "object", "properties": members, "additionalProperties": False}
    if any(each.name == "fields" for each in of.query_fields):
        return row(whole)
    return {"anyOf": [row(whole), row(f"{whole}.Chosen")]}


def _whole(entity: str, include: Sequence[str]) -> str:
    return ".".join((entity, *include))


def _rows(program: Program, of: Endpoint) -> dict[str, Plain]:
    """The schemas of rows that an answer of the endpoint names."""
    included = of.does.include
    if not isinstance(of.does, Action) and of.does.picked:
        return {}
    match of.does:
        case Action(returns=given):
            kind = None if given is None else given.type
            if not isinstance(kind, RowType):
                return {}
            about = program.entity(kind.entity)
            return {_whole(about.name, included): entity(program, about, included)}
        case ListOf(entity=name) | OneOf(entity=name):
            about = program.entity(name)
    whole = _whole(name, included)
    return {
        whole: entity(program, about, included),
        f"{whole}.Chosen": entity(program, about, included, whole=False),
    }
