"""A call: what one route takes, gives, and asks of its caller. Endpoints are made from it, and the
OpenAPI document is, too, so that the two cannot disagree.

`given` is the Struct that the body (POST, PUT) or the query (GET, DELETE) is decoded into. Its
handler gets the request and that value, after the caller was judged and counted.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeVar

import msgspec

from backstay.core.errors import Fault
from backstay.core.system import RouteKind
from backstay.core.web import Endpoint, Handler, Later, Request, Response, decode_json
from backstay.queue.api.access import require
from backstay.queue.api.rates import RateLimits
from backstay.queue.errors import BAD_QUERY, NOT_SUPPORTED

T = TypeVar("T")
Limited = tuple[Literal["producer", "worker", "admin"], str]
"""The side and the operation whose rate limit a call counts against."""

# What a body that only names things and numbers may need.
_SMALL = 65_536


class Call(msgspec.Struct, frozen=True):
    """`scopes`: any one of them suffices; none means public. `answers` gives the type of each good
    status (None: no body). A body that is `optional` may be left out; then the defaults of `given`
    hold."""

    method: str
    path: str
    says: str
    handler: Callable[..., Awaitable[Response | Later]]
    scopes: tuple[str, ...] = ()
    given: Any = None
    optional: bool = False
    answers: Mapping[int, Any] = {}
    kind: RouteKind = "unary"
    max_body: int = _SMALL
    rate: Limited | None = None

    @property
    def in_body(self) -> bool:
        return self.given is not None and self.method in ("POST", "PUT")


def endpoints(calls: Sequence[Call], prefix: str, rates: RateLimits) -> list[Endpoint]:
    """The calls as served. Raises ValueError for a `given` that cannot be decoded."""
    return [
        Endpoint(
            call.method,
            prefix + call.path,
            _handler(call, rates),
            kind=call.kind,
            max_body=call.max_body,
        )
        for call in calls
    ]


def _handler(call: Call, rates: RateLimits) -> Handler:
    handler, scopes, rate = call.handler, call.scopes, call.rate
    read = _reader(call)

    async def handle(request: Request) -> Response | Later:
        principal = request.ctx.principal
        if scopes:
            require(principal, *scopes)
        if rate is not None:
            refused = rates.refusal(rate[0], rate[1], request.ctx)
            if refused is not None:
                return refused
        if read is None:
            return await handler(request)
        return await handler(request, read(request))

    return handle


def _reader(call: Call) -> Callable[[Request], Any] | None:
    given = call.given
    if given is None:
        return None
    if not call.in_body:
        return lambda request: read_query(request, given)
    decoder = msgspec.json.Decoder(given)
    if call.optional:
        return lambda request: decode_json(request, decoder) if request.body else given()
    return lambda request: decode_json(request, decoder)


def read_query(request: Request, kind: type[T]) -> T:
    """The query as a Struct. Raises QUEUE018, which names the parameter that is wrong."""
    given = {name: values[0] for name, values in request.query.items() if values[0] != ""}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as bad:
        raise _bad_query(given, kind, str(bad)) from bad


def _bad_query(given: Mapping[str, str], kind: Any, reason: str) -> Fault:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, value in given.items():
        if name not in fields:
            rule = "one of " + ", ".join(fields)
            return Fault(BAD_QUERY, name=name[:40], value=value[:40], rule=f"left out, or {rule}")
        try:
            msgspec.convert(value, fields[name].type, strict=False)
        except msgspec.ValidationError as bad:
            rule = str(bad).replace("Expected ", "").replace("`", "")
            return Fault(BAD_QUERY, name=name, value=value[:40], rule=rule)
    missing = next((name for name, field in fields.items() if name not in given), "")
    return Fault(BAD_QUERY, name=missing, value="", rule=reason)


def refusing(
    method: str, path: str, feature: str, instead: str, scopes: tuple[str, ...] = ()
) -> Call:
    """A call that says what is not there (QUEUE017)."""
    return Call(method, path, f"Not served: {feature}.", _Refusal(feature, instead), scopes=scopes)


class _Refusal:
    """A handler that says what is not there."""

    def __init__(self, feature: str, instead: str) -> None:
        self._feature = feature
        self._instead = instead

    async def __call__(self, _request: Request) -> NoReturn:
        raise Fault(NOT_SUPPORTED, feature=self._feature, instead=self._instead)
