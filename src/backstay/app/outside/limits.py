"""`rate_limit: 100 per 1m` of an integration: how long a call has to wait for its turn."""

from backstay.core.clock import Clock
from backstay.lang.program import Rate


class RateLimit:
    """A bucket that holds the calls of one stretch of time and fills evenly."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._full = float(max(1, rate.count))
        self._left = self._full
        self._at = clock.tick()

    def take(self, patience: float) -> float:
        """Seconds until this call may go, which are booked for it. When they are more than
        `patience`, nothing is booked: the caller has to come back."""
        tick = self._clock.tick()
        each = self._rate.seconds / self._full
        if each > 0:
            self._left = min(self._full, self._left + (tick - self._at) / each)
        else:
            self._left = self._full
        self._at = tick
        wait = max(0.0, (1.0 - self._left) * each)
        if wait <= patience:
            self._left -= 1.0
        return wait
