"""A worker of the SDK beside a test, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.queue.support import Server, until

from backstay.queue.client import QueueClient
from backstay.queue.worker import Worker, WorkerSettings


def worker_for(server: Server, **changes: Any) -> Worker:
    settings = {"lease": 5.0, "wait": 2.0, "concurrency": 4, "grace": 5.0, **changes}
    return Worker(lambda: QueueClient(server.base_url), WorkerSettings(**settings))


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    serving_ = asyncio.create_task(worker.serve())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(serving_, 20)


async def eventually(true: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(until, true, 15)
