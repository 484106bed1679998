"""Epoch time that does not jump: the wall clock as read once at start, carried on by the ticks.

Timers, deadlines and leases are stored as epoch seconds, because they must outlive the process,
but they must not end when an administrator or NTP moves the wall clock (decision 6).
"""

import structlog

from backstay.core.clock import Clock

_log = structlog.get_logger("app.flow")
_JUMP = 5.0


class Steady:
    """`now()` may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = clock.now() - clock.tick()
        self._told = 0.0

    def now(self) -> float:
        """Epoch seconds of this process's own counting."""
        return self._base + self._clock.tick()

    def tick_of(self, epoch: float) -> float:
        """The tick at which `now()` will be `epoch`."""
        return epoch - self._base

    def watch(self) -> None:
        """Log a jump of the wall clock, once for each."""
        apart = self._clock.now() - self.now()
        if abs(apart - self._told) > _JUMP:
            _log.warning("the wall clock jumped; running timers keep their time", seconds=apart)
            self._told = apart
