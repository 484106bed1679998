"""Time, ids and dice that a test owns. Shipped, because users test their workers with them too."""

import asyncio
import heapq


class VirtualClock:
    """A clock that stands still until `advance`. Wall and monotonic time can be moved apart."""

    def __init__(self, now: float = 1_750_000_000.0, tick: float = 1000.0) -> None:
        self._now = now
        self._tick = tick
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> float:
        return self._now

    def tick(self) -> float:
        return self._tick

    async def sleep(self, until_tick: float) -> None:
        if until_tick <= self._tick:
            await asyncio.sleep(0)
            return
        self._order += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (until_tick, self._order, woken))
        await woken

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as an administrator or NTP would."""
        self._now += seconds

    def advance_now(self, seconds: float) -> None:
        """Move both clocks without an event loop: for synchronous tests."""
        self._now += seconds
        self._tick += seconds

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass; sleepers wake in the order of their times."""
        end = self._tick + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            until, _, woken = heapq.heappop(self._sleepers)
            self.advance_now(max(0.0, until - self._tick))
            if not woken.done():
                woken.set_result(None)
            await _settle()
        self.advance_now(end - self._tick)
        await _settle()


class CountingIds:
    """`id-000001`, `id-000002`, …: readable in a failing test, ordered like the real ones."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count:06d}"


class FixedDice:
    """Always the same share of the interval: 0.0 gives `low`, 1.0 gives `high`."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share


async def _settle() -> None:
    # Enough turns of the loop for a woken task to run up to its next wait.
    for _ in range(20):
        await asyncio.sleep(0)
