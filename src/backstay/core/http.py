"""The one HTTP client: pooled, bounded in time and size, and careful about where it connects.

What goes in is a request; what comes out is an `Answer` with whatever status, or a `CallFailed`
that says which way it failed and whether the request may have been received. It never retries a
request that may have arrived (decision 15), keeps no cookies and follows no redirect unasked.
"""

import errno
import os
import socket
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import msgspec

from backstay import __version__
from backstay.core import http_errors as failed
from backstay.core.clock import Clock
from backstay.core.context import RequestContext
from backstay.core.egress import EgressRules
from backstay.core.tracing import OFF, Attribute, Tracer

if TYPE_CHECKING:
    import aiohttp

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_CHUNK = 65_536


class Answer(msgspec.Struct, frozen=True):
    """`headers` have lower-case names; `took` is seconds until the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took: float


class Limits(msgspec.Struct, frozen=True):
    """`connect` seconds for TCP and TLS, `body` bytes of an answer, `connections` at once."""

    connect: float = 5.0
    body: int = 10_485_760
    connections: int = 100


class _Call(msgspec.Struct, frozen=True):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    unread: bool = False


class Client:
    """Belongs to one event loop. `unix` sends every request over that socket instead of TCP."""

    def __init__(
        self,
        clock: Clock,
        egress: EgressRules,
        limits: Limits | None = None,
        unix: Path | None = None,
        tracer: Tracer = OFF,
    ) -> None:
        self._clock = clock
        self._egress = egress
        self._limits = limits or Limits()
        self._unix = unix
        self._tracer = tracer
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109 - aiohttp's own, which knows the phases
        *,
        ctx: RequestContext | None = None,
        redirects: int = 0,
        unread: bool = False,
    ) -> Answer:
        """Send and read the whole answer within `timeout` seconds. `ctx` hands request id and
        trace on. Up to `redirects` redirects are followed, each checked like the first address.
        `unread` is for whoever needs the status only: the answer's body is left where it is, so
        that a slow or endless one costs nothing.

        Raises a `CallFailed`: CORE030 to CORE038.
        """
        call = _Call(method, url, dict(headers or {}) | _passed_on(ctx), body, timeout, unread)
        if self._tracer.on:
            return await self._traced(call, redirects, ctx.traceparent if ctx else "")
        return await self._following(call, redirects)

    async def _traced(self, call: _Call, redirects: int, parent: str) -> Answer:
        about: dict[str, Attribute] = {"http.request.method": call.method}
        with self._tracer.span(f"HTTP {call.method}", parent, "client", **about) as span:
            headers = {**call.headers, "traceparent": span.traceparent}
            traced = msgspec.structs.replace(call, headers=headers)
            answer = await self._following(traced, redirects)
            span.set(**{"http.response.status_code": answer.status})
            return answer

    async def _following(self, call: _Call, redirects: int) -> Answer:
        began = self._clock.tick()
        answer = await self._once(call, began)
        while answer.status in _REDIRECTS and redirects > 0 and "location" in answer.headers:
            redirects -= 1
            call = _redirected(call, answer)
            answer = await self._once(call, began)
        return answer

    async def close(self) -> None:
        """Close pooled connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _once(self, call: _Call, began: float) -> Answer:
        import aiohttp

        address = self._address(call.url)
        session = self._open()
        trace = SimpleNamespace(sent=False)
        left = max(0.001, call.seconds - (self._clock.tick() - began))
        try:
            async with session.request(
                call.method,
                call.url,
                headers=call.headers,
                data=call.body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=left, sock_connect=self._limits.connect),
                trace_request_ctx=trace,
            ) as response:
                content = b"" if call.unread else await self._read(response, address)
                return Answer(
                    status=response.status,
                    headers={key.lower(): value for key, value in response.headers.items()},
                    body=content,
                    took=self._clock.tick() - began,
                )
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise _typed(failure, address, call.seconds, self._limits, trace.sent) from failure

    async def _read(self, response: "aiohttp.ClientResponse", address: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(_CHUNK):
            size += len(part)
            if size > self._limits.body:
                reason = f"more than the {self._limits.body} bytes that are taken"
                raise failed.TooLargeError(address, reason, sent=True)
            parts.append(part)
        return b"".join(parts)

    def _address(self, url: str) -> str:
        """`host:port` of an address that may be called, without the credentials it may hold."""
        # Read by the library that connects: two readings of one address are how guards are passed.
        from yarl import URL

        try:
            parts = URL(url)
            host, port = parts.host or "", parts.port
        except ValueError as bad:
            raise failed.ProtocolError(_open_part(url), str(bad), sent=False) from bad
        if parts.scheme not in ("http", "https") or not host:
            raise failed.ProtocolError(
                _open_part(url), "expected http://… or https://…", sent=False
            )
        address = f"{host}:{port}"
        # A name is judged when it resolves; a literal address never asks the resolver.
        if self._unix is None and _is_literal(host) and not self._egress.permit(host):
            raise failed.EgressError(address, _not_public(host), sent=False)
        return address

    def _open(self) -> "aiohttp.ClientSession":
        if self._session is None:
            from backstay.core.http_session import open_session

            self._session = open_session(
                self._egress, self._limits.connections, self._unix, f"backstay/{__version__}"
            )
        return self._session


def _passed_on(ctx: RequestContext | None) -> dict[str, str]:
    if ctx is None:
        return {}
    passed = {"X-Request-ID": ctx.request_id}
    if ctx.traceparent:
        passed["traceparent"] = ctx.traceparent
    return passed


def _redirected(call: _Call, answer: Answer) -> _Call:
    target = urljoin(call.url, answer.headers["location"])
    headers, method, body = call.headers, call.method, call.body
    if urlsplit(target)[:2] != urlsplit(call.url)[:2]:
        headers = {key: text for key, text in headers.items() if key.lower() not in _CREDENTIALS}
    if answer.status == HTTPStatus.SEE_OTHER or (
        answer.status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND) and method == "POST"
    ):
        method, body = "GET", b""
    return _Call(method, target, headers, body, call.seconds, call.unread)


