"""Token buckets on the monotonic clock: how much is still allowed, and when more will be."""

from backstay.core.clock import Clock


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
