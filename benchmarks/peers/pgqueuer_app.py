"""PgQueuer on PostgreSQL: a hundred tasks in a batch, acknowledgements buffered as it does."""

import asyncio
from datetime import timedelta

import asyncpg
from counted import Counted, arguments
from pgqueuer import AsyncpgDriver, PgQueuer, Queries

step, url, tasks = arguments()
counted = Counted(tasks)


async def fill() -> None:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    names = ["noop"] * tasks
    await queries.enqueue(names, [str(number).encode() for number in range(tasks)], [0] * tasks)
    await connection.close()


async def work() -> None:
    connection = await asyncpg.connect(url)
    queuer = PgQueuer(AsyncpgDriver(connection))

    @queuer.entrypoint("noop")
    async def noop(_job: object) -> None:
        counted.tick()

    await queuer.run(batch_size=100, dequeue_timeout=timedelta(seconds=5))


asyncio.run(fill() if step == "fill" else work())
