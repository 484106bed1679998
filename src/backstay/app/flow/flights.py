"""Calls under way in this process: begun, waited for, and at the end given their time.

All of it may be lost at any moment; what is known of a call beyond that stands in the database.
"""

import asyncio
from collections.abc import Awaitable, Callable

from backstay.core.clock import Clock


class Flights:
    """Each call by its key. `ended` hears of every end, however it came."""

    def __init__(self, clock: Clock, ended: Callable[[], None]) -> None:
        self._clock = clock
        self._ended = ended
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self._tasks)

    def begin(self, key: str, call: Callable[[], Awaitable[None]], name: str) -> None:
        """Let it go; nobody waits here."""
        self._tasks[key] = asyncio.create_task(self._fly(key, call), name=name)

    async def landed(self) -> None:
        """Wait for the end of every call under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def drain(self, seconds: float) -> None:
        """Let calls under way end for `seconds`, then cut them off."""
        end = self._clock.tick() + seconds
        while self._tasks and self._clock.tick() < end:
            pause = asyncio.ensure_future(self._clock.sleep(end))
            await asyncio.wait({pause, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _fly(self, key: str, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        finally:
            del self._tasks[key]
            self._ended()
