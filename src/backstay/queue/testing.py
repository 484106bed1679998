"""Tests of task functions, shipped to those who write them: a whole queue in the test's process.

```python
async def test_a_parcel_is_packed():
    async with Harness(worker) as harness:
        task = await harness.client.create_task("PACK_ORDER", {"order": 1})
        assert await harness.result(task.id) == {"parcel": "P-1"}
```
The queue's own rules and HTTP routes over the memory engine, without sockets. Time stands still
until the test lets it pass, so leases, delays and retries of hours are tested in milliseconds.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import structlog

from backstay.core.asgi import App
from backstay.core.backoff import Backoff
from backstay.core.clock import Uuid7
from backstay.core.http import Answer
from backstay.core.metrics import Registry
from backstay.core.service import Loop, run
from backstay.core.trust import Trust
from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.api import PREFIX
from backstay.queue.api.admin import Admin
from backstay.queue.api.calls import endpoints, refusing
from backstay.queue.api.deliveries import DeliveryFace
from backstay.queue.api.periodics import PeriodicFace
from backstay.queue.api.policies import PolicyFace
from backstay.queue.api.producers import Producers
from backstay.queue.api.rates import RateLimits
from backstay.queue.api.reading import Limits
from backstay.queue.api.wire import TaskView
from backstay.queue.api.workers import Workers
from backstay.queue.client import QueueClient
from backstay.queue.loops.cron import Cron
from backstay.queue.loops.mover import Mover
from backstay.queue.metrics import METRICS, QueueMetrics
from backstay.queue.model import Rules
from backstay.queue.service import Bulk, Queue
from backstay.queue.service.callbacks import CallbackAdmin
from backstay.queue.service.periodics import Periodics
from backstay.queue.service.policies import Policies
from backstay.queue.store.memory import MemoryEngine
from backstay.queue.worker import Worker

_TURNS = 60
_STEP = 1.0
# Who waits for long need not look often.
_LONGEST_STEP, _GROWTH = 15.0, 1.25
_NO_CALLS = "the harness calls nobody; claims are woken without it"
_NOT_SERVED = (
    ("GET", "/workers/subscriptions"),
    ("POST", "/workers/subscriptions"),
    ("POST", "/workers/subscriptions/{id}/heartbeat"),
    ("DELETE", "/workers/subscriptions/{id}"),
)
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")


class Harness:
    """A queue, and `worker` (if one is given) at work on it. `client` is for everything a client
    can do, `clock` for functions that sleep by it; chance always takes the middle.

    `backoff`, `max_attempts`, `lease` (seconds) are the server's settings. Plain functions run in
    the test's own thread, one after the other. Nothing is called over a network: result callbacks
    are kept (`client.list_deliveries`) and never made, subscriptions are refused (QUEUE017).
    """

    def __init__(
        self,
        worker: Worker | None = None,
        *,
        backoff: Backoff | None = None,
        max_attempts: int = 5,
        lease: float = 300.0,
    ) -> None:
        self.clock = VirtualClock()
        self._dice = FixedDice()
        rules = Rules(backoff=backoff or Backoff())
        self._engine = MemoryEngine(rules, self.clock, self._dice)
        self._ids = Uuid7(self.clock)
        self._loops: list[Loop] = [Mover(self._engine, self.clock)]
        self._app = self._serve(Limits(lease, max_attempts, 1_048_576, require_token=False))
        self.client = self._connect()
        self._worker = (
            worker.moved(self._connect, self.clock, self._dice) if worker is not None else None
        )
        self._time: asyncio.Task[None] | None = None
        self._serving: list[asyncio.Task[Any]] = []
        self._quiet = False

    async def __aenter__(self) -> Self:
        if not structlog.is_configured():  # the queue's own log is not what is tested
            self._quiet = True
            level = structlog.make_filtering_bound_logger(logging.CRITICAL)
            structlog.configure(wrapper_class=level)
        await self._engine.open()
        self._time = asyncio.create_task(run(self._loops, self.clock, asyncio.Event()))
        if self._worker is not None:
            self._serving.append(asyncio.create_task(self._worker.serve()))
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker.stop()  # what still runs is handed back at once
        for each in self._serving:
            await asyncio.wait((each,), timeout=5.0)
        if self._time is not None:
            self._time.cancel()
            await asyncio.wait((self._time,))
        await self.client.close()
        if self._quiet:
            structlog.reset_defaults()
        for each in self._serving:
            if each.done():
                each.result()  # a worker that broke must not pass in silence

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.clock.tick() + seconds
        while (left := end - self.clock.tick()) > 0:
            await self.clock.advance(min(left, _LONGEST_STEP))
            await self.settle()

    async def until(self, true: Callable[[TaskView], bool], id: str, within: float) -> TaskView:
        """The task once it is as wanted. Raises TimeoutError, with the task as it is, when that
        takes longer than `within` seconds of the harness's time."""
        end, step = self.clock.tick() + within, _STEP
        while True:
            await self.settle()
            task = await self.client.get_task(id)
            if true(task):
                return task
            if self.clock.tick() >= end:
                raise TimeoutError(f"not within {within:g} s: {task}")
            await self.advance(step)
            step = min(step * _GROWTH, _LONGEST_STEP)

    async def ended(self, id: str, within: float = 3600.0) -> TaskView:
        """The task once it has ended; TimeoutError as `until`."""
        return await self.until(lambda task: task.status in _ENDED, id, within)

    async def result(self, id: str, within: float = 3600.0) -> Any:
        """What its function returned. Raises AssertionError, with its error, for a task that
        ended otherwise."""
        task = await self.ended(id, within)
        if task.status != "COMPLETED":
            raise AssertionError(f"{task.status}: {task.error}")
        return (await self.client.get_result(id)).result

    def _connect(self) -> QueueClient:
        return QueueClient(
            "http://harness", retries=0, clock=self.clock, dice=self._dice, http=_Inside(self._app)
        )

    def _serve(self, limits: Limits) -> App:
        clock, ids, engine = self.clock, self._ids, self._engine
        metrics = QueueMetrics(Registry(METRICS, clock), clock)
        queue, bulk = Queue(engine, clock, ids, metrics), Bulk(engine, clock)
        policies = Policies(engine, clock)
        self._loops.append(Cron(engine, clock, ids, metrics.created))
        calls = [
            *Producers(queue, bulk, clock, ids, limits).calls(),
            *Workers(queue, clock, limits).calls(),
            *Admin(queue, bulk, policies, clock, Path(os.devnull)).calls(),
            *PolicyFace(policies).calls(),
            *PeriodicFace(Periodics(engine, clock), clock, limits).calls(),
            *DeliveryFace(CallbackAdmin(engine, clock, lambda: None)).calls(),
            *(refusing(method, path, "a subscription", _NO_CALLS) for method, path in _NOT_SERVED),
        ]
        rates = RateLimits({}, clock, metrics.rate_limited)
        return App("queue", endpoints(calls, PREFIX, rates), Trust.socket(), clock, ids, _NoMeter())


class _NoMeter:
    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Nobody looks."""


class _Inside:
    """Carries requests to an ASGI app in this process; `client.transport.Http`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ARG002, ASYNC109 - nothing gets lost on this way
    ) -> Answer:
        parts = urlsplit(url)
        given = {**(headers or {}), "content-length": str(len(body))}
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), text.encode()) for name, text in given.items()],
            "client": ("127.0.0.1", 0),
        }
        asked = False
        told: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # the client stays until it is answered
            asked = True
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            told.append(message)

        await self._app(scope, receive, send)
        start, content = told
        return Answer(
            status=start["status"],
            headers={name.decode(): text.decode() for name, text in start["headers"]},
            body=content["body"],
            took=0.0,
        )

    async def close(self) -> None:
        """Nothing is open."""
