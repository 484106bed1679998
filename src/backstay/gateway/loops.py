"""Background work of the gateway: surplus connections are closed while nobody asks."""

import asyncio
from collections.abc import Sequence

from backstay.core.clock import Clock
from backstay.gateway.pool import Pool

EVERY = 5.0


class Housekeeping:
    """A Loop."""

    name = "housekeeping"

    def __init__(self, pools: Sequence[Pool], clock: Clock) -> None:
        self.wake = asyncio.Event()
        self._pools = pools
        self._clock = clock

    async def step(self) -> float | None:
        """Close connections that were idle for too long."""
        for pool in self._pools:
            pool.prune()
        return self._clock.tick() + EVERY