def _typed(
    failure: Exception, address: str, seconds: float, limits: Limits, sent: bool
) -> failed.CallFailed:
    """Which way a call failed. The order matters: aiohttp's classes overlap."""
    import aiohttp

    from backstay.core.http_session import EgressRefusedError

    reason = str(failure) or type(failure).__name__
    inner = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
    if isinstance(inner, EgressRefusedError):
        return failed.EgressError(address, _not_public(inner.address), sent=False)
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        text = f"no connection within {limits.connect:g} s"
        return failed.ConnectTimeoutError(address, text, sent=False)
    if isinstance(failure, TimeoutError):
        text = f"no complete answer within {seconds:g} s"
        return failed.TotalTimeoutError(address, text, sent=sent)
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return failed.DnsError(address, failure.os_error.strerror or reason, sent=False)
    if isinstance(failure, aiohttp.ClientSSLError):
        return failed.TlsError(address, reason, sent=False)
    if isinstance(failure, aiohttp.ClientConnectorError):
        code = inner.errno or 0 if isinstance(inner, OSError) else 0
        name = errno.errorcode.get(code, "")
        text = os.strerror(code) if name else reason  # the address is told beside it
        return failed.RefusedError(address, f"{name}: {text}", sent=False)
    if isinstance(failure, (aiohttp.ClientResponseError, ValueError)):
        return failed.ProtocolError(address, reason, sent=sent)
    return failed.ResetError(address, reason, sent=sent)


def _not_public(address: str) -> str:
    return f"{address} is not a public address and not among the allowed ones"


def _open_part(url: str) -> str:
    """What may be shown of an address that does not parse: not the credentials it may hold."""
    return url.rpartition("@")[2][:200]


def _is_literal(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host.partition("%")[0])
    except OSError:
        return False
    return True
