"""PgQueuer on PostgreSQL: a hundred tasks in a batch, acknowledgements buffered as it does."""

import asyncio
import json
from datetime import timedelta

import asyncpg
from counted import Counted, arguments, sendings
from pgqueuer import AsyncpgDriver, PgQueuer, Queries
from pgqueuer.models import Job

step, url, tasks = arguments()
counted = Counted(tasks)


async def fill() -> None:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if step == "fill":
        await queries.install()
        await queries.enqueue(["noop"] * tasks, [b"0"] * tasks, [0] * tasks)
    else:
        for sent in sendings(step, tasks):
            await queries.enqueue("noop", repr(sent).encode())
    await connection.close()


async def work() -> None:
    connection = await asyncpg.connect(url)
    queuer = PgQueuer(AsyncpgDriver(connection))

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        counted.tick(json.loads(job.payload or b"0"))

    await queuer.run(batch_size=100, dequeue_timeout=timedelta(seconds=5))


asyncio.run(fill() if step in ("fill", "send") else work())
