"""Token buckets on the monotonic clock: how much is still allowed, and when more will be."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from backstay.core.clock import Clock

Caller = TypeVar("Caller", bound=Hashable)

CALLERS = 10_000
"""So many callers have a bucket of their own, unless somebody says another number."""


class TokenBucket:
    """Admits `rate` units a second on average and `burst` at once.

    Not for several threads; one event loop owns it.
    """

    def __init__(self, clock: Clock, rate: float, burst: float) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError(f"rate {rate} and burst {burst} must both be above 0")
        self._clock = clock
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = clock.tick()

    def take(self, units: float = 1.0) -> float:
        """0.0 when `units` were taken, else the seconds until they could be; then nothing is taken.

        More than `burst` can never be admitted: ValueError, a caller's mistake.
        """
        if units > self.burst:
            raise ValueError(f"{units} units can never pass a burst of {self.burst}")
        self._refill()
        if self._level >= units:
            self._level -= units
            return 0.0
        return (units - self._level) / self.rate

    def remaining(self) -> float:
        """Units that could be taken now."""
        self._refill()
        return self._level

    def _refill(self) -> None:
        tick = self._clock.tick()
        self._level = min(self.burst, self._level + (tick - self._at) * self.rate)
        self._at = tick


class CallerBuckets(Generic[Caller]):
    """A bucket for each caller, in bounded memory. Nothing fails open: when more callers come than
    are remembered, those whose bucket is not full keep theirs and the newcomers share one."""

    def __init__(self, clock: Clock, rate: float, burst: float, callers: int = CALLERS) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._callers = callers
        # The one who asked longest ago stands in front.
        self._buckets: OrderedDict[Caller, TokenBucket] = OrderedDict()
        self._shared = self._fresh()

    def of(self, caller: Caller) -> TokenBucket:
        """The caller's own bucket, or the one of newcomers."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            return self._enter(caller)
        self._buckets.move_to_end(caller)
        return bucket

    def _enter(self, caller: Caller) -> TokenBucket:
        if len(self._buckets) >= self._callers:
            oldest, idle = next(iter(self._buckets.items()))
            # A bucket that has filled up again is as good as forgotten.
            if idle.remaining() < idle.burst:
                return self._shared
            del self._buckets[oldest]
        return self._buckets.setdefault(caller, self._fresh())

    def _fresh(self) -> TokenBucket:
        return TokenBucket(self._clock, self._rate, self._burst)
