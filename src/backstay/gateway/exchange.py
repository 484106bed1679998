"""The record of one request and its answer, which stages judge and observers count.

Mutable on purpose: one is made per request on the hot path, and each phase writes its own fields.
Times are ticks of the clock in seconds.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from backstay.core.context import ANONYMOUS, Principal
from backstay.core.errors import Fault
from backstay.core.tracing import Span
from backstay.core.web import Headers
from backstay.gateway.settings import RouteSpec, Upstream
from backstay.gateway.wire import Fields

Phase = Literal["", "queue", "connect", "write", "first_byte", "body"]
Framing = Literal["none", "length", "chunked"]
UNMATCHED = "unmatched"
CLIENT_GONE = 499
"""Status in log and metrics of a request whose client left before its answer was whole."""


class Answer(msgspec.Struct, frozen=True):
    """What the gateway itself answers."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: Headers = ()


class Cause(msgspec.Struct, frozen=True):
    """Why an upstream call failed: the class for logs and metrics, and words for people."""

    kind: str
    says: str


class Exchange:
    """One request. `path` is what routes are chosen by, `target` what is passed on."""

    __slots__ = (
        "acquired",
        "admitted",
        "answered",
        "began",
        "body",
        "body_in",
        "body_out",
        "cause",
        "code",
        "complete",
        "debug",
        "ended",
        "expects",
        "extra",
        "fault",
        "fields",
        "first_byte",
        "framing",
        "headers",
        "http10",
        "keep_alive",
        "length",
        "method",
        "named",
        "path",
        "peer",
        "phase",
        "principal",
        "request_id",
        "retried",
        "route",
        "span",
        "status",
        "target",
        "ticket",
        "unjudged",
        "upstream",
        "verdict",
    )

    def __init__(self, method: str, target: bytes, headers: Fields, peer: str, began: float):
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = peer
        self.began = began
        self.fields: Mapping[str, str] = {}
        self.named: frozenset[bytes] = frozenset()
        self.path = ""
        self.http10 = False
        self.keep_alive = True
        self.framing: Framing = "none"
        self.length = 0
        self.expects = False
        # Pieces of the body that arrived and were not passed on yet.
        self.body: list[bytes] = []
        self.body_in = 0
        self.body_out = 0
        self.complete = False
        self.request_id = ""
        self.principal: Principal = ANONYMOUS
        self.debug = False
        # Probes of this process pass without a judgement; header lines for the answer.
        self.unjudged = False
        self.extra = b""
        self.route: RouteSpec | None = None
        self.upstream: Upstream | None = None
        self.admitted = False
        self.ticket = 0
        # With tracing on: the request's span.
        self.span: Span | None = None
        self.verdict: Literal["", "worked", "failed", "unknown"] = ""
        self.fault: Fault | None = None
        self.cause: Cause | None = None
        self.code = ""
        self.phase: Phase = ""
        self.status = 0
        self.answered = False
        self.retried = False
        self.acquired = 0.0
        self.first_byte = 0.0
        self.ended = 0.0

    @property
    def prefix(self) -> str:
        """The route's prefix: the path label of metrics, of bounded cardinality."""
        return self.route.prefix if self.route else UNMATCHED

    def take_body(self) -> bytes:
        """What is not passed on yet, joined; afterwards it counts as passed on."""
        pieces = self.body
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.body_out += len(data)
        pieces.clear()
        return data

    def forget(self) -> None:
        """Let go of what is large: the log may keep the record for a moment longer."""
        self.headers = ()
        self.fields = {}
        self.body.clear()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the body that wait to be passed on."""
        return self.body_in - self.body_out


Decision = Answer | Awaitable[Answer | None] | None
Stage = Callable[[Exchange], Decision]
"""A policy: None lets the request go on, an Answer (or a Fault raised) ends it. What cannot be
decided at once is returned as an awaitable of the same; only such requests cost a task."""

Observer = Callable[[Exchange], None]
"""Told once about each finished exchange."""
