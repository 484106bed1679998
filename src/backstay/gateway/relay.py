"""One request on its way: connection, body up, answer down, and what each failure means.

The only place that decides about retries and about 502, 503 and 504. It is a `Taker` of the
upstream connection and speaks to the client through `Client`.
"""

import socket
from typing import Protocol

import msgspec

from backstay.core.errors import ErrorEntry, Fault, Plain
from backstay.gateway.errors import (
    BODY_TOO_LARGE,
    CLIENT_SLOW,
    OVERLOAD,
    UPSTREAM_DEADLINE,
    UPSTREAM_INVALID,
    UPSTREAM_REFUSED,
    UPSTREAM_RESET,
)
from backstay.gateway.exchange import Cause, Exchange
from backstay.gateway.heads import answer_head, request_head
from backstay.gateway.pool import Pool, PoolBusyError
from backstay.gateway.upstream import Head, UpstreamConnection
from backstay.gateway.wire import CONTINUE, LAST_CHUNK, chunk, is_narrow

HIGH_WATER = 65_536
"""Bytes of a body that wait for the upstream before reading from the client stops."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_UPSTREAM_TROUBLE = frozenset({502, 503, 504})
_RETRY_AFTER = 1


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds: `total` for a whole unary call, `idle` for silence on the other kinds."""

    total: float
    idle: float


class Client(Protocol):
    """What a relay needs of the client's connection."""

    def send(self, data: bytes) -> None: ...
    def regulate(self) -> None: ...
    def refuse(self, exchange: Exchange, fault: Fault) -> None: ...
    def cut(self, exchange: Exchange) -> None: ...
    def passed_on(self, exchange: Exchange) -> None: ...
    def deadline(self, seconds: float) -> None: ...
    def tick(self) -> float: ...


