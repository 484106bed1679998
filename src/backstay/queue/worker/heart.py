"""Heartbeats from a thread of their own: a worker whose event loop is blocked keeps its leases.

Keeping and releasing a lease is an entry in a dict; the heart looks at all of them a few times in
each rhythm and extends those that are due, a hundred in a request.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.queue.client import Beat, QueueClient

_log = logging.getLogger("backstay.worker")
_BATCH = 100
_PROGRESS_EVERY = 0.5


class Lease:
    """One lease that is kept. `lost` is called, on the heart's thread, when the queue refuses it;
    `progress` gives what there is to tell, None for nothing."""

    __slots__ = ("due", "id", "lost", "progress", "token")

    def __init__(
        self,
        id: str,
        token: str,
        due: float,
        lost: Callable[[str], None],
        progress: Callable[[], Any],
    ) -> None:
        self.id = id
        self.token = token
        self.due = due
        self.lost = lost
        self.progress = progress

    @property
    def key(self) -> str:
        return self.token or self.id


class Heart:
    """`seconds` is the length of a lease, `rhythm` the time between two heartbeats of one."""

    def __init__(self, seconds: float, rhythm: float, clock: Clock) -> None:
        self._seconds = seconds
        self._rhythm = rhythm
        self._clock = clock
        self._leases: dict[str, Lease] = {}

    def keep(
        self, id: str, token: str, lost: Callable[[str], None], progress: Callable[[], Any]
    ) -> None:
        """Heartbeat until `release`. By token, not by id: a task may come back to the worker that
        has lost it, while what was begun first has not ended."""
        self._leases[token or id] = Lease(
            id, token, self._clock.tick() + self._rhythm, lost, progress
        )

    def release(self, key: str) -> None:
        """`key` is the token of the lease, or the task's id where it has none."""
        self._leases.pop(key, None)

    async def run(self, client: QueueClient) -> None:
        """Until cancelled."""
        look = min(self._rhythm / 4, _PROGRESS_EVERY)
        while True:
            await self._clock.sleep(self._clock.tick() + look)
            try:
                await self.beat(client)
            except Exception:  # noqa: BLE001 - a heart that stops costs every lease
                _log.exception("heartbeats failed on an error of their own")

    async def beat(self, client: QueueClient) -> None:
        """Extend what is due, and tell what there is to tell."""
        now = self._clock.tick()
        due: list[tuple[Lease, Any]] = []
        for lease in self._leases.copy().values():  # the other thread goes on changing it
            told = lease.progress()
            if told is not None or lease.due <= now:
                due.append((lease, told))
        for start in range(0, len(due), _BATCH):
            await self._send(client, due[start : start + _BATCH])

    async def _send(self, client: QueueClient, due: list[tuple[Lease, Any]]) -> None:
        beats = [Beat(lease.id, lease.token, self._seconds, told) for lease, told in due]
        sent = self._clock.tick()
        try:
            answers = await client.batch_heartbeat(beats)
        except Fault as away:
            # The lease may well outlive a restart of the queue: go on trying.
            _log.warning("%d heartbeats failed: %s", len(beats), away.message)
            for lease, _ in due:
                lease.due = sent + self._rhythm / 4
            return
        for (lease, _), refused in zip(due, answers, strict=True):
            lease.due = sent + self._rhythm
            if refused is None or lease.key not in self._leases:
                continue
            if refused.lease_over:
                self._leases.pop(lease.key, None)
                lease.lost(refused.reason)
            else:
                _log.warning("heartbeat of %s was refused: %s", lease.id, refused.reason)


class HeartThread:
    """A daemon thread with an event loop and a client of its own, in which a heart beats."""

    def __init__(self, heart: Heart, connect: Callable[[], QueueClient]) -> None:
        self._heart = heart
        self._connect = connect
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="codeq-heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; leases are kept no longer."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._beat())
        finally:
            self._loop.close()

    async def _beat(self) -> None:
        async with self._connect() as client:
            beating = asyncio.ensure_future(self._heart.run(client))
            await self._ended.wait()
            beating.cancel()
