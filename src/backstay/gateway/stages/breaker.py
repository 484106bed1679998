"""An upstream that fails is left alone for a while; a bounded number of requests tries it again.

Only `unary` routes feed a breaker (decision 4): a long poll that ends in silence says nothing.
"""

from collections.abc import Mapping

from backstay.core.breaker import Breaker
from backstay.core.errors import Fault
from backstay.gateway.errors import BREAKER_OPEN
from backstay.gateway.exchange import Exchange


class BreakerStage:
    """A Stage that admits, and the Observer that tells the breaker how it ended."""

    def __init__(self, breakers: Mapping[str, Breaker]) -> None:
        self._breakers = breakers

    def __call__(self, exchange: Exchange) -> None:
        if exchange.upstream is None or exchange.route is None:
            return
        breaker = self._breakers[exchange.upstream.name]
        # Where there are only long polls, half-open must let them pass: nobody else would probe.
        if exchange.route.kind != "unary" and breaker.state != "open":
            return
        try:
            exchange.ticket = breaker.admit()
            exchange.admitted = True
        except Fault as rejected:
            exchange.phase = "queue"
            raise Fault(
                BREAKER_OPEN,
                upstream=breaker.target,
                phase="queue",
                failures=rejected.values["failures"],
                reason=rejected.values["reason"],
                retry_after=rejected.values["retry_after"],
            ) from rejected

    def observe(self, exchange: Exchange) -> None:
        """Exactly one outcome for each admitted request."""
        if not exchange.admitted or exchange.upstream is None:
            return
        breaker = self._breakers[exchange.upstream.name]
        if exchange.verdict == "worked":
            breaker.succeed(exchange.ticket)
        elif exchange.verdict == "failed":
            cause = exchange.cause
            says = f"{cause.kind} ({exchange.phase}): {cause.says}" if cause else "it failed"
            breaker.fail(exchange.ticket, says)
        else:
            breaker.abandon(exchange.ticket)
