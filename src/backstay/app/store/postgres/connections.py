"""The connections of one process: opened when they are needed, at most so many, waited for at most
so long. The one that was used last is used next, so that a quiet server keeps few of them warm.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from backstay.app.store.errors import EXHAUSTED
from backstay.app.store.postgres.link import Link
from backstay.app.store.session import PoolStats
from backstay.core.errors import Fault

Waiter = asyncio.Future[Link | None]


class Connections:
    """Belongs to one event loop. `wait` is seconds."""

    def __init__(self, connect: Callable[[], Awaitable[Link]], most: int, wait: float) -> None:
        self._connect = connect
        self._most = most
        self._wait = wait
        self._idle: list[Link] = []
        self._open = 0
        self._waiting: deque[Waiter] = deque()
        self._closed = False

    async def take(self) -> Link:
        """A connection of one's own until `give` or `drop`. Raises APP041 after `wait` seconds, and
        what connecting raises."""
        while True:
            while self._idle:
                link = self._idle.pop()
                if not link.closed:
                    return link
                self._open -= 1
            if self._open < self._most:
                return await self._opened()
            given = await self._queued()
            if given is not None:
                return given

    def give(self, link: Link) -> None:
        """It is no longer used, and in no transaction."""
        if link.closed or self._closed:
            self.drop(link)
        elif not self._hand(link):
            self._idle.append(link)

    def drop(self, link: Link) -> None:
        """It is not to be used again."""
        link.cut()
        self._open -= 1
        self._hand(None)

    def drop_idle(self) -> None:
        """What waits for use is suspected to be dead."""
        while self._idle:
            self.drop(self._idle.pop())

    def stats(self) -> PoolStats:
        """The numbers now."""
        idle = len(self._idle)
        return PoolStats(self._most, self._open, self._open - idle, idle)

    async def close(self, seconds: float) -> None:
        """Close what is idle; what is in use is cut when it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        self._open -= len(idle)
        await asyncio.gather(*(link.close(seconds) for link in idle), return_exceptions=True)

    async def _opened(self) -> Link:
        self._open += 1
        try:
            return await self._connect()
        except BaseException:
            self._open -= 1
            self._hand(None)
            raise

    async def _queued(self) -> Link | None:
        """What somebody gave back, None when there is room for a new connection."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._wait):
                return await waiter
        except TimeoutError:
            self._decline(waiter)
            raise Fault(EXHAUSTED, seconds=f"{self._wait:g}", most=self._most) from None
        except BaseException:
            self._decline(waiter)
            raise

    def _decline(self, waiter: Waiter) -> None:
        """Whoever waited is gone; what came for it at that very moment goes to the next."""
        if waiter.done() and not waiter.cancelled():
            link = waiter.result()
            if link is None:
                self._hand(None)
            else:
                self.give(link)
        waiter.cancel()

    def _hand(self, link: Link | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(link)
                return True
        return False
