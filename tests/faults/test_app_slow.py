"""Statements and endpoints that are slow on a real PostgreSQL: a trigger that sleeps, a lock that is
held, too few connections, an endpoint that computes, one that reads everything; the doctor names
each, and where the time goes."""

import json
import os
import re
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from tests.faults.apps import Served, serving
from tests.faults.consulting import apply
from tests.queue.support import until
from tests.servers.postgres import PostgresServer

PROGRAM = """
entity Note { id: uuid, primary, auto, text: text, required }
endpoint GET /notes { returns: paginated(Note) }
endpoint POST /notes {
  body { text: text, required }
  do { let made = create Note { text: body.text }  return made }
}
endpoint GET /all { do { let all = query "select from Note" return { count: count(all) } } }
endpoint GET /sum { do { SUM(150) } }
endpoint GET /long { do { SUM(400) } }
"""
PROGRAM = re.sub(
    r"SUM\((\d+)\)",
    r"var sum = 0 for a in range(1, \1) { for b in range(1, \1) { sum = sum + a * b } }"
    r" return { sum: sum }",
    PROGRAM,
)
SLOWLY = (
    "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;"
    " CREATE TRIGGER slowly BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION slowly()"
)

Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path, postgres: PostgresServer) -> Iterator[Start]:
    name = f"slow_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    with ExitStack() as stack:
        yield lambda **env: stack.enter_context(
            serving(tmp_path, PROGRAM, postgres.url(name), **env)
        )


def name_of(served: Served) -> str:
    return served.database.rpartition("/")[2]


@contextmanager
def asked(served: Served, path: str, clients: int, body: object = None) -> Iterator[None]:
    """So many clients, each with one request after the other until the block ends."""
    over = threading.Event()
    raw = None if body is None else json.dumps(body).encode()

    def ask() -> None:
        head = {"content-type": "application/json"}
        while not over.is_set():
            with suppress(OSError, HTTPException):
                asked = urllib.request.Request(f"{served.url}/api/v1{path}", raw, head)
                urllib.request.urlopen(asked, timeout=60).close()

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        over.set()


def test_a_statement_is_slow_though_it_walks_nothing(
    start: Start, postgres: PostgresServer
) -> None:
    served = start(SLOW_QUERY="200ms")
    served.well("requests are slow")
    postgres.sql(SLOWLY.format(seconds=0.3), name_of(served))
    for _ in range(3):
        served.post("/notes", {"text": "a note"})
    found = served.fault("slow-statement", "requests are slow")
    assert "INSERT INTO" in found["says"]
    assert "a note" not in str(found)
    assert "Insert on notes" in apply(found, "look-at-plan")


def test_statements_that_met_one_standstill_are_no_slow_statements(
    start: Start, postgres: PostgresServer
) -> None:
    """Several at once that waited for the same thing say nothing of the statement."""
    served = start(SLOW_QUERY="200ms")
    with held(served, postgres) as let_go, asked(served, "/notes", 6):
        until(lambda: waited(served) > 0.5, 20.0)
        let_go()
        until(lambda: slow_ones(served), 20.0)
    (slow,) = slow_ones(served)
    assert slow["count"] >= 3
    assert served.probe("app.queries")["slow"] == []
    served.well("requests are slow")


def waited(served: Served) -> float:
    return max((each["waited"] for each in served.probe("app.locks")["blockers"]), default=0.0)


def slow_ones(served: Served) -> list[dict[str, Any]]:
    found: Any = served.get("/admin/slow-queries")["data"]
    return list(found)


@contextmanager
def held(served: Served, postgres: PostgresServer) -> Iterator[Callable[[], None]]:
    """Somebody holds the table until the block ends, or until they are told to let go."""
    name = name_of(served)

    def hold() -> None:
        with suppress(RuntimeError):  # it is ended from outside
            postgres.sql(
                "BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)", name
            )

    def locked() -> bool:
        locks = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock'"
        return postgres.sql(f"{locks} AND relation = 'notes'::regclass", name).strip() == "1"

    def let_go() -> None:
        sleeping = "query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
        postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {sleeping}")

    threading.Thread(target=hold, daemon=True).start()
    until(locked, 20.0)
    try:
        yield let_go
    finally:
        let_go()


def test_a_session_holds_a_lock(start: Start, postgres: PostgresServer) -> None:
    served = start(DATABASE_MAX_CONNECTIONS="4")
    with held(served, postgres), asked(served, "/notes", 8):
        found = served.fault("lock-held", "requests are answered 503")
        assert "LOCK TABLE notes" in found["says"]
        assert "psql" in found["says"]
        # All connections are taken by those who wait: that follows, and is told as such.
        until(
            lambda: (
                "connections to PostgreSQL are at work" in str(served.fault("lock-held")["follows"])
            ),
            20.0,
        )
        ended = apply(found, "end-session", DATABASE_URL=served.database)
        assert "t" in ended.split()
        served.well()


def test_every_connection_is_at_work(start: Start, postgres: PostgresServer) -> None:
    served = start(DATABASE_MAX_CONNECTIONS="3")
    postgres.sql(SLOWLY.format(seconds=0.4), name_of(served))
    with asked(served, "/notes", 16, {"text": "a note"}):
        found = served.fault("pool-exhausted")
        assert "all 3 connections" in found["says"]
        until(lambda: "waiting for its turn" in str(served.named()), 30.0)


def test_an_endpoint_is_slow_by_its_statements(start: Start, postgres: PostgresServer) -> None:
    served = start(SLOW_QUERY="20s")
    postgres.sql(SLOWLY.format(seconds=1.3), name_of(served))
    with asked(served, "/notes", 8, {"text": "a note"}):
        found = served.fault("endpoint-statements", "POST /notes has a high latency")
        assert "POST /api/v1/notes is slow" in found["says"]
        assert "statements" in found["says"]


def test_an_endpoint_reads_everything(start: Start, postgres: PostgresServer) -> None:
    served = start(SLOW_QUERY="1ms")
    many = (
        "INSERT INTO notes (id, text) SELECT gen_random_uuid(), 'note' FROM generate_series(1, {})"
    )
    postgres.sql(many.format(8000), name_of(served))
    for _ in range(4):
        assert served.get("/all")["count"] == 8000
    found = served.fault("large-result")
    assert "8000 rows" in found["says"]


def test_an_endpoint_computes(tmp_path: Path) -> None:
    with serving(tmp_path, PROGRAM, "") as served:
        with asked(served, "/sum", 24):
            found = served.fault("endpoint-busy")
            assert "GET /api/v1/sum is slow" in found["says"]
        served.well()


def test_an_app_that_computes_without_a_pause_is_not_called_well(start: Start) -> None:
    served = start()
    with asked(served, "/long", 12):
        found = served.fault("app-computes")
        assert f"pid {served.pid}" in found["says"]
        os.kill(served.pid, signal.SIGKILL)  # it would not hear of anything milder for a while


def test_clients_that_send_slowly_make_no_slow_endpoint(tmp_path: Path) -> None:
    body = b'{"text": "a note"}'
    head = f"POST /api/v1/notes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"

    def send(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
            one.sendall(head.encode())
            threading.Event().wait(1.4)  # the slowness that is meant
            one.sendall(body)
            assert one.recv(100).startswith(b"HTTP/1.1 20")

    with serving(tmp_path, PROGRAM, "") as served:
        threads = [threading.Thread(target=send, args=(served.port,)) for _ in range(14)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        found = served.fault("endpoint-senders")
        assert "POST /api/v1/notes is slow" in found["says"]
        assert "bodies that clients send" in found["says"]
