"""taskiq on Redis streams, which acknowledge; a hundred coroutines at once."""

import asyncio

from counted import Counted, arguments
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

step, url, tasks = arguments()
broker = RedisStreamBroker(url)
counted = Counted(tasks)


@broker.task(task_name="noop")
async def noop(number: int) -> None:
    counted.tick()


async def fill() -> None:
    await broker.startup()
    for number in range(tasks):
        await noop.kiq(number)
    await broker.shutdown()


async def work() -> None:
    await run_receiver_task(broker, max_async_tasks=100, run_startup=True)


asyncio.run(fill() if step == "fill" else work())
