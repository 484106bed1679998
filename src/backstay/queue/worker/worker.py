"""The worker: asks for as much work as it has room for, and ends in good order."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, TypeVar

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, Dice, SystemClock, SystemDice, Uuid7
from backstay.core.errors import Fault
from backstay.queue.client import QueueClient
from backstay.queue.errors import WORKER_WITHOUT_TASKS
from backstay.queue.worker.claiming import Claiming
from backstay.queue.worker.functions import Function, read
from backstay.queue.worker.heart import Heart, HeartThread
from backstay.queue.worker.settings import WorkerSettings, settings_from_env
from backstay.queue.worker.shift import Shift

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
F = TypeVar("F", bound=Callable[..., Any])

# Seconds to tell the queue what is handed back, when there is no time to lose.
_HURRIED = 2.0


class Worker:
    """Serves commands until it is told to stop. `connect` makes a client; the event loop and the
    heartbeat thread have one each. Without `threads`, for tests, all is done in the event loop."""

    def __init__(
        self,
        connect: Callable[[], QueueClient],
        settings: WorkerSettings | None = None,
        *,
        clock: Clock | None = None,
        dice: Dice | None = None,
        threads: bool = True,
    ) -> None:
        self._connect = connect
        self._settings = settings or WorkerSettings()
        self._clock = clock or SystemClock()
        self._dice = dice or SystemDice()
        self._threads = threads
        self._functions: dict[str, Function] = {}
        self._stopping: asyncio.Event | None = None
        self._hurry: asyncio.Event | None = None

    @classmethod
    def from_env(cls, settings: WorkerSettings | None = None) -> "Worker":
        """CODEQ_BASE_URL, CODEQ_WORKER_TOKEN, CODEQ_CONCURRENCY, CODEQ_LEASE_SECONDS,
        CODEQ_GRACE_SECONDS."""
        # What the worker repeats it repeats with better knowledge than its client.
        return cls(lambda: QueueClient.from_env(retries=0), settings or settings_from_env())

    def moved(self, connect: Callable[[], QueueClient], clock: Clock, dice: Dice) -> "Worker":
        """The same functions and settings on another queue, at another time, without threads."""
        other = Worker(connect, self._settings, clock=clock, dice=dice, threads=False)
        other._functions = self._functions
        return other

    def task(
        self, command: str, *, retry: Backoff | None = None, timeout: float = 0.0
    ) -> Callable[[F], F]:
        """Register a function for a command; `*` is any other.

        It gets the payload, decoded to its annotation (a msgspec Struct, a dataclass, a pydantic
        model, anything without one), and a `Job` if it takes two parameters; it returns what
        becomes the result. A coroutine function runs in the event loop and is cancelled after
        `timeout` seconds; a plain one runs in a thread. `retry` is the delay before the next try
        of a failed one, the server's policy unless given.
        """

        def register(function: F) -> F:
            self._functions[command] = read(function, retry, timeout)
            return function

        return register

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what runs; a second signal hands it back at
        once. Raises QUEUE050 without tasks."""
        asyncio.run(self.serve(signals=True))

    def stop(self) -> None:
        """From the worker's own event loop: take no more, finish what runs. Twice: at once."""
        if self._stopping is None or self._hurry is None:
            return
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def _end(self) -> None:
        self.stop()
        self.stop()

    async def serve(self, *, signals: bool = False) -> None:
        """As `run`, inside a running event loop."""
        if not self._functions:
            raise Fault(WORKER_WITHOUT_TASKS)
        stopping, hurry = asyncio.Event(), asyncio.Event()
        self._stopping, self._hurry = stopping, hurry
        loop = asyncio.get_running_loop()
        heard = _SIGNALS if signals else ()
        for number in heard:
            loop.add_signal_handler(number, self.stop)
        client = self._connect()
        heart = Heart(self._settings.lease, self._settings.rhythm, self._clock)
        ids = Uuid7(self._clock)
        shift = Shift(
            client,
            heart,
            self._functions,
            self._settings,
            self._clock,
            self._dice,
            stopping=stopping,
            ids=ids,
            threads=self._threads,
        )
        claiming = Claiming(
            client,
            shift,
            shift.commands,
            self._settings,
            self._clock,
            self._dice,
            ids,
        )
        beating = self._start(heart, client)
        sending = asyncio.create_task(shift.outbox.run(), name="codeq-outbox")
        sending.add_done_callback(lambda _: self._end())
        try:
            await claiming.until(stopping)
            await shift.finish(hurry)
            await shift.flush(_HURRIED if hurry.is_set() else self._settings.grace)
            if sending.done():
                sending.result()  # it broke, and without it nothing can be told
        finally:
            for number in heard:
                loop.remove_signal_handler(number)
            sending.cancel()
            beating()
            await client.close()

    def _start(self, heart: Heart, client: QueueClient) -> Callable[[], object]:
        """Let the heart beat; gives what stops it."""
        if not self._threads:
            return asyncio.create_task(heart.run(client), name="codeq-heart").cancel
        thread = HeartThread(heart, self._connect)
        thread.start()
        return thread.stop
