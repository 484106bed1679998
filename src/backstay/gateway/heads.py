"""The heads the gateway writes: of requests to upstreams, of answers to clients. Pure."""

from functools import lru_cache

from backstay.core.context import LOCAL, PRINCIPAL_HEADER, Principal, encode_principal
from backstay.gateway.exchange import Answer, Exchange
from backstay.gateway.upstream import Head
from backstay.gateway.wire import (
    NOT_FROM_CLIENTS,
    NOT_FROM_UPSTREAMS,
    named_by_connection,
    passing,
    status_line,
)

_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"


def request_head(exchange: Exchange) -> bytes:
    """The request line and headers for the upstream: what passed, and what the gateway says."""
    lines = [
        b"%b %b HTTP/1.1\r\n" % (exchange.method.encode(), exchange.target),
        *passing(exchange.headers, NOT_FROM_CLIENTS, exchange.named),
        b"x-request-id: %b\r\n" % exchange.request_id.encode(),
        _principal_line(exchange.principal),
        _forwarded(exchange.peer, exchange.fields.get("host", "")),
    ]
    if exchange.framing == "length":
        lines.append(b"content-length: %d\r\n" % exchange.length)
    elif exchange.framing == "chunked":
        lines.append(_CHUNKED)
    if exchange.debug:
        lines.append(b"x-debug: true\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def answer_head(exchange: Exchange, head: Head) -> tuple[bytes, bool]:
    """The head for the client, and whether the body goes out in chunks.

    Clears `keep_alive` where only the end of the connection can show the end of the body.
    """
    named = named_by_connection(b",".join(head.named)) if head.named else frozenset[bytes]()
    lines = [
        status_line(head.status),
        *passing(head.headers, NOT_FROM_UPSTREAMS, named),
        b"x-request-id: %b\r\n" % exchange.request_id.encode(),
        exchange.extra,
    ]
    chunked = False
    if head.length is not None and head.status != 204:
        lines.append(b"content-length: %d\r\n" % head.length)
    elif exchange.method == "HEAD" or head.status in (204, 304):
        pass
    elif exchange.http10:
        exchange.keep_alive = False
    else:
        chunked = True
        lines.append(_CHUNKED)
    lines.append(_connection_line(exchange))
    return b"".join(lines), chunked


def own_answer(exchange: Exchange, answer: Answer, date: bytes) -> bytes:
    """An answer of the gateway itself, whole."""
    lines = [
        status_line(answer.status),
        b"date: %b\r\n" % date,
        b"x-request-id: %b\r\n" % exchange.request_id.encode(),
        exchange.extra,
        *(b"%b: %b\r\n" % header for header in answer.headers),
    ]
    if answer.status != 204:
        lines.append(b"content-type: %b\r\n" % answer.content_type)
        lines.append(b"content-length: %d\r\n" % len(answer.body))
    lines.append(_connection_line(exchange))
    if exchange.method != "HEAD":
        lines.append(answer.body)
    return b"".join(lines)


def _connection_line(exchange: Exchange) -> bytes:
    """The last header and the empty line: silence means keep-alive only in HTTP/1.1."""
    if not exchange.keep_alive:
        return _CLOSE + b"\r\n"
    return _KEEP + b"\r\n" if exchange.http10 else b"\r\n"


def _forwarded(peer: str, host: str) -> bytes:
    return _forwarded_lines(peer, host) if len(host) < 256 else _forwarded_lines(peer, "")


@lru_cache(1024)
def _forwarded_lines(peer: str, host: str) -> bytes:
    lines = f"x-forwarded-for: {peer}\r\n" if peer else ""
    lines += "x-forwarded-proto: http\r\n"
    return (lines + (f"x-forwarded-host: {host}\r\n" if host else "")).encode("latin-1")


def _principal_line(principal: Principal) -> bytes:
    return _LOCAL_LINE if principal is LOCAL else _line_of(principal)


def _line_of(principal: Principal) -> bytes:
    return f"{PRINCIPAL_HEADER}: {encode_principal(principal)}\r\n".encode()


_LOCAL_LINE = _line_of(LOCAL)
