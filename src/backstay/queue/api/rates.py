"""How often one caller may ask: a token bucket per caller and side, in bounded memory.

A batch counts as one request, as in codeQ. Nothing fails open: when more callers come than are
remembered, those whose bucket is not idle keep theirs and the newcomers share one.
"""

from collections.abc import Callable, Mapping

import msgspec

from backstay.core.clock import Clock
from backstay.core.context import Principal, RequestContext
from backstay.core.errors import Fault, problem
from backstay.core.limits import CALLERS, CallerBuckets
from backstay.core.web import Response
from backstay.queue.errors import RATE_LIMITED

Caller = tuple[str, str, str]


class Rate(msgspec.Struct, frozen=True):
    """0 in either means no limit, as in codeQ."""

    requests_per_minute: float = 0
    burst: float = 0

    @property
    def bounded(self) -> bool:
        return self.requests_per_minute > 0 and self.burst > 0


class RateLimits:
    """The limits of this server by side (producer, worker, admin). `hit` is told of refusals."""

    def __init__(
        self,
        rates: Mapping[str, Rate],
        clock: Clock,
        hit: Callable[[str, str], None],
        callers: int = CALLERS,
    ) -> None:
        self._sides = {
            side: _buckets(rate, clock, callers) for side, rate in rates.items() if rate.bounded
        }
        self._hit = hit

    def refusal(self, side: str, operation: str, ctx: RequestContext) -> Response | None:
        """None when the caller may go on; else the answer: 429, with when to come back."""
        limited = self._sides.get(side)
        seconds = limited.of(_caller(ctx.principal)).take() if limited else 0.0
        if not seconds:
            return None
        self._hit(side, operation)
        after = max(1, -int(-seconds // 1))
        fault = Fault(RATE_LIMITED, scope=side, operation=operation, retry_after=after)
        told = msgspec.to_builtins(problem(fault, ctx))
        # The three fields by which codeQ's clients know it.
        told |= {"scope": side, "operation": operation, "retryAfterSeconds": after}
        return Response(
            status=429,
            body=msgspec.json.encode(told),
            content_type=b"application/problem+json",
            headers=[(b"retry-after", str(after).encode())],
        )


def _buckets(rate: Rate, clock: Clock, callers: int) -> CallerBuckets[Caller]:
    return CallerBuckets(clock, rate.requests_per_minute / 60.0, max(1.0, rate.burst), callers)


def _caller(principal: Principal) -> Caller:
    return principal.kind, principal.tenant, principal.sub
