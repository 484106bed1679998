"""Results out and new work in by one request, where the queue knows that call.

A worker that is busy ends as many tasks as it has room for: to tell of them and to ask anew would
be two requests, two commits and two wake-ups of the queue.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from backstay.core.clock import Ids
from backstay.queue.api.wire import TaskView
from backstay.queue.client import Ended, QueueClient, Refused

BATCH = 100
_UNKNOWN = frozenset({403, 404, 405})
_TOO_LARGE = 413


class Places(Protocol):
    """Where new work goes; `shift.Shift` is the one in use."""

    def take_room(self, most: int) -> int: ...
    def give_room(self, places: int) -> None: ...
    def begin(self, tasks: Sequence[TaskView], request_id: str) -> None: ...
    def hand_back(self, tasks: Sequence[TaskView]) -> None: ...


class Exchange:
    """`stopping` says that no more work is wanted. `known` is false once the queue has said that it
    does not exchange, or not with this worker: then it is told and asked by itself."""

    def __init__(
        self,
        client: QueueClient,
        places: Places,
        commands: Sequence[str],
        lease: float,
        stopping: asyncio.Event,
        ids: Ids,
    ) -> None:
        self._client = client
        self._places = places
        self._commands = commands
        self._lease = lease
        self._stopping = stopping
        self._ids = ids
        self.known = True

    def take(self) -> int:
        """Places that work is asked for with the next results; given back by `submit`."""
        return self._places.take_room(BATCH) if self.known and not self._stopping.is_set() else 0

    async def submit(self, results: Sequence[Ended], room: int) -> Sequence[Refused | None]:
        """Tell of `results`, and begin up to `room` tasks. What the queue answers to each result,
        as `QueueClient.batch_submit_results` does."""
        if not room:
            return await self._client.batch_submit_results(results)
        try:
            return await self._both(results, room)
        except Refused as no:
            if no.status == _TOO_LARGE:
                raise
            # Too many claims, say: that must not hold up the results.
            self.known = self.known and no.status not in _UNKNOWN
        finally:
            self._places.give_room(room)
        return await self._client.batch_submit_results(results)

    async def _both(self, results: Sequence[Ended], room: int) -> Sequence[Refused | None]:
        request_id = self._ids.new()
        answers, tasks = await self._client.exchange(
            results, room, self._commands, lease_seconds=self._lease, request_id=request_id
        )
        if self._stopping.is_set():
            self._places.hand_back(tasks)
        else:
            self._places.begin(tasks, request_id)
        return answers