class Relay:
    """Lives from the last stage to the last byte of the answer."""

    __slots__ = (
        "_chunked",
        "_client",
        "_connection",
        "_exchange",
        "_gathers",
        "_head",
        "_held",
        "_idle",
        "_ill",
        "_pieces",
        "_pool",
        "_sent_all",
        "_silence",
        "_timeouts",
        "over",
    )

    def __init__(self, client: Client, exchange: Exchange, pool: Pool, timeouts: Timeouts) -> None:
        self._client = client
        self._exchange = exchange
        self._pool = pool
        self._timeouts = timeouts
        unary = exchange.route is None or exchange.route.kind == "unary"
        self._idle = not unary
        self._silence = timeouts.total if unary else timeouts.idle
        # A body that drips in must not keep a connection from everybody else.
        self._gathers = unary and not exchange.expects
        self._connection: UpstreamConnection | None = None
        self._head = b""
        self._pieces: list[bytes] = []
        self._chunked = False
        self._held = False
        self._ill = False
        self._sent_all = False
        self.over = False

    def start(self) -> None:
        """Ask for a connection; everything else follows from callbacks."""
        self._exchange.phase = "queue"
        self._client.deadline(self._silence)
        if not self._gathers or self._gathered:
            self._gathers = False
            self._pool.acquire(self)

    @property
    def _gathered(self) -> bool:
        return self._exchange.complete or self._exchange.waiting_bytes >= HIGH_WATER

    @property
    def takes_more(self) -> bool:
        """Whether the client may go on sending its body."""
        if self._connection is None:
            return self._exchange.waiting_bytes < HIGH_WATER
        return not self._held

    def more(self) -> None:
        """Bytes of the body, or its end, have arrived from the client."""
        exchange = self._exchange
        limit = exchange.route.max_body if exchange.route else 0
        if limit and exchange.body_in > limit and not exchange.answered:
            self._let_go()
            exchange.verdict = "unknown"
            fault = Fault(BODY_TOO_LARGE, limit=limit, prefix=exchange.prefix)
            self._end(fault)
            return
        if self._gathers and self._gathered:
            self._gathers = False
            self._pool.acquire(self)
        elif self._connection is not None and not self._held:
            self._forward(self._connection)

    def cancel(self) -> None:
        """The client has gone: so does the call upstream."""
        self._let_go()
        self.over = True
        self._exchange.verdict = "unknown"

    def expired(self) -> None:
        """The deadline has passed: who was it that kept the others waiting?"""
        exchange = self._exchange
        asked = self._gathers or (self._connection is not None and not self._held)
        if asked and not exchange.complete and not exchange.answered:
            self._let_go()
            exchange.verdict = "unknown"
            exchange.cause = Cause("client_slow", "the body did not arrive")
            self._end(self._fault(CLIENT_SLOW, seconds=self._silence))
            return
        client_is_slow = exchange.answered and self._client_is_slow
        self._let_go()
        if client_is_slow:
            exchange.verdict = "unknown"
            exchange.cause = Cause("client_slow", "the client did not read")
            self._end(None)
            return
        self._fail(Cause("timeout", "deadline"), UPSTREAM_DEADLINE, seconds=self._silence)

    @property
    def _client_is_slow(self) -> bool:
        return self._connection is not None and not self._connection.transport.is_reading()

    # the connection's side (Taker)

    def connected(self, connection: UpstreamConnection) -> None:
        exchange = self._exchange
        self._connection = connection
        exchange.acquired = self._client.tick()
        exchange.phase = "write"
        connection.take(self, bodyless=exchange.method == "HEAD")
        if exchange.expects and not exchange.complete and not exchange.body_in:
            self._client.send(CONTINUE)
        self._forward(connection, request_head(exchange))
        if not exchange.complete:
            self._client.regulate()

    def refused(self, failure: Exception) -> None:
        exchange = self._exchange
        if isinstance(failure, PoolBusyError):
            exchange.verdict = "unknown"
            exchange.cause = Cause("overload", "no free connection")
            limits = self._pool.limits
            self._end(
                self._fault(
                    OVERLOAD,
                    seconds=limits.wait,
                    size=limits.size,
                    waiting=self._pool.waiting,
                    retry_after=_RETRY_AFTER,
                )
            )
            return
        exchange.phase = "connect"
        if isinstance(failure, TimeoutError):
            seconds = self._pool.limits.connect
            self._fail(
                Cause("timeout", "connecting took too long"), UPSTREAM_DEADLINE, seconds=seconds
            )
        elif self._may_retry():
            self._pool.acquire(self, fresh=True)
        else:
            self._fail(_connect_cause(failure), UPSTREAM_REFUSED)

    def head(self, head: Head) -> None:
        exchange = self._exchange
        exchange.first_byte = self._client.tick()
        exchange.status = head.status
        exchange.phase = "body"
        self._ill = head.status in _UPSTREAM_TROUBLE and not is_narrow(head.headers)
        if not exchange.complete:
            # Its answer came before the end of the question: neither side can be used again.
            exchange.keep_alive = False
        self._head, self._chunked = answer_head(exchange, head)

    def piece(self, data: bytes) -> None:
        self._pieces.append(data)

    def flush(self) -> None:
        if self._idle:
            self._client.deadline(self._silence)
        self._send(b"")

    def ended(self, *, reusable: bool) -> None:
        connection, self._connection = self._connection, None
        exchange = self._exchange
        if self._ill:
            exchange.verdict = "failed"
            exchange.cause = Cause("answered", f"it answered {exchange.status}")
        else:
            exchange.verdict = "worked"
        self._send(LAST_CHUNK if self._chunked else b"")
        if connection is not None:
            self._pool.release(connection, reusable=reusable and self._sent_all)
        self.over = True
        self._client.passed_on(exchange)

    def lost(self, failure: Exception | None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._was_stale(connection) and self._may_retry():
            self._sent_all = False
            self._pool.acquire(self, fresh=True)
            return
        if self._held:
            self._exchange.phase = "write"
        says = str(failure) if failure else "closed by the other side"
        self._fail(Cause("reset", says), UPSTREAM_RESET, reason=says)

    def invalid(self, reason: str) -> None:
        self._connection = None
        self._fail(Cause("invalid", reason), UPSTREAM_INVALID, reason=reason)

    def hold(self, *, on: bool) -> None:
        self._held = on
        if not on:
            self.more()
        if not self.over:
            self._client.regulate()

    def hold_answer(self, *, on: bool) -> None:
        """The client's buffer is full, or has room again."""
        if self._connection is not None:
            self._connection.hold(on=on)

    # inside

    def _forward(self, connection: UpstreamConnection, head: bytes = b"") -> None:
        exchange = self._exchange
        data = head
        if exchange.body:
            body = exchange.take_body()
            data += chunk(body) if exchange.framing == "chunked" else body
        if exchange.complete and not self._sent_all:
            self._sent_all = True
            if exchange.phase == "write":
                exchange.phase = "first_byte"
            if exchange.framing == "chunked":
                data += LAST_CHUNK
        if data:
            if self._idle:
                self._client.deadline(self._silence)
            connection.write(data)

    def _send(self, tail: bytes) -> None:
        head, pieces = self._head, self._pieces
        body = b""
        if pieces:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            if self._chunked:
                body = chunk(body)
        if head:
            self._head = b""
            self._exchange.answered = True
        data = head + body + tail if head or tail else body
        if data:
            self._client.send(data)

    def _was_stale(self, connection: UpstreamConnection) -> bool:
        """Closed by the upstream while it lay idle, so this request was the first to notice."""
        exchange = self._exchange
        safe = exchange.method in _SAFE and exchange.framing == "none"
        return safe and connection.silent and connection.uses > 1

    def _may_retry(self) -> bool:
        first = not self._exchange.retried
        self._exchange.retried = True
        return first

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._held:
                self._exchange.phase = "write"
            connection.abort()
        elif self._pool.give_up(self):
            self._exchange.phase = "connect"

    def _fail(self, cause: Cause, entry: ErrorEntry, **values: Plain) -> None:
        self._exchange.verdict = "failed"
        self._exchange.cause = cause
        given: dict[str, Plain] = {"reason": cause.says, **values}
        self._end(self._fault(entry, **given))

    def _fault(self, entry: ErrorEntry, **values: Plain) -> Fault:
        pool = self._pool
        phase = self._exchange.phase
        return Fault(entry, upstream=pool.name, phase=phase, address=str(pool.address), **values)

    def _end(self, fault: Fault | None) -> None:
        self.over = True
        exchange = self._exchange
        if exchange.answered or fault is None:
            exchange.code = fault.entry.code if fault else ""
            self._client.cut(exchange)
        else:
            self._client.refuse(exchange, fault)


def _connect_cause(failure: Exception) -> Cause:
    """Which kind of not getting through it was (G16)."""
    if isinstance(failure, socket.gaierror):
        return Cause("dns", f"the name does not resolve: {failure.strerror or failure}")
    if isinstance(failure, FileNotFoundError):
        return Cause("missing", "its socket does not exist")
    if isinstance(failure, ConnectionRefusedError):
        return Cause("refused", "nobody listens there")
    if isinstance(failure, PermissionError):
        return Cause("forbidden", "its socket belongs to somebody else")
    words = failure.strerror if isinstance(failure, OSError) else None
    return Cause("unreachable", words or type(failure).__name__)
