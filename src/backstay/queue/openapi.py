"""OpenAPI 3.1 of the HTTP face, made from the calls that serve it: the same Structs that decode
what comes in and encode what goes out. There is no second description that could be wrong.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from backstay import __version__
from backstay.core.errors import Problem
from backstay.queue.api import PREFIX
from backstay.queue.api.calls import Call

_HOLE = re.compile(r"\{(\w+)\}")
_REFERENCE = "#/components/schemas/{name}"
_SAID = {200: "Done", 202: "Accepted, and durable", 204: "Nothing", 503: "Not usable"}


def document(calls: Sequence[Call], opened: Sequence[Call]) -> bytes:
    """The JSON. `calls` stand under the prefix and need a token (on loopback nobody does)."""
    every = [(PREFIX + call.path, call) for call in calls]
    every += [(call.path, call) for call in opened]
    schemas, components = _schemas([call for _, call in every])
    paths: dict[str, dict[str, Any]] = {}
    for path, call in every:
        paths.setdefault(path, {})[call.method.lower()] = _operation(path, call, schemas)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Backstay queue",
                "version": __version__,
                "description": "A durable task queue with codeQ's routes.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
                },
            },
        }
    )


def _schemas(calls: Sequence[Call]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Schemas of all types by type, and what they refer to by name."""
    types: list[Any] = [Problem]
    for call in calls:
        types += [call.given, *call.answers.values()]
    used = list(dict.fromkeys(kind for kind in types if kind not in (None, str, dict)))
    found, components = msgspec.json.schema_components(used, ref_template=_REFERENCE)
    by_type: dict[Any, Any] = dict(zip(used, found, strict=True))
    return by_type | {dict: {"type": "object"}, str: {"type": "string"}}, components


def _operation(path: str, call: Call, schemas: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": _name(path, call.method),
        "summary": call.says,
        "parameters": [*map(_hole, _HOLE.findall(path)), *_query(call)],
        "responses": {
            **{
                str(status): _answer(status, kind, schemas) for status, kind in call.answers.items()
            },
            "default": _problem("Refused, with the reason", schemas),
        },
    }
    if call.in_body:
        content = {"application/json": {"schema": schemas[call.given]}}
        told["requestBody"] = {"required": not call.optional, "content": content}
    if call.scopes:
        # OpenAPI 3.1 lets a bearer name its scopes; any one of them suffices here.
        told["security"] = [{"bearer": [scope]} for scope in call.scopes]
    if call.rate is not None:
        told["responses"]["429"] = _problem("Too many requests", schemas)
    return told


def _answer(status: int, kind: Any, schemas: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": _SAID[status]}
    if kind is not None:
        media = "text/plain" if kind is str else "application/json"
        told["content"] = {media: {"schema": schemas[kind]}}
    return told


def _problem(says: str, schemas: dict[Any, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": schemas[Problem]}}
    return {"description": says, "content": content}


def _hole(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(call: Call) -> list[dict[str, Any]]:
    if call.given is None or call.in_body:
        return []
    properties = msgspec.json.schema(call.given, ref_template=_REFERENCE)["$defs"][
        call.given.__name__
    ]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _name(path: str, method: str) -> str:
    """`post_tasks_id_cancel`."""
    words = re.findall(r"\w+", path.removeprefix(PREFIX)) or ["root"]
    return "_".join([method.lower(), *words]).replace(".", "_")
