"""Bytes of a client become Exchanges, within limits: the receiving half of a connection.

httptools tells about what it parsed, not about what it swallows; an open head and the framing of a
chunked body are therefore weighed here, too.
"""

from collections import deque

import httptools
import structlog

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.gateway.errors import HEAD_TOO_LARGE, MALFORMED, OWN_FAULT
from backstay.gateway.exchange import Exchange
from backstay.gateway.intake import read_request

_log = structlog.get_logger("gateway")
_FRAMING = 16
"""How many times its content the framing of a chunked body may weigh."""


class RequestReader:
    """Parses one connection. `requests` holds what has a whole head and was not taken yet;
    `receiving` is the one whose body is still coming, taken or not.

    After a Fault from `feed` the connection's further bytes have no meaning.
    """

    __slots__ = (
        "_clock",
        "_fresh",
        "_head_size",
        "_headers",
        "_max_head",
        "_max_headers",
        "_overhead",
        "_parser",
        "_peer",
        "_raw",
        "_too_large",
        "_url",
        "broken",
        "head_began",
        "head_open",
        "receiving",
        "requests",
    )

    def __init__(self, peer: str, clock: Clock, max_head: int, max_headers: int) -> None:
        self.requests: deque[Exchange] = deque()
        self.receiving: Exchange | None = None
        self.broken = False
        self.head_open = False
        # Set once per head that did not arrive at once; whoever minds the time clears it.
        self.head_began = False
        self._peer = peer
        self._clock = clock
        self._max_head = max_head
        self._max_headers = max_headers
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._raw = 0
        self._overhead = 0
        self._fresh = False
        self._too_large = False

    def feed(self, data: bytes) -> Fault | None:
        """Parse. The Fault says why nothing more can be read."""
        size = len(data)
        self._overhead += size
        try:
            self._parse(data)
        except httptools.HttpParserError as bad:
            return self._spoilt(bad)
        if self.receiving is not None and self._overhead > self._max_head:
            return self._too_heavy()
        if not self.head_open:
            return None
        # The first piece of a head may stand behind other requests: it is not weighed.
        if self._fresh:
            self._fresh = False
            self.head_began = True
            return None
        self._raw += size
        return self._too_heavy() if self._raw > self._max_head else None

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # An upgrade that is not taken (intake judges which): the rest is HTTP again.
                if self.requests and self.requests[-1].fault is not None:
                    self.broken = True
                    return
                data = data[upgrade.args[0] :]

    def _too_heavy(self) -> Fault:
        self._too_large = True
        return self._spoilt(ValueError())

    def _spoilt(self, bad: Exception) -> Fault:
        self.broken = True
        self.head_open = False
        if self._too_large:
            limit = f"{self._max_head} bytes or {self._max_headers} headers"
            return Fault(HEAD_TOO_LARGE, limit=limit)
        if isinstance(bad, httptools.HttpParserCallbackError):
            _log.error("request parsing failed", exc_info=bad.__context__)
            return Fault(OWN_FAULT)
        return Fault(MALFORMED, reason=str(bad) or type(bad).__name__)

    # httptools' side

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._head_size = 0
        self._raw = 0
        self.head_open = True
        self._fresh = True

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind the head come trailers: counted, and not passed on.
        self._count(len(name) + len(value) + 4)
        if self.head_open:
            self._headers.append((name, value))
            if len(self._headers) > self._max_headers:
                self._too_large = True
                raise ValueError

    def on_headers_complete(self) -> None:
        self.head_open = False
        self._overhead = 0
        parser = self._parser
        exchange = read_request(
            parser.get_method(),
            self._url,
            self._headers,
            parser.get_http_version(),
            self._peer,
            self._clock.tick(),
        )
        exchange.keep_alive = exchange.fault is None and parser.should_keep_alive()
        self.receiving = exchange
        self.requests.append(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self.receiving
        if exchange is not None:
            exchange.body.append(body)
            exchange.body_in += len(body)
            self._overhead -= len(body) * _FRAMING

    def on_message_complete(self) -> None:
        exchange, self.receiving = self.receiving, None
        if exchange is not None:
            exchange.complete = True

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._max_head:
            self._too_large = True
            raise ValueError
