"""The time leases are judged by when several servers share a store.

Each server counts on its own monotonic clock, begun at the store's time, so all count alike and no
wall clock that jumps, neither a server's nor the store's, ends a lease: a server that sees the
store's clock jump has the difference written down, and the others follow it (`lua/clock.lua`).
"""

import structlog

from backstay.core.clock import Clock
from backstay.queue.store.lua import CLOCK as SCRIPT
from backstay.queue.store.redis_layout import CLOCK
from backstay.queue.store.redis_link import Link

_log = structlog.get_logger("queue.redis")

JUMP = 2.0
"""Seconds; what is less is drift, and is followed."""


class LeaseClock:
    """Epoch-like seconds that only go forward by elapsed time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base: float | None = None

    def now(self) -> float:
        return (self._base or 0.0) + self._clock.tick()

    async def sync(self, link: Link) -> None:
        """Compare with the store; begin at its time when called first."""
        sent = self._clock.tick()
        mine = "" if self._base is None else f"{self._base + sent:.6f}"
        told, jumped = await link.read(SCRIPT, [CLOCK], mine, str(JUMP))
        # Half of the way there and back: the time was told in the middle.
        middle = (sent + self._clock.tick()) / 2
        self._base = float(told) - middle
        if jumped:
            _log.warning("the store's clock jumped", address=link.address.shown)
