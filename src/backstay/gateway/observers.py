"""What a finished request leaves behind: numbers at once, a log line a moment later."""

import asyncio
from collections.abc import Mapping

import structlog

from backstay.core.clock import Clock
from backstay.core.errors import Plain
from backstay.core.metrics import Registry, RequestMeter
from backstay.gateway.exchange import Exchange

_log = structlog.get_logger("http")
SLOW = 5.0
"""Seconds from which a unary request is logged as slow with its phases (G7)."""
FLUSH_EVERY = 0.2
BATCH = 500
_PATH = 1024


class Counting:
    """An Observer that counts."""

    def __init__(self, registry: Registry) -> None:
        self._meter = RequestMeter(registry)
        self._failures = registry.counter("gateway_upstream_failures_total")
        self._first_byte = registry.histogram("gateway_upstream_first_byte_seconds")
        self._retries = registry.counter("gateway_upstream_retries_total")
        self._slow = registry.counter("gateway_slow_requests_total")

    def __call__(self, exchange: Exchange) -> None:
        took = exchange.ended - exchange.began
        self._meter.answered(exchange.method, exchange.prefix, exchange.status, took)
        upstream, route = exchange.upstream, exchange.route
        if upstream is None or route is None:
            return
        if exchange.retried:
            self._retries.inc(upstream.name)
        if exchange.verdict == "failed" and exchange.cause is not None:
            self._failures.inc(upstream.name, exchange.cause.kind, exchange.phase)
        if route.kind == "unary":
            if exchange.first_byte:
                waited = exchange.first_byte - exchange.acquired
                self._first_byte.observe(upstream.name, value=waited)
            if took > SLOW:
                self._slow.inc(route.prefix)


class AccessLog:
    """An Observer that keeps finished requests, and a Loop that writes their lines.

    Errors are written at once: whoever looks for one must find it.
    """

    name = "access log"

    def __init__(self, clock: Clock) -> None:
        self.wake = asyncio.Event()
        self._clock = clock
        self._waiting: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        # `not ready` is an answer, not a failure: a probe must not fill the log with errors.
        if exchange.status >= 500 and (exchange.code or exchange.upstream is not None):
            _log.error("http request", **facts_of(exchange))
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= BATCH:
            self.flush()
        elif len(self._waiting) == 1:
            self.wake.set()

    async def step(self) -> float | None:
        """Write what has gathered; the first line of a batch waits at most `FLUSH_EVERY`."""
        if not self._waiting:
            return None
        await self._clock.sleep(self._clock.tick() + FLUSH_EVERY)
        self.flush()
        return None

    def flush(self) -> None:
        """Write everything now."""
        batch, self._waiting = self._waiting, []
        for exchange in batch:
            _log.info("http request", **facts_of(exchange))


def facts_of(exchange: Exchange) -> Mapping[str, Plain]:
    """The keys of decision 13; durations in milliseconds."""
    took = exchange.ended - exchange.began
    facts: dict[str, Plain] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": exchange.path[:_PATH],
        "status": exchange.status,
        "duration": _ms(took),
    }
    if exchange.principal.sub:
        facts["user_id"] = exchange.principal.sub
    if exchange.upstream is not None:
        facts["upstream"] = exchange.upstream.name
        facts |= _phases(exchange)
    if exchange.code:
        facts["code"] = exchange.code
    if exchange.cause is not None:
        facts["cause"] = exchange.cause.kind
        facts["reason"] = exchange.cause.says
        facts["phase"] = exchange.phase
    if took > SLOW and exchange.route is not None and exchange.route.kind == "unary":
        facts["slow"] = True
    return facts


def _phases(exchange: Exchange) -> dict[str, Plain]:
    """How long each phase of the upstream call took, as far as it came."""
    if not exchange.acquired:
        return {}
    phases: dict[str, Plain] = {"connect_ms": _ms(exchange.acquired - exchange.began)}
    if exchange.first_byte:
        phases["first_byte_ms"] = _ms(exchange.first_byte - exchange.acquired)
        phases["body_ms"] = _ms(exchange.ended - exchange.first_byte)
    return phases


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
