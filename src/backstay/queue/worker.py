"""The SDK for workers: functions by command, leases kept, results delivered, drained on SIGTERM.

```python
worker = Worker.from_env()

@worker.task("PACK_ORDER")
async def pack(payload: dict) -> dict:
    return {"parcel": "P-1"}

worker.run()
```
A task may be delivered more than once: make the effect depend on the payload alone.
"""

import asyncio
import inspect
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import SystemDice
from backstay.core.errors import Fault
from backstay.queue.api.wire import TaskView
from backstay.queue.client import QueueClient, Refused
from backstay.queue.errors import BAD_ARGUMENT, WORKER_WITHOUT_TASKS
from backstay.queue.heart import Heart, Pulse

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_log = logging.getLogger("backstay.worker")
ANY = "*"
_BATCH = 10


class Failed(Exception):  # noqa: N818 - said by the worker's author, who raises it
    """Raise it from a task: the task is FAILED for good. Any other exception is retried."""


class Retry(Exception):  # noqa: N818 - as above
    """Raise it to say why and when the task is to be tried again (seconds; 0: the policy's)."""

    def __init__(self, reason: str, delay: float = 0.0) -> None:
        super().__init__(reason)
        self.delay = delay


class Release(Exception):  # noqa: N818 - as above
    """Raise it to hand the task back unworked: the delivery does not count."""


class Job(msgspec.Struct, frozen=True):
    """What a task function may know beside its payload: give it a second parameter."""

    id: str
    command: str
    attempt: int
    max_attempts: int


class WorkerSettings(msgspec.Struct, frozen=True):
    """Seconds. `heartbeat` 0 means a third of the lease."""

    concurrency: int = 1
    lease: float = 60.0
    wait: float = 10.0
    heartbeat: float = 0.0
    grace: float = 25.0


class Worker:
    """Serves commands until it is told to stop. `connect` makes a client; the event loop and the
    heartbeat thread have one each."""

    def __init__(
        self, connect: Callable[[], QueueClient], settings: WorkerSettings | None = None
    ) -> None:
        self._connect = connect
        self._settings = settings or WorkerSettings()
        self._functions: dict[str, Callable[..., Any]] = {}
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._dice = SystemDice()
        self._stopping: asyncio.Event | None = None

    @classmethod
    def from_env(cls, settings: WorkerSettings | None = None) -> "Worker":
        """CODEQ_BASE_URL, CODEQ_WORKER_TOKEN, CODEQ_CONCURRENCY, CODEQ_LEASE_SECONDS."""
        given = settings or WorkerSettings(
            concurrency=int(_from_env("CODEQ_CONCURRENCY", 1)),
            lease=_from_env("CODEQ_LEASE_SECONDS", 60.0),
        )
        return cls(QueueClient.from_env, given)

    def task(self, command: str) -> Callable[[F], F]:
        """Register a function, async or plain, for a command; `*` is any other.

        It gets the decoded payload (and a `Job`, if it takes two parameters) and returns what
        becomes the result.
        """

        def register(function: F) -> F:
            self._functions[command] = function
            return function

        return register

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what runs. Raises QUEUE050 without tasks."""
        asyncio.run(self.serve(signals=True))

    def stop(self) -> None:
        """From the worker's own event loop: take no more, finish what runs."""
        if self._stopping is not None:
            self._stopping.set()

    async def serve(self, *, signals: bool = False) -> None:
        """As `run`, inside a running event loop."""
        if not self._functions:
            raise Fault(WORKER_WITHOUT_TASKS)
        stopping = self._stopping = asyncio.Event()
        if signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stopping.set)
        client, heart = self._connect(), Heart(self._connect)
        heart.start()
        shift = _Shift(client, heart, self._functions, self._settings, stopping)
        try:
            await self._claim_until(shift, stopping, client)
            await shift.finish()
        finally:
            heart.stop()
            await client.close()

    async def _claim_until(
        self, shift: "_Shift", stopping: asyncio.Event, client: QueueClient
    ) -> None:
        failures = 0
        while not stopping.is_set():
            free = await _unless(stopping, shift.room())
            if free is None:
                return
            try:
                tasks = await _unless(stopping, self._claim(client, free))
                failures = 0
            except Fault as away:
                failures += 1
                pause = self._backoff.delay(failures, self._dice)
                _log.warning("claim failed, again in %.1f s: %s", pause, away.message)
                await _unless(stopping, asyncio.sleep(pause))
                continue
            for task in tasks or ():
                shift.begin(task)

    async def _claim(self, client: QueueClient, free: int) -> Sequence[TaskView]:
        commands = () if ANY in self._functions else tuple(self._functions)
        lease = self._settings.lease
        if free > 1:
            ready = await client.claim_many(min(free, _BATCH), commands, lease_seconds=lease)
            if ready:
                return ready
        one = await client.claim(commands, lease_seconds=lease, wait=self._settings.wait)
        return [one] if one else []


