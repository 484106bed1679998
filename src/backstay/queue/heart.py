"""Heartbeats from a thread of their own: a worker whose event loop is blocked keeps its lease."""

import asyncio
import logging
import threading
from collections.abc import Callable

import msgspec

from backstay.core.errors import Fault
from backstay.queue.client import QueueClient, Refused

_log = logging.getLogger("backstay.worker")


class Pulse(msgspec.Struct, eq=False):
    """One lease that is kept. `lost` is called, on the heart's thread, when the queue refuses it;
    `every` and `seconds` are the rhythm and the length of the lease."""

    id: str
    token: str
    seconds: float
    every: float
    lost: Callable[[str], None]
    task: "asyncio.Task[None] | None" = None


class Heart:
    """A daemon thread with an event loop and a client of its own."""

    def __init__(self, connect: Callable[[], QueueClient]) -> None:
        self._connect = connect
        self._loop = asyncio.new_event_loop()
        self._client: QueueClient | None = None
        self._thread = threading.Thread(target=self._run, name="backstay-heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def keep(self, pulse: Pulse) -> None:
        """Heartbeat until `release`."""
        self._loop.call_soon_threadsafe(self._begin, pulse)

    def release(self, pulse: Pulse) -> None:
        self._loop.call_soon_threadsafe(self._end, pulse)

    def stop(self) -> None:
        """End the thread; leases are kept no longer."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        if self._client is not None:
            self._loop.run_until_complete(self._client.close())
        self._loop.close()

    def _begin(self, pulse: Pulse) -> None:
        if self._client is None:
            self._client = self._connect()
        pulse.task = self._loop.create_task(self._beat(self._client, pulse))

    def _end(self, pulse: Pulse) -> None:
        if pulse.task is not None:
            pulse.task.cancel()

    async def _beat(self, client: QueueClient, pulse: Pulse) -> None:
        while True:
            await asyncio.sleep(pulse.every)
            try:
                await client.heartbeat(pulse.id, pulse.token, pulse.seconds)
            except Refused as refused:
                if refused.lease_over:
                    pulse.lost(refused.message)
                    return
                _log.warning("heartbeat of %s was refused: %s", pulse.id, refused.message)
            except Fault as away:
                # The lease may well outlive a restart of the queue: go on trying.
                _log.warning("heartbeat of %s failed: %s", pulse.id, away.message)
