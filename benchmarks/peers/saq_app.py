"""SAQ on Redis: twenty coroutines; more of them were no faster."""

import asyncio
from typing import Any

from counted import Counted, arguments, sendings
from saq import Queue, Worker

step, url, tasks = arguments()
counted = Counted(tasks)


async def noop(_ctx: dict[str, Any], *, sent: float) -> None:
    counted.tick(sent)


async def fill() -> None:
    queue = Queue.from_url(url)
    await queue.connect()
    for sent in sendings(step, tasks):
        await queue.enqueue("noop", sent=sent, retries=3)
    await queue.disconnect()


async def work() -> None:
    queue = Queue.from_url(url)
    await queue.connect()
    await Worker(queue, functions=[noop], concurrency=20).start()


asyncio.run(fill() if step in ("fill", "send") else work())