class _Shift:
    """What is being worked on."""

    def __init__(
        self,
        client: QueueClient,
        heart: Heart,
        functions: Mapping[str, Callable[..., Any]],
        settings: WorkerSettings,
        stopping: asyncio.Event,
    ) -> None:
        self._client = client
        self._heart = heart
        self._functions = functions
        self._settings = settings
        self._stopping = stopping
        self._running: dict[asyncio.Task[None], TaskView] = {}
        self._freed = asyncio.Event()
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._dice = SystemDice()

    async def room(self) -> int:
        """Free places, once there is at least one."""
        while len(self._running) >= self._settings.concurrency:
            self._freed.clear()
            await self._freed.wait()
        return self._settings.concurrency - len(self._running)

    def begin(self, task: TaskView) -> None:
        work = asyncio.create_task(self._work(task), name=f"task-{task.id}")
        self._running[work] = task
        work.add_done_callback(self._done)

    async def finish(self) -> None:
        """Wait for what runs, `grace` seconds at most; the rest goes back to the queue."""
        if self._running:
            _log.info("draining: %d tasks are still running", len(self._running))
            await asyncio.wait(set(self._running), timeout=self._settings.grace)
        late = dict(self._running)
        for work in late:
            work.cancel()
        if late:
            await asyncio.wait(set(late))
        for task in late.values():
            try:
                await self._client.abandon(task.id, task.lease_token)
            except Fault as fault:
                _log.warning("task %s could not be handed back: %s", task.id, fault.message)

    def _done(self, work: "asyncio.Task[None]") -> None:
        self._running.pop(work, None)
        self._freed.set()
        if not work.cancelled() and work.exception() is not None:
            _log.error("a task's outcome could not be told", exc_info=work.exception())

    async def _work(self, task: TaskView) -> None:
        seconds = self._settings.lease
        pulse = Pulse(
            id=task.id,
            token=task.lease_token,
            seconds=seconds,
            every=self._settings.heartbeat or seconds / 3,
            lost=self._cancel_from_outside(task.id),
        )
        self._heart.keep(pulse)
        try:
            deliver = await self._call(task)
            await self._deliver(task, deliver)
        finally:
            self._heart.release(pulse)

    async def _call(self, task: TaskView) -> Callable[[], Awaitable[object]]:
        """Run the function; gives how its outcome is told to the queue."""
        client, token = self._client, task.lease_token
        function = self._functions.get(task.command) or self._functions[ANY]
        try:
            result = _result(await _invoke(function, task))
        except Failed as verdict:
            reason = str(verdict) or "failed"
            return lambda: client.fail(task.id, token, reason)
        except Retry as again:
            reason, delay = str(again), again.delay
            return lambda: client.nack(task.id, token, reason, delay)
        except Release:
            return lambda: client.abandon(task.id, token)
        except Exception as failure:  # noqa: BLE001 - the author's mistake is the task's failure
            reason = f"{type(failure).__name__}: {failure}"
            _log.warning("task %s (%s) failed: %s", task.id, task.command, reason, exc_info=True)
            return lambda: client.nack(task.id, token, reason)
        return lambda: client.complete(task.id, token, result)

    async def _deliver(self, task: TaskView, tell: Callable[[], Awaitable[object]]) -> None:
        """Until the queue has answered: work that is done must not be lost to a restart."""
        failures = 0
        while True:
            try:
                await tell()
                return
            except Refused as refused:
                if refused.status < 500:
                    _log.warning("result of %s was refused: %s", task.id, refused.message)
                    return
            except Fault as away:
                _log.warning("result of %s not delivered yet: %s", task.id, away.message)
            failures += 1
            await asyncio.sleep(self._backoff.delay(failures, self._dice))

    def _cancel_from_outside(self, id: str) -> Callable[[str], None]:
        loop = asyncio.get_running_loop()
        work = asyncio.current_task()

        def lost(reason: str) -> None:
            _log.warning("the lease of %s is lost, its work is cancelled: %s", id, reason)
            if work is not None:
                loop.call_soon_threadsafe(work.cancel)

        return lost


async def _invoke(function: Callable[..., Any], task: TaskView) -> Any:
    arguments: list[Any] = [msgspec.json.decode(task.payload)]
    if len(inspect.signature(function).parameters) > 1:
        arguments.append(Job(task.id, task.command, task.attempts, task.max_attempts))
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _from_env(name: str, default: float) -> float:
    """A number above 0. Raises QUEUE052 naming the variable."""
    text = os.environ.get(name) or ""
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if value > 0:
        return value
    raise Fault(BAD_ARGUMENT, name=name, reason=f"{text!r} is not a number above 0")


def _result(value: object) -> dict[str, Any]:
    """What a function returned, as the object that a result has to be."""
    plain = msgspec.to_builtins(value, enc_hook=str)
    if plain is None:
        return {}
    return plain if isinstance(plain, dict) else {"value": plain}


async def _unless(stopping: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The result, or None when the worker is told to stop first."""
    doing = asyncio.ensure_future(work)
    told = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        told.cancel()
        doing.cancel()
