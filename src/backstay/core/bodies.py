"""The bodies of requests, bounded in size and in time.

A body that drips in byte by byte holds one of the connections a face can serve; enough of them and
nobody else is served. So each has a deadline, which moves with what arrives. One timer looks after
all of them: one of its own would cost every request 2 µs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.web_errors import BODY_CUT, BODY_TOO_LARGE, BODY_TOO_SLOW

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_SECONDS = 30.0
"""Longest time a body may take, and one second more for each `BODY_RATE` bytes of it."""
BODY_RATE = 65_536
_SPILL_BYTES = 32 * 1024 * 1024
_SPILL_SECONDS = 2.0


class Bodies:
    """Reads bodies for one face."""

    def __init__(self, clock: Clock, seconds: float = BODY_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._looking = False
        self.waited = 0.0
        """Seconds that the bodies so far took to come, where there was one."""

    async def read(
        self, receive: Receive, headers: Mapping[str, str], limit: int, path: str, began: float
    ) -> bytes:
        """The whole body of a request that began at this tick. Raises CORE103 for one of more than
        `limit` bytes, CORE112 for one that ends early, CORE113 for one that takes too long."""
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            raise Fault(BODY_TOO_LARGE, limit=limit, path=path)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is read in a task")
        start = self._clock.tick()
        self._ends[task] = began + self._seconds
        if not self._looking:
            self._look()
        try:
            return await self._parts(task, receive, limit, path)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise Fault(BODY_TOO_SLOW, seconds=self._seconds, path=path) from None
        finally:
            if announced != "0" or "transfer-encoding" in headers:
                self.waited += self._clock.tick() - start
            self._late.discard(task)
            del self._ends[task]

    async def _parts(
        self, task: asyncio.Task[Any], receive: Receive, limit: int, path: str
    ) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Fault(BODY_CUT, size=size, path=path)
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise Fault(BODY_TOO_LARGE, limit=limit, path=path)
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)
            self._ends[task] += len(part) / BODY_RATE

    def _look(self) -> None:
        """End what is late; come again while there is something to look after."""
        now = self._clock.tick()
        for task, end in self._ends.items():
            if now >= end and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looking = bool(self._ends)
        if self._looking:
            asyncio.get_running_loop().call_later(self._seconds / 8, self._look)


async def spill(receive: Receive, headers: Mapping[str, str]) -> None:
    """Take what is left of a refused request's body: closing a connection with bytes unread breaks
    the pipe under the sender, which then may never see why it was refused."""
    if "expect" in headers or not ("content-length" in headers or "transfer-encoding" in headers):
        return
    left = _SPILL_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_SPILL_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
