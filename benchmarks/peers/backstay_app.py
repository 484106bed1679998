"""Backstay's worker, one process, over HTTP. `plain` is a plain function in threads."""

import asyncio

from counted import Counted, arguments

from backstay.queue.client import QueueClient, new_task
from backstay.queue.worker import Worker, WorkerSettings

BATCH = 100
step, url, tasks = arguments()
counted = Counted(tasks)


async def fill() -> None:
    async with QueueClient(url) as client:
        for start in range(0, tasks, BATCH):
            batch = [new_task("NOOP", number) for number in range(start, start + BATCH)]
            await client.batch_create_tasks(batch)


def work() -> None:
    worker = Worker(lambda: QueueClient(url, retries=0), WorkerSettings(concurrency=200))

    async def noop(number: int) -> None:
        counted.tick()

    def plain(number: int) -> None:
        counted.tick()

    worker.task("NOOP")(plain if step == "plain" else noop)
    worker.run()


if step == "fill":
    asyncio.run(fill())
else:
    work()
