"""A client's connection: requests in, answers out in the same order, and every limit on the way.

One instance per connection, no task per request. Reading stops when the upstream is slow or when
requests pile up; writing to a slow client stops the upstream. What breaks the protocol is answered
once and the connection is closed: its next bytes could mean anything.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import cast

import structlog

from backstay.core.errors import Fault
from backstay.gateway.errors import (
    HEAD_TIMEOUT,
    OWN_FAULT,
)
from backstay.gateway.exchange import CLIENT_GONE, Answer, Cause, Exchange
from backstay.gateway.gate import Gate
from backstay.gateway.heads import own_answer
from backstay.gateway.reader import RequestReader
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
        "_blocked",
        "_closing",
        "_current",
        "_gate",
        "_peer",
        "_pending",
        "_reader",
        "_reading",
        "_relay",
        "_task",
        "_transport",
        "_watch",
    )

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reader: RequestReader = cast("RequestReader", None)
        self._pending: deque[Exchange] = deque()
        self._watch = Watch(gate.loop, self._expired)
        self._peer = ""
        self._current: Exchange | None = None
        self._relay: Relay | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading = True
        self._blocked = False
        self._closing = False
        self._advancing = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        # Only this user can open the gateway's own Unix socket (mode 0600).
        self._peer = str(peer[0]) if isinstance(peer, tuple) else "127.0.0.1"
        limits = self._gate.limits
        self._reader = RequestReader(
            self._peer, self._gate.clock, limits.header_bytes, limits.headers
        )
        self._pending = self._reader.requests
        refusal = self._gate.enter(self)
        if refusal is not None:
            self._shed(refusal)
        else:
            self._watch.set(limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if self._closing or reader.broken:
            return
        fault = reader.feed(data)
        if fault is not None:
            self._unreadable(fault)
        elif reader.head_began:
            # Once per head, however slowly the rest drips in.
            reader.head_began = False
            if self._current is None:
                self._watch.set(self._gate.limits.header_timeout)
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
        self._blocked = True
        if self._relay is not None:
            self._relay.hold_answer(on=True)

    def resume_writing(self) -> None:
        self._blocked = False
        if self._relay is not None:
            self._relay.hold_answer(on=False)
        self._advance()
        self.regulate()

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

    def _unreadable(self, fault: Fault) -> None:
        """The reader gave up: at which request does that strike?"""
        exchange = self._reader.receiving
        if exchange is None:
            self._shed(fault)
        elif exchange is self._current:
            self._stop_current(exchange, fault)
        else:
            exchange.fault = exchange.fault or fault
            exchange.keep_alive = False

    def _stop_current(self, exchange: Exchange, fault: Fault) -> None:
        if self._relay is not None:
            self._relay.cancel()
        if self._task is not None:
            self._task.cancel()
        if exchange.answered:
            self.cut(exchange)
        else:
            self.refuse(exchange, fault)

    def _shed(self, fault: Fault) -> None:
        """Answer with a fault, in turn, where no request could be read."""
        exchange = Exchange("-", b"", (), self._peer, self.tick())
        exchange.fault = fault
        exchange.keep_alive = False
        self._reader.broken = True
        self._pending.append(exchange)
        self._advance()

    # answering

    def _advance(self) -> None:
        """Begin the next request when nothing is being answered."""
        if self._advancing:
            return
        self._advancing = True
        # A client that does not read gets no further answers to pile up in memory.
        while self._current is None and self._pending and not self._closing and not self._blocked:
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
            self._close(whole=exchange.complete and not self._reader.broken)
            return
        limits = self._gate.limits
        self._watch.set(
            limits.header_timeout if self._reader.head_open else limits.keep_alive_timeout
        )
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
        elif self._reader.head_open:
            self._reader.head_open = False
            self._shed(Fault(HEAD_TIMEOUT, seconds=self._gate.limits.header_timeout))
        else:
            self._close(whole=True)
