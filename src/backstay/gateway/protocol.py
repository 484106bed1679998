"""A client's connection: requests in, answers out in the same order, and every limit on the way.

One instance per connection, no task per request. Reading stops when the upstream is slow or when
requests pile up; writing to a slow client stops the upstream. What breaks the protocol is answered
once and the connection is closed: its next bytes could mean anything.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import cast

import httptools
import structlog

from backstay.core.errors import Fault
from backstay.gateway.errors import (
    HEAD_TIMEOUT,
    HEAD_TOO_LARGE,
    MALFORMED,
    OWN_FAULT,
)
from backstay.gateway.exchange import CLIENT_GONE, Answer, Cause, Exchange
from backstay.gateway.gate import Gate
from backstay.gateway.heads import own_answer
from backstay.gateway.intake import read_request
from backstay.gateway.relay import HIGH_WATER, Relay
from backstay.gateway.watch import Watch

_log = structlog.get_logger("gateway")
_LINGER = 1.0
"""Seconds in which a client may still send after its last answer: closing a socket with unread
bytes resets it, and the reset overtakes the answer."""


class ClientConnection(asyncio.Protocol):
    """Implements `relay.Client` towards the relay of the request that is being answered."""

    __slots__ = (
        "_advancing",
        "_broken",
        "_closing",
        "_current",
        "_fresh",
        "_gate",
        "_head_open",
        "_head_size",
        "_headers",
        "_parser",
        "_parsing",
        "_peer",
        "_pending",
        "_raw",
        "_reading",
        "_relay",
        "_task",
        "_too_large",
        "_transport",
        "_url",
        "_watch",
    )

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._watch = Watch(gate.loop, self._expired)
        self._peer = ""
        # The head that is being received: `_fresh` until its first chunk is through.
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_open = False
        self._fresh = False
        self._head_size = 0
        self._raw = 0
        self._too_large = False
        # `_parsing` receives its body, `_pending` wait their turn, `_current` is answered.
        self._parsing: Exchange | None = None
        self._pending: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._relay: Relay | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading = True
        self._broken = False
        self._closing = False
        self._advancing = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        # Only this user can open the gateway's own Unix socket (mode 0600).
        self._peer = str(peer[0]) if isinstance(peer, tuple) else "127.0.0.1"
        refusal = self._gate.enter(self)
        if refusal is not None:
            self._shed(refusal)
        else:
            self._watch.set(self._gate.limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._broken:
            return
        try:
            self._feed(data)
        except httptools.HttpParserError as bad:
            self._spoilt(bad)
        if self._head_open and not self._broken:
            self._trickle(len(data))
        relay = self._relay
        if relay is not None:
            relay.more()
        self._advance()
        self.regulate()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._closing = True
        self._watch.close()
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()
        exchange = self._current
        if exchange is not None:
            if self._relay is not None:
                self._relay.cancel()
            exchange.status = CLIENT_GONE
            exchange.cause = Cause("client_gone", "the client closed the connection")
            self._finished(exchange)
        self._gate.leave(self)

    def pause_writing(self) -> None:
        if self._relay is not None:
            self._relay.hold_answer(on=True)

    def resume_writing(self) -> None:
        if self._relay is not None:
            self._relay.hold_answer(on=False)

    # httptools' side

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._head_size = 0
        self._raw = 0
        self._head_open = True
        self._fresh = True

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind the head come trailers: counted, and not passed on.
        self._count(len(name) + len(value) + 4)
        if self._head_open:
            self._headers.append((name, value))
            if len(self._headers) > self._gate.limits.headers:
                self._too_large = True
                raise ValueError

    def on_headers_complete(self) -> None:
        self._head_open = False
        parser = self._parser
        exchange = read_request(
            parser.get_method(),
            self._url,
            self._headers,
            parser.get_http_version(),
            self._peer,
            self._gate.clock.tick(),
        )
        exchange.keep_alive = exchange.fault is None and parser.should_keep_alive()
        self._parsing = exchange
        self._pending.append(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self._parsing
        if exchange is not None:
            exchange.body.append(body)
            exchange.body_in += len(body)

    def on_message_complete(self) -> None:
        exchange, self._parsing = self._parsing, None
        if exchange is not None:
            exchange.complete = True

    # relay.Client

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def tick(self) -> float:
        return self._gate.clock.tick()

    def deadline(self, seconds: float) -> None:
        self._watch.set(seconds)

    def refuse(self, exchange: Exchange, fault: Fault) -> None:
        exchange.fault = fault
        self._answer(exchange, self._gate.refusal(exchange, fault))

    def cut(self, exchange: Exchange) -> None:
        """End the connection so that the client can see that the answer is not whole."""
        exchange.keep_alive = False
        self._closing = True
        self._transport.abort()
        self._finished(exchange)

    def passed_on(self, exchange: Exchange) -> None:
        self._finished(exchange)

    def regulate(self) -> None:
        """Read from the client exactly while somebody can take what it sends."""
        if self._closing:
            return
        exchange = self._current
        wanted = not self._pending
        if wanted and exchange is not None and not exchange.complete:
            relay = self._relay
            wanted = relay.takes_more if relay else exchange.waiting_bytes < HIGH_WATER
        self._read(on=wanted)

    # the service's side

    def let_finish(self) -> None:
        """Draining: answer what is under way, then close; an idle connection closes now."""
        if self._current is not None:
            self._current.keep_alive = False
        elif not self._closing:
            self._closing = True
            self._transport.close()

    def end(self) -> None:
        """Close at once."""
        self._transport.abort()

    # receiving

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # An upgrade that is not taken (intake judges which): the rest is HTTP again.
                if self._pending and self._pending[-1].fault is not None:
                    self._broken = True
                    return
                data = data[upgrade.args[0] :]

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._gate.limits.header_bytes:
            self._too_large = True
            raise ValueError

    def _trickle(self, size: int) -> None:
        """A head that is still open: bounded in bytes, and its deadline does not move."""
        if self._fresh:
            self._fresh = False
            if self._current is None:
                self._watch.set(self._gate.limits.header_timeout)
            return
        self._raw += size
        if self._raw > self._gate.limits.header_bytes:
            self._too_large = True
            self._spoilt(ValueError())

    def _spoilt(self, bad: Exception) -> None:
        """The parser gave up: what follows on this connection has no meaning any more."""
        self._broken = True
        self._head_open = False
        fault = self._reason(bad)
        exchange, self._parsing = self._parsing, None
        if exchange is None:
            self._shed(fault)
        elif exchange is not self._current:
            exchange.fault = exchange.fault or fault
            exchange.keep_alive = False
        else:
            self._stop_current(exchange, fault)

    def _stop_current(self, exchange: Exchange, fault: Fault) -> None:
        if self._relay is not None:
            self._relay.cancel()
        if self._task is not None:
            self._task.cancel()
        if exchange.answered:
            self.cut(exchange)
        else:
            self.refuse(exchange, fault)

    def _reason(self, bad: Exception) -> Fault:
        if self._too_large:
            limits = self._gate.limits
            limit = f"{limits.header_bytes} bytes or {limits.headers} headers"
            return Fault(HEAD_TOO_LARGE, limit=limit)
        if isinstance(bad, httptools.HttpParserCallbackError):
            _log.error("request parsing failed", exc_info=bad.__context__)
            return Fault(OWN_FAULT)
        return Fault(MALFORMED, reason=str(bad) or type(bad).__name__)

    def _shed(self, fault: Fault) -> None:
        """Answer with a fault, in turn, where no request could be read."""
        exchange = Exchange("-", b"", (), self._peer, self.tick())
        exchange.fault = fault
        exchange.keep_alive = False
        self._broken = True
        self._pending.append(exchange)
        self._advance()

    # answering

    def _advance(self) -> None:
        """Begin the next request when nothing is being answered."""
        if self._advancing:
            return
        self._advancing = True
        while self._current is None and self._pending and not self._closing:
            exchange = self._pending.popleft()
            self._current = exchange
            self._gate.begin(exchange)
            self._walk(exchange, 0)
        self._advancing = False

    def _walk(self, exchange: Exchange, at: int) -> None:
        """The stages from number `at` on; behind the last one is the upstream."""
        try:
            stages = self._gate.stages
            for index in range(at, len(stages)):
                decision = stages[index](exchange)
                if decision is None:
                    continue
                if isinstance(decision, Answer):
                    self._answer(exchange, decision)
                else:
                    self._task = self._gate.loop.create_task(
                        self._wait(exchange, decision, index + 1)
                    )
                return
            self._relay = self._gate.relay(self, exchange)
            self._relay.start()
        except Fault as fault:
            self.refuse(exchange, fault)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets its 500 and no trace
            self._own_fault(exchange)

    async def _wait(
        self, exchange: Exchange, decision: Awaitable[Answer | None], after: int
    ) -> None:
        try:
            answer = await decision
        except Fault as fault:
            self.refuse(exchange, fault)
        except Exception:  # noqa: BLE001 - as in _walk
            self._own_fault(exchange)
        else:
            self._task = None
            if answer is not None:
                self._answer(exchange, answer)
            else:
                self._walk(exchange, after)
        self.regulate()

    def _own_fault(self, exchange: Exchange) -> None:
        _log.exception("request failed", request_id=exchange.request_id, path=exchange.path)
        exchange.cause = Cause("own_fault", "an exception in the gateway")
        if exchange.answered:
            self.cut(exchange)
        else:
            self.refuse(exchange, Fault(OWN_FAULT))

    def _answer(self, exchange: Exchange, answer: Answer) -> None:
        if not exchange.complete or self._gate.draining:
            exchange.keep_alive = False
        exchange.status = answer.status
        exchange.answered = True
        self._transport.write(own_answer(exchange, answer, self._gate.date()))
        self._finished(exchange)

    def _finished(self, exchange: Exchange) -> None:
        self._relay = None
        self._task = None
        self._current = None
        self._gate.observe(exchange)
        if self._closing:
            return
        if not exchange.keep_alive or self._gate.draining:
            self._close(whole=exchange.complete and not self._broken)
            return
        limits = self._gate.limits
        self._watch.set(limits.header_timeout if self._head_open else limits.keep_alive_timeout)
        self._advance()
        self.regulate()

    def _close(self, *, whole: bool) -> None:
        """After the last answer. A client that may still be sending gets a moment to read it."""
        self._closing = True
        unsent = self._transport.get_write_buffer_size() > 0
        self._watch.set(self._gate.limits.keep_alive_timeout if unsent else _LINGER)
        if whole:
            self._transport.close()
            return
        self._read(on=True)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _read(self, *, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _expired(self) -> None:
        if self._closing:
            self._transport.abort()
        elif self._relay is not None:
            self._relay.expired()
        elif self._current is not None:
            return
        elif self._head_open:
            self._head_open = False
            self._shed(Fault(HEAD_TIMEOUT, seconds=self._gate.limits.header_timeout))
        else:
            self._closing = True
            self._transport.close()
