"""Threads for plain functions: as many as are used at once, none that keeps the process alive.

Not `ThreadPoolExecutor`: at exit Python waits for its threads, and a function that hangs would
keep a drained worker from ending.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._idle = 0
        self._made = 0

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """In a thread, in this context. Cancelling the wait does not stop the thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = copy_context()
        if self._idle:
            self._idle -= 1
        else:
            self._made += 1
            name = f"codeq-task-{self._made}"
            threading.Thread(target=self._serve, args=(loop,), name=name, daemon=True).start()
        self._work.put((future, lambda: context.run(function, *arguments)))
        return await future

    def close(self) -> None:
        """Idle threads end now, busy ones when they are done."""
        for _ in range(self._made):
            self._work.put(None)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (work := self._work.get()) is not None:
            future, call = work
            result: Any = None
            failure: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - it is raised where it is waited for
                failure = raised
            try:
                loop.call_soon_threadsafe(self._done, future, result, failure)
            except RuntimeError:
                return  # the loop is closed: the worker has ended without us

    def _done(
        self, future: "asyncio.Future[Any]", result: Any, failure: BaseException | None
    ) -> None:
        self._idle += 1
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        elif isinstance(failure, StopIteration):
            future.set_exception(RuntimeError("the function raised StopIteration"))
        else:
            future.set_exception(failure)


class Inline:
    """No threads: the function is called where it is waited for. For tests."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    def close(self) -> None:
        """Nothing is open."""
