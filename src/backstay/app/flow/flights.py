"""Calls under way in this process: known by a key, waited for or cut off when it stops."""

import asyncio
from collections.abc import Coroutine

from backstay.core.clock import Clock


class Flights:
    """Tasks by key; each takes itself out when it ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def start(self, key: str, work: Coroutine[object, object, None], name: str) -> None:
        self.tasks[key] = asyncio.create_task(work, name=name)

    def end(self, key: str) -> None:
        """The task of this key says that it is over."""
        del self.tasks[key]

    async def landed(self) -> None:
        """Wait for the end of every call under way."""
        while self.tasks:
            await asyncio.wait(list(self.tasks.values()))

    async def drain(self, seconds: float) -> None:
        """Let them end for `seconds`, then cut them off."""
        end = self._clock.tick() + seconds
        while self.tasks and self._clock.tick() < end:
            pause = asyncio.ensure_future(self._clock.sleep(end))
            await asyncio.wait({pause, *self.tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
        for task in list(self.tasks.values()):
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
