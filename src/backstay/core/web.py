"""Requests, responses and the route table of every system's own HTTP face.

Why not a framework here: the app's routes are compiled from a program, the queue's are hot, and
both need one table, literal paths first. `core.asgi.App` serves it; docs/decisions/0003 has the
figures.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from backstay.core.context import RequestContext
from backstay.core.errors import Fault
from backstay.core.system import RouteKind
from backstay.core.web_errors import (
    BAD_JSON,
    BAD_VALUE,
    NO_ROUTE,
    WRONG_MEDIA_TYPE,
    WRONG_METHOD,
)

T = TypeVar("T")
Headers = Sequence[tuple[bytes, bytes]]


class Request(msgspec.Struct):
    """One request, its body read whole and within the limit. Header names are lower case."""

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


class Later(msgspec.Struct, frozen=True):
    """In place of an answer: `wait` gives it in a while, and is cancelled when the client goes away
    before. What can be answered at once is a Response: watching a client costs more than that."""

    wait: Callable[[], Awaitable[Response]]


Handler = Callable[[Request], Awaitable[Response | Later]]
Refusal = Callable[[Fault, Response], Response]
"""What a route makes of a refusal: the fault, and the answer that it would get."""


class Endpoint(msgspec.Struct, frozen=True):
    """One method on one path. `path` may hold `{name}` segments; `label` is the route's name in
    logs and metrics (bounded cardinality), the path template unless given.

    `scope` is what a principal must hold ("" for public); handlers judge anything finer.
    `long` ones may answer `Later`. `refusal` words every refusal of this route, also those before
    the handler, where its clients know other words.
    """

    method: str
    path: str
    handler: Handler
    kind: RouteKind = "unary"
    scope: str = ""
    max_body: int = 1_048_576
    label: str = ""
    refusal: Refusal | None = None

    @property
    def route(self) -> str:
        return self.label or self.path


class Routes:
    """The table: an exact path wins over one with holes. Raises ValueError for a double route."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._literal: dict[str, dict[str, Endpoint]] = {}
        self._holed: dict[int, list[tuple[tuple[str, ...], dict[str, Endpoint]]]] = {}
        for endpoint in endpoints:
            methods = self._methods_of(endpoint.path)
            if endpoint.method in methods:
                raise ValueError(f"two endpoints for {endpoint.method} {endpoint.path}")
            methods[endpoint.method] = endpoint

    def find(self, method: str, path: str, service: str) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint and its path parameters. Raises CORE101 (404) or CORE102 (405)."""
        methods, params = self._lookup(path)
        if methods is None:
            raise Fault(NO_ROUTE, path=path, service=service, hint=self._hint(path))
        endpoint = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
        if endpoint is None:
            raise Fault(WRONG_METHOD, path=path, method=method, allowed=_allowed(methods))
        return endpoint, params

    def _lookup(self, path: str) -> tuple[dict[str, Endpoint] | None, dict[str, str]]:
        found = self._literal.get(path)
        if found is not None:
            return found, {}
        given = path.split("/")
        for pattern, methods in self._holed.get(len(given), ()):
            params = _match(pattern, given)
            if params is not None:
                return methods, params
        return None, {}

    def _methods_of(self, path: str) -> dict[str, Endpoint]:
        if "{" not in path:
            return self._literal.setdefault(path, {})
        pattern = tuple(path.split("/"))
        same_length = self._holed.setdefault(len(pattern), [])
        for known, methods in same_length:
            if _shape(known) == _shape(pattern):
                return methods
        methods = {}
        same_length.append((pattern, methods))
        # `/a/{x}/c` before `/a/{x}/{y}`: fewer holes first, so that the more exact one wins.
        same_length.sort(key=lambda entry: _shape(entry[0]).count("{}"))
        return methods

    def _hint(self, path: str) -> str:
        # Imported here: only a mistake pays for it.
        from rapidfuzz import fuzz, process

        known = [*self._literal, *("/".join(p) for rows in self._holed.values() for p, _ in rows)]
        near = process.extractOne(path, known, scorer=fuzz.ratio, score_cutoff=75)
        return f"did you mean {near[0]}?" if near else "GET / of the gateway lists what is served"


def json_response(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """A value that msgspec can encode, as JSON."""
    return Response(status=status, body=msgspec.json.encode(value), headers=headers)


def decode_json(request: Request, decoder: "msgspec.json.Decoder[T]") -> T:
    """The body by a typed decoder. Raises CORE104 (not JSON), CORE105 (does not fit) or CORE109."""
    expect_json(request)
    try:
        return decoder.decode(request.body)
    except msgspec.ValidationError as bad:
        raise Fault(BAD_VALUE, reason=str(bad)) from bad
    except RecursionError as bad:
        raise Fault(BAD_JSON, reason="it is nested too deeply") from bad
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        raise Fault(BAD_JSON, reason=str(bad)) from bad


def expect_json(request: Request) -> None:
    """Raises CORE109 for a body that says it is something else."""
    given = request.headers.get("content-type", "")
    # curl -d without a header says form-urlencoded: refusing it would fail every quick try.
    if request.body and given and "json" not in given and "x-www-form-urlencoded" not in given:
        raise Fault(WRONG_MEDIA_TYPE, path=request.path, given=given)


def _match(pattern: tuple[str, ...], given: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for want, have in zip(pattern, given, strict=True):
        if want.startswith("{"):
            if not have:
                return None
            params[want[1:-1]] = have
        elif want != have:
            return None
    return params


def _shape(pattern: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("{}" if part.startswith("{") else part for part in pattern)


def _allowed(methods: Mapping[str, Endpoint]) -> str:
    names = {*methods, "HEAD"} if "GET" in methods else set(methods)
    return ", ".join(sorted(names))
