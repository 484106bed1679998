"""The outermost wrapper of a system's HTTP face: one judgement, one context, one log line.

It finds the route, asks who is there, bounds the body, calls the handler, turns a Fault into
problem JSON and counts. Handlers below it see a `Request` and nothing of HTTP's untidiness.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec
import structlog

from backstay.core.bodies import BODY_SECONDS, Bodies, Receive, spill
from backstay.core.clock import Clock, Ids
from backstay.core.context import ANONYMOUS, NARROW_HEADER, Principal, RequestContext
from backstay.core.errors import Fault, problem
from backstay.core.faults import AUTH_MISSING
from backstay.core.logs import debugs, request_debug
from backstay.core.system import Metric, RouteKind
from backstay.core.tracing import OFF, Attribute, NoSpan, Span, Tracer
from backstay.core.web import Endpoint, Later, Refusal, Request, Response, Routes
from backstay.core.web_errors import BAD_QUERY, DRAINING, INTERNAL, NOT_ALLOWED

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = structlog.get_logger("http")
_ID_LIMIT = 128
_NO_SPAN = NoSpan("")

METRICS: Sequence[Metric] = (
    Metric("http_requests_total", "counter", "Requests answered", ("method", "path", "status")),
    Metric(
        "http_request_duration_seconds",
        "histogram",
        "Seconds from the request's headers to the answer's last byte",
        ("method", "path"),
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    ),
)


class Judge(Protocol):
    """Decides once who is there; `core.trust.Trust` is the one in use."""

    async def judge(self, peer: str, method: str, headers: Mapping[str, str]) -> Principal:
        """The principal, or a Fault (AUTH…)."""
        ...


class Meter(Protocol):
    """Where an answered request is counted."""

    def answered(self, method: str, route: str, status: int, seconds: float) -> None: ...


class UnderWay(msgspec.Struct, frozen=True):
    """A request that is not answered yet, since how many seconds, and the task that is at it."""

    method: str
    route: str
    kind: RouteKind
    seconds: float
    task: "asyncio.Task[Any] | None"


class _ClientGoneError(Exception):
    """The client closed before it could be answered."""


class App:
    """The ASGI callable of one system. `peers_may_debug` lets `X-Debug` through (trusted peers)."""

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint],
        trust: Judge,
        clock: Clock,
        ids: Ids,
        meter: Meter,
        *,
        peers_may_debug: bool = True,
        tracer: Tracer = OFF,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self.name = name
        self.draining = False
        self._routes = Routes(endpoints)
        self._trust = trust
        self._clock = clock
        self._ids = ids
        self._meter = meter
        self._may_debug = peers_may_debug
        self._tracer = tracer
        self._bodies = Bodies(clock, body_seconds)
        self._open: set[_Known] = set()

    def serve(self, endpoints: Sequence[Endpoint]) -> None:
        """Other routes from the next request on; requests under way end by those they met. Raises
        ValueError for a double route, and keeps the old ones."""
        self._routes = Routes(endpoints)

    @property
    def body_seconds(self) -> float:
        """Seconds that the bodies so far took to come, where there was one."""
        return self._bodies.waited

    def under_way(self) -> list[UnderWay]:
        """The requests that are not answered yet, the oldest first."""
        now = self._clock.tick()
        found = sorted(self._open, key=lambda known: known.began)
        return [
            UnderWay(known.method, known.route, known.kind, now - known.began, known.task)
            for known in found
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = self._clock.tick()
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        request_id = _clean_id(headers.get("x-request-id", "")) or self._ids.new()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        debug = self._may_debug and headers.get("x-debug", "").lower() == "true"
        known = _Known(request_id, began, scope["method"], debug=debug)
        self._open.add(known)
        try:
            if debug:
                with request_debug(on=True):
                    response = await self._answer(scope, headers, receive, known)
            else:
                response = await self._answer(scope, headers, receive, known)
        except _ClientGoneError:
            known.span.end()
            return
        finally:
            self._open.discard(known)
            structlog.contextvars.unbind_contextvars("request_id")
        if not known.read:
            await spill(receive, headers)
        await _send(send, response, request_id, head=scope["method"] == "HEAD")
        self._record(scope, known, response.status, self._clock.tick() - began)

    async def _answer(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, known: "_Known"
    ) -> Response:
        try:
            return await self._handle(scope, headers, receive, known)
        except Fault as fault:
            known.code = fault.entry.code
            if fault.entry is AUTH_MISSING and known.judged:
                # The judge let nobody in particular pass; the route wants somebody (C6).
                peer = scope["client"][0] if scope.get("client") else ""
                _log.warning(
                    "authentication failed", code=known.code, error=fault.message, peer=peer
                )
            answer = _refusal(fault, known.ctx)
            return known.refusal(fault, answer) if known.refusal else answer
        except _ClientGoneError:
            raise
        except Exception:  # noqa: BLE001
            _log.exception("request failed", path=scope["path"], request_id=known.ctx.request_id)
            known.code = INTERNAL.code
            return _refusal(Fault(INTERNAL, service=self.name), known.ctx)

    async def _handle(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, known: "_Known"
    ) -> Response:
        method, path = scope["method"], scope["path"]
        if self.draining:
            raise Fault(DRAINING, service=self.name)
        endpoint, params = self._routes.find(method, path, self.name)
        known.route, known.kind = endpoint.route, endpoint.kind
        known.refusal = endpoint.refusal
        traceparent = headers.get("traceparent", "")
        if self._tracer.on:
            known.span = self._span(known, method, path, traceparent)
            traceparent = known.span.traceparent
        client = scope.get("client")
        principal = await self._trust.judge(client[0] if client else "", method, headers)
        known.judged = True
        if debugs():
            _log.debug("request accepted", method=method, path=path, user_id=principal.sub)
        known.ctx = msgspec.structs.replace(known.ctx, principal=principal, traceparent=traceparent)
        if endpoint.scope and not principal.may(endpoint.scope):
            if principal.kind == "anonymous":
                raise Fault(AUTH_MISSING)
            who = principal.sub or principal.kind
            raise Fault(NOT_ALLOWED, scope=endpoint.scope, who=who)
        query = _query(scope["query_string"])
        body = await self._bodies.read(receive, headers, endpoint.max_body, path, known.began)
        known.read = True
        request = Request(known.ctx, method, path, params, query, headers, body)
        answer = await endpoint.handler(request)
        return answer if isinstance(answer, Response) else await _while_connected(answer, receive)

    def _span(self, known: "_Known", method: str, path: str, parent: str) -> Span:
        about: dict[str, Attribute] = {
            "http.request.method": method,
            "http.route": known.route,
            "url.path": path,
            "backstay.request_id": known.ctx.request_id,
        }
        return self._tracer.span(f"HTTP {method} {known.route}", parent, "server", **about)

    def _record(self, scope: Scope, known: "_Known", status: int, seconds: float) -> None:
        method = scope["method"]
        self._meter.answered(method, known.route, status, seconds)
        facts = {
            "request_id": known.ctx.request_id,
            "method": method,
            "path": scope["path"],
            "status": status,
            "duration": round(seconds * 1000, 3),
        }
        if known.ctx.principal.sub:
            facts["user_id"] = known.ctx.principal.sub
        if known.code:
            facts["code"] = known.code
        if self._tracer.on:
            facts["trace_id"] = _end_span(known, status)
        if status >= 500:
            _log.error("http request", **facts)
        else:
            _log.info("http request", **facts)


class _Known:
    """What is known of a request so far; an early refusal leaves the rest at its defaults."""

    __slots__ = (
        "began",
        "code",
        "ctx",
        "judged",
        "kind",
        "method",
        "read",
        "refusal",
        "route",
        "span",
        "task",
    )

    def __init__(self, request_id: str, began: float, method: str, *, debug: bool) -> None:
        self.began = began
        self.method = method
        self.task = asyncio.current_task()
        self.kind: RouteKind = "unary"
        self.ctx = RequestContext(request_id, ANONYMOUS, debug=debug)
        self.route = "unmatched"
        self.code = ""
        self.judged = False
        self.read = False
        self.refusal: Refusal | None = None
        self.span: Span = _NO_SPAN


def _end_span(known: _Known, status: int) -> str:
    """The id of its trace, "" without one."""
    about: dict[str, Attribute] = {"http.response.status_code": status}
    if known.code:
        about["error.type"] = known.code
    known.span.set(**about)
    if status >= 500:
        known.span.fail(known.code)
    known.span.end()
    return known.span.traceparent[3:35]


def _clean_id(text: str) -> str:
    """A given request id, unless it could break a log line or a header."""
    return text if len(text) <= _ID_LIMIT and text.isprintable() and text.isascii() else ""


def _query(raw: bytes) -> dict[str, list[str]]:
    if not raw:
        return {}
    try:
        return parse_qs(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as bad:
        raise Fault(BAD_QUERY, reason=str(bad)) from bad


async def _while_connected(later: Later, receive: Receive) -> Response:
    """Wait for the answer, but not for a client that has left: it must not be given a lease."""
    work = asyncio.ensure_future(later.wait())
    gone = asyncio.ensure_future(_until_gone(receive))
    gone.add_done_callback(lambda _: work.cancel())
    try:
        return await work
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled():
            raise _ClientGoneError from None
        raise
    finally:
        work.cancel()
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _refusal(fault: Fault, ctx: RequestContext) -> Response:
    headers: list[tuple[bytes, bytes]] = []
    if fault.entry.status == 405:
        headers.append((b"allow", str(fault.values["allowed"]).encode()))
    after = fault.values.get("retry_after")
    if after is not None:
        headers.append((b"retry-after", str(after).encode()))
    if fault.entry.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if fault.entry.narrow:
        headers.append((NARROW_HEADER.encode(), b"true"))
    return Response(
        status=fault.entry.status,
        body=msgspec.json.encode(problem(fault, ctx)),
        content_type=b"application/problem+json",
        headers=headers,
    )


async def _send(send: Send, response: Response, request_id: str, *, head: bool) -> None:
    headers = [(b"x-request-id", request_id.encode()), *response.headers]
    if response.status != 204:
        headers.append((b"content-type", response.content_type))
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
