"""What becomes of a served app when its PostgreSQL stops, hangs, loses connections or is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.app.replicas import Replica, replica
from tests.servers.fixtures import Register
from tests.servers.postgres import PostgresServer, system_binaries, wheel_binaries
from tests.servers.require import absent


@pytest.fixture(scope="module")
def server(real_process: Register) -> Iterator[PostgresServer]:
    """One that may be stopped."""
    binaries = system_binaries() or wheel_binaries()
    if binaries is None:
        absent("postgres", "Debian: sudo apt-get install postgresql-15")
    made = PostgresServer(binaries)
    real_process(f"postgres {made.version}", made.running.pid)
    made.sql("CREATE DATABASE codeai")
    yield made
    made.stop()


@pytest.fixture
async def shelf(
    server: PostgresServer, tmp_path: Path, real_process: Register
) -> AsyncIterator[Replica]:
    # Without a name the URL means the database `codeai`.
    url = server.url("").removesuffix("/")
    async with replica(tmp_path / "one", url, DATABASE_MAX_CONNECTIONS="3") as made:
        assert made.child is not None
        real_process("codeai server", made.child.pid)
        yield made


async def notes(shelf: Replica, **asked: str) -> tuple[int, Any]:
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return await shelf.ask("GET", f"/api/v1/notes?{query}")


def told(shelf: Replica, words: str) -> bool:
    return words in shelf.log.read_text(encoding="utf-8")


@pytest.mark.seed("C1")
async def test_a_stopped_database_is_503_everywhere_until_it_is_back(
    shelf: Replica, server: PostgresServer
) -> None:
    assert (await shelf.health_is(200))["status"] == "healthy"
    assert (await notes(shelf))[0] == 200
    server.halt()
    try:
        check = await shelf.health_is(503)
        assert check["status"] == "unhealthy"
        status, problem = await notes(shelf)
        assert (status, problem["code"]) == (503, "APP040")
        created, _ = await shelf.ask("POST", "/api/v1/notes", {"text": "while it is away"})
        assert created == 503
        assert (await shelf.ask("GET", "/api/v1/workflows"))[0] == 503
        assert (await shelf.ask("GET", "/health/live"))[0] == 200
        assert told(shelf, "database ping failed")
    finally:
        server.again()
    await shelf.health_is(200)
    assert (await notes(shelf))[0] == 200
    assert (await shelf.ask("POST", "/api/v1/notes", {"text": "it is back"}))[0] == 201


@pytest.mark.seed("C2")
async def test_a_hanging_database_fails_the_ping_after_two_seconds(
    shelf: Replica, server: PostgresServer
) -> None:
    details = (await shelf.health_is(200))["details"]
    assert set(details) == {"max_connections", "open_connections", "in_use", "idle"}
    assert details["max_connections"] == 3
    server.freeze()
    try:
        check = await shelf.health_is(503)
        assert "no answer within 2 s" in check["error"]
        # The check's own figure: it gave up at its deadline, not when something else did.
        assert 1.9 < parsed(check["duration"]) < 3.5
    finally:
        server.thaw()
    await shelf.health_is(200)
    assert (await notes(shelf))[0] == 200


def parsed(duration: str) -> float:
    for unit, size in (("ms", 1e-3), ("µs", 1e-6), ("s", 1.0)):
        if duration.endswith(unit):
            return float(duration.removesuffix(unit)) * size
    raise ValueError(duration)


@pytest.mark.seed("C3")
async def test_when_every_connection_is_held_the_next_one_waits_a_while_and_is_told(
    shelf: Replica, server: PostgresServer
) -> None:
    locker = await asyncpg.connect(server.url("codeai"))
    await locker.execute("BEGIN; LOCK TABLE notes")
    held = [asyncio.create_task(notes(shelf)) for _ in range(3)]

    async def all_in_use() -> bool:
        details = (await shelf.database())[1]["details"]
        return bool(details["in_use"] == details["max_connections"] == 3)

    await shelf.eventually(all_in_use)
    status, problem = await notes(shelf)
    assert (status, problem["code"]) == (503, "APP041")
    await locker.execute("ROLLBACK")
    await locker.close()
    assert {status for status, _ in await asyncio.gather(*held)} == {200}

    async def none_in_use() -> bool:
        details = (await shelf.database())[1]["details"]
        return bool(details["in_use"] == 0)

    await shelf.eventually(none_in_use)


@pytest.mark.seed("C4")
async def test_the_statements_of_the_guide_run_on_a_migrated_database(
    shelf: Replica, server: PostgresServer
) -> None:
    assert (await notes(shelf))[0] == 200
    active = server.sql("SELECT * FROM workflows WHERE status='active'", "codeai")
    assert active.startswith("follow|follow|")
    ten = "SELECT * FROM executions WHERE workflow_id='abc' ORDER BY created_at DESC LIMIT 10"
    assert server.sql(ten, "codeai") == ""
    where = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('notes', 'executions')"
    assert server.sql(where, "codeai").split() == ["public"]
    plan = server.sql(f"SET enable_seqscan=off; EXPLAIN {ten}", "codeai")
    assert "executions_workflow" in plan


@pytest.mark.seed("C5")
async def test_connections_that_are_ended_do_not_end_the_service(
    shelf: Replica, server: PostgresServer
) -> None:
    seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'codeai'"
    await asyncio.gather(*(notes(shelf) for _ in range(20)))
    assert int(server.sql(seen, "codeai")) >= 1
    stop = asyncio.Event()
    answers: list[int] = []
    created: list[tuple[int, Any]] = []

    async def read() -> None:
        while not stop.is_set():
            answers.append((await notes(shelf))[0])

    async def write(name: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = {"text": f"ended {name} {number}"}
            created.append(await shelf.ask("POST", "/api/v1/notes", body))

    load = [asyncio.create_task(each) for each in (read(), read(), write(1), write(2))]
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'codeai'"
    for _ in range(10):
        before = len(answers)
        await asyncio.to_thread(server.sql, end, "codeai")
        await shelf.eventually(lambda before=before: later(answers, before + 5))  # type: ignore[misc]
    stop.set()
    await asyncio.gather(*load)
    # A read has no effect, so it was done again on another connection.
    assert set(answers) == {200}
    # A create whose connection was lost at its commit may only be said to be in doubt.
    assert {status for status, _ in created} <= {201, 503}
    codes = {problem["code"] for status, problem in created if status == 503}
    assert codes <= {"APP043"}
    assert sum(status == 201 for status, _ in created) > 0
    assert (await shelf.ask("POST", "/api/v1/notes", {"text": "afterwards"}))[0] == 201


async def later(answers: list[int], count: int) -> bool:
    return len(answers) >= count


async def test_kill_9_of_the_database_under_load_loses_and_doubles_nothing(
    shelf: Replica, server: PostgresServer
) -> None:
    acknowledged: set[str] = set()

    async def create(name: str) -> None:
        """As a careful client: again with the same key until there is an answer."""
        async with asyncio.timeout(90):
            while True:
                body = {"text": name}
                status, answer = await shelf.ask(
                    "POST", "/api/v1/followed", body, key=name.replace(" ", "-")
                )
                if status == 201:
                    acknowledged.add(name)
                    return
                assert status == 503, answer
                await asyncio.sleep(0.05)

    async def client(number: int) -> None:
        for each in range(25):
            await create(f"client {number} note {each}")

    load = asyncio.gather(*(client(number) for number in range(6)))
    for enough in (20, 60, 100):
        await shelf.eventually(lambda enough=enough: reached(acknowledged, enough), 60)  # type: ignore[misc]
        server.crash()
        server.again()
    await load

    async def followed() -> bool:
        left = "SELECT count(*) FROM executions WHERE status <> 'completed'"
        return await asyncio.to_thread(server.sql, left, "codeai") == "0\n"

    await shelf.eventually(followed, 60)
    stored = server.sql("SELECT text FROM notes WHERE text LIKE 'client%'", "codeai").splitlines()
    assert sorted(stored) == sorted(acknowledged)
    assert len(stored) == 150
    # Each workflow marked its note once and counted it once, whatever was killed in between.
    counts = "SELECT count(*), min(count), max(count) FROM notes WHERE text LIKE 'client%'"
    assert server.sql(counts, "codeai").strip() == "150|1|1"
    marks = (
        "SELECT count(*), count(DISTINCT note) FROM marks JOIN notes ON notes.id = marks.note"
        " WHERE text LIKE 'client%'"
    )
    assert server.sql(marks, "codeai").strip() == "150|150"


async def reached(names: set[str], count: int) -> bool:
    return len(names) >= count


async def test_a_password_is_in_no_log_and_no_answer(
    server: PostgresServer, tmp_path: Path
) -> None:
    url = f"postgres://postgres:hunter2-is-secret@{server.host}:{server.port}/codeai"
    async with replica(tmp_path / "secret", url) as shelf:
        server.halt()
        try:
            await shelf.health_is(503)
            said = [await shelf.ask("GET", path) for path in ("/health", "/api/v1/notes")]
        finally:
            server.again()
        await shelf.health_is(200)
        texts = [shelf.log.read_text(), (tmp_path / "secret" / "out.log").read_text(), str(said)]
        assert [("hunter2" in text) for text in texts] == [False, False, False]
        assert f"{server.host}:{server.port}/codeai" in str(said)
