"""taskiq on Redis streams, which acknowledge; a hundred coroutines at once."""

import asyncio

from counted import Counted, arguments, sendings
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

step, url, tasks = arguments()
broker = RedisStreamBroker(url)
counted = Counted(tasks)


@broker.task(task_name="noop")
async def noop(sent: float) -> None:
    counted.tick(sent)


async def fill() -> None:
    await broker.startup()
    for sent in sendings(step, tasks):
        await noop.kiq(sent)
    await broker.shutdown()


async def work() -> None:
    await run_receiver_task(broker, max_async_tasks=100, run_startup=True)


asyncio.run(fill() if step in ("fill", "send") else work())
