"""What all connections of one gateway share: stages, observers, pools, limits, who is connected.

Built once by `service.py`; the connections only read it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Protocol

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.core.context import RequestContext
from backstay.core.errors import Fault, problem
from backstay.gateway.errors import BREAKER_OPEN, DRAINING, OWN_FAULT, TOO_MANY_CONNECTIONS
from backstay.gateway.exchange import Answer, Cause, Exchange, Observer, Stage
from backstay.gateway.pool import Pool
from backstay.gateway.relay import Client, Relay, Timeouts

_log = structlog.get_logger("gateway")
_RETRY_AFTER = 1
_CAUSES = {
    BREAKER_OPEN.code: "breaker_open",
    DRAINING.code: "draining",
    TOO_MANY_CONNECTIONS.code: "overload",
}


class ClientLimits(msgspec.Struct, frozen=True):
    """What one client, and all together, may take up. Times in seconds."""

    connections: int = 2048
    header_bytes: int = 65_536
    headers: int = 128
    header_timeout: float = 10.0
    keep_alive_timeout: float = 60.0


class Connection(Protocol):
    """What the gate needs of a client's connection."""

    def let_finish(self) -> None: ...
    def end(self) -> None: ...


def waiting_pool(upstream: str) -> str:
    """The name of the pool for an upstream's `long` and `stream` routes."""
    return f"{upstream}:waiting"


class Gate:
    """One per gateway. `pools` has a pool for each upstream of the routes, and a `waiting_pool` for
    those with routes that are not unary."""

    def __init__(
        self,
        clock: Clock,
        limits: ClientLimits,
        timeouts: Timeouts,
        stages: Sequence[Stage],
        observers: Sequence[Observer],
        pools: Mapping[str, Pool],
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.stages = tuple(stages)
        self.draining = False
        self.connections: set[Connection] = set()
        self.in_flight = 0
        self.empty = asyncio.Event()
        self.empty.set()
        self._timeouts = timeouts
        self._observers = tuple(observers)
        self._pools = pools
        self._date = (0, b"")

    def enter(self, connection: Connection) -> Fault | None:
        """A client has connected. The Fault says why it cannot be served."""
        self.connections.add(connection)
        self.empty.clear()
        if self.draining:
            return Fault(DRAINING, retry_after=_RETRY_AFTER)
        if len(self.connections) > self.limits.connections:
            limit = self.limits.connections
            return Fault(TOO_MANY_CONNECTIONS, limit=limit, retry_after=_RETRY_AFTER)
        return None

    def leave(self, connection: Connection) -> None:
        """A client's connection is closed."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    def begin(self, exchange: Exchange) -> None:
        """A request is about to be judged."""
        self.in_flight += 1
        if self.draining:
            exchange.keep_alive = False

    def observe(self, exchange: Exchange) -> None:
        """A request has ended, however it did."""
        self.in_flight -= 1
        exchange.ended = self.clock.tick()
        for observer in self._observers:
            try:
                observer(exchange)
            except Exception:  # noqa: BLE001 - a counter must not break a connection
                _log.exception("observer failed", request_id=exchange.request_id)
        exchange.forget()

    def relay(self, client: Client, exchange: Exchange) -> Relay:
        """The way to the upstream that the stages have chosen."""
        if exchange.upstream is None:
            raise Fault(OWN_FAULT)
        name = exchange.upstream.name
        unary = exchange.route is None or exchange.route.kind == "unary"
        pool = self._pools[name if unary else waiting_pool(name)]
        return Relay(client, exchange, pool, self._timeouts)

    def refusal(self, exchange: Exchange, fault: Fault) -> Answer:
        """A Fault as problem JSON, with the headers its status wants."""
        exchange.code = fault.entry.code
        if exchange.cause is None and fault.entry.status >= 500:
            kind = _CAUSES.get(fault.entry.code, "refused_here")
            exchange.cause = Cause(kind, fault.message)
        headers: list[tuple[bytes, bytes]] = []
        for value, header in ((b"retry_after", b"retry-after"), (b"allowed", b"allow")):
            given = fault.values.get(value.decode())
            if given is not None:
                headers.append((header, str(given).encode("latin-1")))
        if fault.entry.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        context = RequestContext(exchange.request_id, exchange.principal)
        return Answer(
            status=fault.entry.status,
            body=msgspec.json.encode(problem(fault, context)),
            content_type=b"application/problem+json",
            headers=headers,
        )

    def date(self) -> bytes:
        """The value of a Date header, made once a second."""
        second = int(self.clock.now())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]
