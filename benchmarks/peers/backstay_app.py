"""Backstay's worker, one process, over HTTP. `work-plain` is a plain function in threads."""

import asyncio

from counted import Counted, arguments, sendings

from backstay.queue.client import QueueClient, new_task
from backstay.queue.worker import Worker, WorkerSettings

BATCH = 100
step, url, tasks = arguments()
counted = Counted(tasks)


async def fill() -> None:
    async with QueueClient(url) as client:
        for sent in sendings(step, tasks) if step == "send" else ():
            await client.create_task("NOOP", sent)
        for start in range(0, tasks, BATCH) if step == "fill" else ():
            batch = [new_task("NOOP", 0.0) for _ in range(min(BATCH, tasks - start))]
            await client.batch_create_tasks(batch)


def work() -> None:
    worker = Worker(lambda: QueueClient(url, retries=0), WorkerSettings(concurrency=200))

    async def noop(sent: float) -> None:
        counted.tick(sent)

    def plain(sent: float) -> None:
        counted.tick(sent)

    worker.task("NOOP")(plain if step.endswith("-plain") else noop)
    worker.run()


if step in ("fill", "send"):
    asyncio.run(fill())
else:
    work()
