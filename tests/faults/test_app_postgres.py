"""Faults of the app's PostgreSQL, made with a server that may be stopped; the doctor names each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.apps import Served, serving
from tests.faults.consulting import causes
from tests.faults.test_app_slow import asked
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


def test_a_database_that_hung_leaves_no_slow_statement_behind(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Each look of the doctor asks by a connection of its own; all of their statements end at the
    same moment, late, and none of them is slow for that."""
    server.sql("CREATE DATABASE hung")
    patient = {"DATABASE_MAX_CONNECTIONS": "8", "DATABASE_TIMEOUT": "60s"}
    with serving(tmp_path, PROGRAM, server.url("hung"), **patient) as served:
        with asked(served, "/notes", 8):  # so that there are connections for all who ask
            until(lambda: served.probe("app.database")["pool"]["open_connections"] >= 6, 20.0)
        server.freeze()
        try:
            for _ in range(4):
                served.named("requests are answered 503")
        finally:
            server.thaw()
        until(lambda: well(served), 40.0)
        slow: Any = served.get("/admin/slow-queries")["data"]
        assert max(each["count"] for each in slow) >= 3, "nothing was slow: this proves nothing"


def test_a_database_that_is_gone(served: Served, server: PostgresServer) -> None:
    name = served.database.rpartition("/")[2]
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    assert "does not let the app in" in becomes(served, "postgres-refuses")["says"]
