"""Requests and responses of every system's own HTTP face, on bare ASGI.

Why not a framework here: the app's routes are compiled from a program, the queue's are hot, and
both need the same outermost judgement (principal, request id, body limit, access log, faults to
problem JSON). One table, literal paths first; docs/decisions/0003 has the figures.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from backstay.core.context import RequestContext
from backstay.core.system import RouteKind

Headers = Sequence[tuple[bytes, bytes]]


class Request(msgspec.Struct):
    """One request, its body read whole and within the limit."""

    ctx: RequestContext
    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes = b""


class Response(msgspec.Struct, frozen=True):
    """`headers` come on top of content-type, content-length and x-request-id."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: Headers = ()


Handler = Callable[[Request], Awaitable[Response]]


class Endpoint(msgspec.Struct, frozen=True):
    """One method on one path. `path` may hold `{name}` segments. `label` is the route's name in
    logs and metrics (bounded cardinality): the path template unless given.

    `scope` is what a principal must hold ("" for public); handlers judge anything finer.
    """

    method: str
    path: str
    handler: Handler
    kind: RouteKind = "unary"
    scope: str = ""
    max_body: int = 1_048_576
    label: str = ""


def json_response(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """A value that msgspec can encode, as JSON."""
    return Response(status=status, body=msgspec.json.encode(value), headers=headers)
