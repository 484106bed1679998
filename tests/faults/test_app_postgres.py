"""Faults of the app's PostgreSQL, made with a server that may be stopped; the doctor names each."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from tests.faults.apps import Served, serving
from tests.faults.consulting import causes
from tests.queue.support import until
from tests.servers.fixtures import Register
from tests.servers.postgres import PostgresServer, system_binaries, wheel_binaries
from tests.servers.require import absent

PROGRAM = """
entity Note { id: uuid, primary, auto, text: string, required }
endpoint GET /notes { returns: paginated(Note) }
"""


@pytest.fixture(scope="module")
def server(real_process: Register) -> Iterator[PostgresServer]:
    binaries = system_binaries() or wheel_binaries()
    if binaries is None:
        absent("postgres", "Debian: sudo apt-get install postgresql-15")
    made = PostgresServer(binaries)
    real_process(f"postgres {made.version}", made.running.pid)
    yield made
    made.stop()


@pytest.fixture
def served(
    server: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Served]:
    name = f"faults_{abs(hash(request.node.name)) % 10**8}"
    server.sql(f"CREATE DATABASE {name}")
    with serving(tmp_path, PROGRAM, server.url(name), DATABASE_MAX_CONNECTIONS="3") as made:
        yield made


def becomes(served: Served, cause: str) -> dict[str, Any]:
    """The only finding, once the doctor names this cause."""
    found: list[list[dict[str, Any]]] = [[]]

    def named() -> bool:
        found[0] = served.named("requests are answered 503")
        return causes({"findings": found[0]}) == [cause]

    until(named, 40.0)
    return found[0][0]


def well(served: Served) -> bool:
    return served.named("requests are answered 503") == []


def test_a_stopped_database_and_one_that_is_back(served: Served, server: PostgresServer) -> None:
    assert well(served)
    server.halt()
    try:
        assert "is stopped or cannot be reached" in becomes(served, "postgres-down")["says"]
    finally:
        server.again()
    until(lambda: well(served), 40.0)


def test_a_database_that_hangs(served: Served, server: PostgresServer) -> None:
    server.freeze()
    try:
        assert "does not answer" in becomes(served, "postgres-hangs")["says"]
    finally:
        server.thaw()
    until(lambda: well(served), 40.0)


def test_a_database_that_is_gone(served: Served, server: PostgresServer) -> None:
    name = served.database.rpartition("/")[2]
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    assert "does not let the app in" in becomes(served, "postgres-refuses")["says"]


def test_every_connection_is_at_work(served: Served, server: PostgresServer) -> None:
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            with suppress(OSError, HTTPException):
                urllib.request.urlopen(f"{served.url}/api/v1/notes", timeout=60).close()

    def held() -> bool:
        locks = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock'"
        return server.sql(f"{locks} AND relation = 'notes'::regclass", name).strip() == "1"

    name = served.database.rpartition("/")[2]

    def hold() -> None:
        with suppress(RuntimeError):  # it is ended from outside
            server.sql(
                "BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)", name
            )

    def let_go() -> None:
        sleeping = "query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
        server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {sleeping}")

    with ExitStack() as stack:
        threading.Thread(target=hold, daemon=True).start()
        stack.callback(let_go)
        asking = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        stack.callback(over.set)
        until(held, 20.0)
        for each in asking:
            each.start()
        found = becomes(served, "pool-exhausted")
        assert "all 3 connections" in found["says"]
        assert "pg_blocking_pids" in str(found["fixes"])
