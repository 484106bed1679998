"""How much one caller may ask: a token bucket per principal, or per peer where nobody is known.

Per gateway process (G12): with several replicas each counts alone.
"""

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.limits import CallerBuckets, TokenBucket
from backstay.core.metrics import Counter
from backstay.gateway.errors import RATE_LIMITED
from backstay.gateway.exchange import Exchange


class RateLimit:
    """A Stage, and the `RateLimit-*` headers of what it let through (G23)."""

    def __init__(self, clock: Clock, rate: float, burst: int, refused: Counter) -> None:
        self._rate = rate
        self._burst = burst
        self._refused = refused
        self._buckets: CallerBuckets[tuple[str, str]] = CallerBuckets(clock, rate, float(burst))

    def __call__(self, exchange: Exchange) -> None:
        if exchange.upstream is None:
            return
        bucket = self._bucket(exchange)
        wait = bucket.take()
        left = int(bucket.remaining())
        reset = (self._burst - bucket.remaining()) / self._rate
        exchange.extra = (
            b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n"
            % (self._burst, left, -(-reset // 1))
        )
        if wait > 0:
            self._refused.inc(exchange.prefix)
            raise Fault(
                RATE_LIMITED,
                rate=self._rate,
                burst=self._burst,
                who=exchange.principal.sub or exchange.peer or "this peer",
                retry_after=max(1, int(-(-wait // 1))),
            )

    def _bucket(self, exchange: Exchange) -> TokenBucket:
        who = exchange.principal
        known = who.kind not in ("anonymous", "local")
        caller = (who.tenant, who.sub) if known else ("", exchange.peer)
        return self._buckets.of(caller)
