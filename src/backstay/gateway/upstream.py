"""Connections to one upstream: a protocol per connection, parsed answers handed to a `Taker`.

A connection belongs to at most one taker at a time and goes back to its pool only after a whole
answer with nothing behind it: whatever an upstream says unasked must never become the answer to
the next person's request.
"""

import asyncio
from typing import Protocol, cast

import httptools

from backstay.gateway.wire import Fields

_INTERIM_END = 200
_SWITCHING = 101


class Head:
    """The head of an answer. `length` is None unless Content-Length was sent."""

    __slots__ = ("chunked", "headers", "length", "named", "status")

    def __init__(self, status: int, headers: Fields) -> None:
        self.status = status
        self.headers = headers
        self.length: int | None = None
        self.chunked = False
        self.named: list[bytes] = []


class Taker(Protocol):
    """Who asked. `flush` follows each batch of the others; `ended` and `lost` come once."""

    def connected(self, connection: "UpstreamConnection") -> None: ...
    def refused(self, failure: Exception) -> None: ...
    def head(self, head: Head) -> None: ...
    def piece(self, data: bytes) -> None: ...
    def ended(self, *, reusable: bool) -> None: ...
    def lost(self, failure: Exception | None) -> None: ...
    def invalid(self, reason: str) -> None: ...
    def flush(self) -> None: ...
    def hold(self, *, on: bool) -> None: ...


class Owner(Protocol):
    """What a connection needs of its pool."""

    max_head: int

    def forget(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """One keep-alive connection to an upstream."""

    __slots__ = (
        "_bodyless",
        "_dirty",
        "_done",
        "_fed",
        "_headers",
        "_interim",
        "_keeps",
        "_owner",
        "_parser",
        "_size",
        "_until_close",
        "alive",
        "answering",
        "idle_since",
        "taker",
        "transport",
        "uses",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.taker: Taker | None = None
        self.alive = False
        self.uses = 0
        self.idle_since = 0.0
        self.answering = False
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._bodyless = False
        self._interim = False
        self._keeps = False
        self._dirty = False
        self._done = False
        self._until_close = False
        self._size = 0
        self._fed = 0

    def take(self, taker: Taker, *, bodyless: bool) -> None:
        """Begin a call. `bodyless`: its answer has no body whatever its headers say (HEAD)."""
        self.taker = taker
        self.uses += 1
        self.answering = False
        self._bodyless = bodyless
        self._done = False
        self._until_close = False
        self._fed = 0

    @property
    def silent(self) -> bool:
        """Whether not a byte of the answer has come yet."""
        return self._fed == 0

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def hold(self, *, on: bool) -> None:
        """Stop or go on reading from the upstream, as the client keeps up."""
        if not self.alive:
            return
        if on and self.transport.is_reading():
            self.transport.pause_reading()
        elif not on and not self.transport.is_reading():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; the taker is told nothing any more."""
        self.taker = None
        self._owner.forget(self)
        self.alive = False
        self.transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.alive = True

    def data_received(self, data: bytes) -> None:
        taker = self.taker
        if taker is None:
            self.abort()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._spoil("it changed the protocol unasked")
            return
        except httptools.HttpParserError as bad:
            self._spoil(_reason(bad))
            return
        if not self.answering and self._fed > self._owner.max_head:
            self._spoil(f"its headers are larger than {self._owner.max_head} bytes")
            return
        if self.taker is not taker:
            return
        if self._done:
            self._finish(taker)
        else:
            taker.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.alive:
            return
        self.alive = False
        self._owner.forget(self)
        taker, self.taker = self.taker, None
        if taker is None:
            return
        if self._until_close and exc is None:
            taker.ended(reusable=False)
        else:
            taker.lost(exc)

    def pause_writing(self) -> None:
        if self.taker:
            self.taker.hold(on=True)

    def resume_writing(self) -> None:
        if self.taker:
            self.taker.hold(on=False)

    # httptools' side

    def on_message_begin(self) -> None:
        if self._done:
            self._dirty = True
        self._headers = []
        self._size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        if self._size > self._owner.max_head:
            raise ValueError(f"its headers are larger than {self._owner.max_head} bytes")
        if not self.answering:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._done or self.taker is None:
            self._dirty = True
            return
        status = self._parser.get_status_code()
        if status < _INTERIM_END:
            if status < 100 or status == _SWITCHING:
                raise ValueError(f"its status is {status}")
            self._interim = True
            return
        head = _read_head(status, self._headers)
        self.answering = True
        # Only here: once the message is complete, llhttp has forgotten it.
        self._keeps = self._parser.should_keep_alive()
        none = self._bodyless or status in (204, 304)
        self._until_close = not none and not head.chunked and head.length is None
        self.taker.head(head)
        if self._bodyless:
            self._done = True

    def on_body(self, data: bytes) -> None:
        if self._done or self.taker is None:
            self._dirty = True
        else:
            self.taker.piece(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self._fed = 0
        elif not self._dirty:
            self._done = True

    def _finish(self, taker: Taker) -> None:
        reusable = self._keeps and not self._dirty and self.alive
        if self._bodyless:
            # httptools cannot be told that an answer to HEAD has no body: start it afresh.
            self._parser = httptools.HttpResponseParser(self)
        self.taker = None
        self._headers = []
        taker.ended(reusable=reusable)

    def _spoil(self, reason: str) -> None:
        taker = self.taker
        self.abort()
        if taker:
            taker.invalid(reason)


def _read_head(status: int, headers: Fields) -> Head:
    head = Head(status, headers)
    for name, value in headers:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            head.length = int(value)
        elif size == 17 and name.lower() == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise ValueError("its transfer coding is not chunked")
            head.chunked = True
        elif size == 10 and name.lower() == b"connection":
            head.named.append(value)
    return head


def _reason(bad: Exception) -> str:
    inner = bad.__context__
    return str(inner) if isinstance(inner, ValueError) else str(bad) or type(bad).__name__
