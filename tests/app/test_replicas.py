"""Several servers on one PostgreSQL database: no step twice, no job twice, and what one leaves when
it is killed another takes up."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.replicas import Replica, replica
from tests.servers.fixtures import Register
from tests.servers.postgres import PostgresServer

Sql = Callable[[str], str]


@pytest.fixture
def sql(postgres: PostgresServer, new_url: Callable[[], str]) -> tuple[str, Sql]:
    """An empty database's URL, and what a statement says there."""
    url = new_url()
    name = url.rpartition("/")[2]
    return url, lambda statement: postgres.sql(statement, name).strip()


async def test_replicas_that_start_together_make_the_tables_once(
    sql: tuple[str, Sql], tmp_path: Path, real_process: Register
) -> None:
    url, ask = sql
    replicas = [Replica(tmp_path / str(number), url) for number in range(3)]
    try:
        await asyncio.gather(*(each.start() for each in replicas))
        for each in replicas:
            assert each.child is not None
            real_process("codeai server", each.child.pid)
            assert (await each.ask("GET", "/api/v1/notes"))[0] == 200
        assert ask("SELECT count(*) FROM backstay_programs") == "1"
        made = [each.log.read_text().count("tables made or changed") for each in replicas]
        assert sum(made) == 1
    finally:
        await asyncio.gather(*(each.close() for each in replicas))


async def test_two_replicas_run_each_step_and_each_job_once_though_one_is_killed(
    sql: tuple[str, Sql], tmp_path: Path
) -> None:
    url, ask = sql
    async with replica(tmp_path / "one", url) as one, replica(tmp_path / "two", url) as two:
        # Fire times that both find due at the same moment.
        for minute in range(1, 6):
            ask(
                "INSERT INTO job_runs (id, job, fire_at, cause, status, created_at) VALUES"
                f" ('due-{minute}', 'tick', {minute}, 'manual', 'pending', 0)"
            )

        async def create(name: str, turn: int) -> None:
            pair = (one, two)
            async with asyncio.timeout(60):
                while True:
                    turn += 1
                    there = pair[turn % 2]
                    body = {"text": name}
                    status, answer = await there.ask("POST", "/api/v1/followed", body, key=name)
                    if status == 201:
                        return
                    assert status in (0, 503), answer
                    await asyncio.sleep(0.02)

        async def client(number: int) -> None:
            for each in range(20):
                await create(f"{number}-{each}", each)

        async def kill_one() -> None:
            async def enough() -> bool:
                return int(await asyncio.to_thread(ask, "SELECT count(*) FROM notes")) > 40

            await one.eventually(enough, 60)
            one.kill()

        await asyncio.gather(*(client(number) for number in range(6)), kill_one())
        await two.ask("POST", "/api/v1/jobs/tick/run")

        async def done() -> bool:
            left = "SELECT count(*) FROM executions WHERE status <> 'completed'"
            waiting = "SELECT count(*) FROM job_runs WHERE id LIKE 'due-%' AND status = 'pending'"
            return await asyncio.to_thread(ask, f"SELECT ({left}) + ({waiting})") == "0"

        await two.eventually(done, 60)
        assert ask("SELECT count(*), min(count), max(count) FROM notes") == "120|1|1"
        followed = "SELECT count(*), count(DISTINCT note) FROM marks WHERE note IS NOT NULL"
        assert ask(followed) == "120|120"
        # One mark for each run that is done: no fire time had its effect twice.
        runs = "SELECT count(*) FROM job_runs WHERE status = 'done'"
        effects = "SELECT count(*) FROM marks WHERE note IS NULL"
        assert int(ask(runs)) == int(ask(effects)) >= 5
