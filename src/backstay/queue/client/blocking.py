"""The client for code without asyncio: the same methods, each waiting for its answer.

One thread with an event loop does the asking, so any number of threads may share a client. One
that is made before a fork (a pre-forking web server) works on both sides of it: what is idle is
closed before, since two processes must not share a poller and its connections.
"""

import asyncio
import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from backstay.queue.api.wire import TaskView
from backstay.queue.client.aio import DEFAULT_BASE_URL, QueueClient
from backstay.queue.client.transport import Token

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(
    method: Callable[Concatenate[QueueClient, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[SyncQueueClient, P], T]":
    """The method of the asyncio client, with its signature, made to wait."""

    @functools.wraps(method)
    def wait(asker: "SyncQueueClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return asker._run(lambda client: method(client, *args, **kwargs))

    return wait


class SyncQueueClient:
    """As `QueueClient`. Close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        producer_token: Token = "",
        worker_token: Token = "",
        admin_token: Token = "",
        timeout: float = 30.0,
        retries: int = 3,
    ) -> None:
        self._make = lambda: QueueClient(
            base_url,
            producer_token=producer_token,
            worker_token=worker_token,
            admin_token=admin_token,
            timeout=timeout,
            retries=retries,
        )
        self._home: _Home | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "SyncQueueClient":
        """CODEQ_BASE_URL, CODEQ_PRODUCER_TOKEN, CODEQ_WORKER_TOKEN, CODEQ_ADMIN_TOKEN."""
        given = os.environ if env is None else env
        return cls(
            given.get("CODEQ_BASE_URL") or DEFAULT_BASE_URL,
            producer_token=given.get("CODEQ_PRODUCER_TOKEN", ""),
            worker_token=given.get("CODEQ_WORKER_TOKEN", ""),
            admin_token=given.get("CODEQ_ADMIN_TOKEN", ""),
        )

    create_task = _waiting(QueueClient.create_task)
    batch_create_tasks = _waiting(QueueClient.batch_create_tasks)
    get_task = _waiting(QueueClient.get_task)
    get_result = _waiting(QueueClient.get_result)
    wait_for_result = _waiting(QueueClient.wait_for_result)
    list_tasks = _waiting(QueueClient.list_tasks)
    get_attempts = _waiting(QueueClient.get_attempts)
    cancel_task = _waiting(QueueClient.cancel_task)
    cancel_tasks = _waiting(QueueClient.cancel_tasks)
    retry_task = _waiting(QueueClient.retry_task)
    reschedule_task = _waiting(QueueClient.reschedule_task)
    replies = _waiting(QueueClient.replies)
    ack = _waiting(QueueClient.ack)

    claim_task = _waiting(QueueClient.claim_task)
    batch_claim_tasks = _waiting(QueueClient.batch_claim_tasks)
    heartbeat = _waiting(QueueClient.heartbeat)
    batch_heartbeat = _waiting(QueueClient.batch_heartbeat)
    abandon = _waiting(QueueClient.abandon)
    nack = _waiting(QueueClient.nack)
    submit_result = _waiting(QueueClient.submit_result)
    batch_submit_results = _waiting(QueueClient.batch_submit_results)
    exchange = _waiting(QueueClient.exchange)
    create_subscription = _waiting(QueueClient.create_subscription)
    renew_subscription = _waiting(QueueClient.renew_subscription)
    delete_subscription = _waiting(QueueClient.delete_subscription)
    list_subscriptions = _waiting(QueueClient.list_subscriptions)

    list_queues = _waiting(QueueClient.list_queues)
    get_queue_stats = _waiting(QueueClient.get_queue_stats)
    cleanup_expired = _waiting(QueueClient.cleanup_expired)
    list_dead = _waiting(QueueClient.list_dead)
    redrive = _waiting(QueueClient.redrive)
    purge = _waiting(QueueClient.purge)
    pause_queue = _waiting(QueueClient.pause_queue)
    resume_queue = _waiting(QueueClient.resume_queue)
    get_policy = _waiting(QueueClient.get_policy)
    set_policy = _waiting(QueueClient.set_policy)
    list_periodic = _waiting(QueueClient.list_periodic)
    get_periodic = _waiting(QueueClient.get_periodic)
    set_periodic = _waiting(QueueClient.set_periodic)
    delete_periodic = _waiting(QueueClient.delete_periodic)
    pause_periodic = _waiting(QueueClient.pause_periodic)
    resume_periodic = _waiting(QueueClient.resume_periodic)
    list_deliveries = _waiting(QueueClient.list_deliveries)
    retry_delivery = _waiting(QueueClient.retry_delivery)
    audit = _waiting(QueueClient.audit)
    backup = _waiting(QueueClient.backup)

    def all_tasks(self, **filters: Any) -> Iterator[TaskView]:
        """Every task that `list_tasks` would show, page by page."""
        cursor = ""
        while True:
            page = self.list_tasks(**filters, cursor=cursor, limit=200)
            yield from page.items
            cursor = page.next
            if not cursor:
                return

    def close(self) -> None:
        """Close connections and end the thread. Idempotent."""
        with self._lock:
            home, self._home = self._home, None
        if home is not None and home.pid == os.getpid():
            home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, ask: Callable[[QueueClient], Coroutine[Any, Any, T]]) -> T:
        while True:
            home = self._at_home()
            if home.enter():
                return home.run(ask)

    def _at_home(self) -> "_Home":
        home = self._home
        if home is not None and home.pid != os.getpid():
            # It was busy when its process forked: collected here it would disturb it there.
            _INHERITED.append(home)
            self._home, self._lock = None, threading.Lock()
        with self._lock:
            if self._home is None or self._home.closed:
                self._home = _Home(self._make)
            return self._home


class _Home:
    """The event loop of one process, in its thread, with the client that belongs to it."""

    def __init__(self, make: Callable[[], QueueClient]) -> None:
        self.pid = os.getpid()
        self.closed = False
        self._make = make
        self._asking = 0
        self._lock = threading.Lock()
        self._client: QueueClient | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="codeq-client", daemon=True
        )
        self._thread.start()
        _HOMES.add(self)
        _watch_forks()

    def enter(self) -> bool:
        """Before `run`; False when it was closed meanwhile."""
        with self._lock:
            self._asking += not self.closed
            return not self.closed

    def run(self, ask: Callable[[QueueClient], Coroutine[Any, Any, T]]) -> T:
        """Wait for the answer, or cancel the question when the waiting is interrupted."""

        async def asking() -> T:
            if self._client is None:
                self._client = self._make()
            return await ask(self._client)

        future = asyncio.run_coroutine_threadsafe(asking(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            with self._lock:
                self._asking -= 1

    def close(self, *, only_idle: bool = False) -> None:
        """End the thread. Idempotent."""
        with self._lock:
            if self.closed or (only_idle and self._asking):
                return
            self.closed = True
        if self._client is not None:
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_HOMES: "weakref.WeakSet[_Home]" = weakref.WeakSet()
_INHERITED: list[_Home] = []


def _before_fork() -> None:
    for home in [*_HOMES]:
        if home.pid == os.getpid():
            home.close(only_idle=True)


@functools.cache
def _watch_forks() -> None:
    os.register_at_fork(before=_before_fork)
