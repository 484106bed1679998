"""A server that is short of memory, whose store is slow or contradicts itself: real limits, a real
Redis that is held up, a real row that is wrong."""

import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.faults.consulting import assert_mended, assert_named, assert_silent
from tests.queue.support import Server, serving
from tests.servers.slowed import held_up as held_up_calls
from tests.servers.valkey import RedisServer


def squeeze(server: Server) -> None:
    """From now on the server is a hair below the limit of its memory."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
    limit = int(used * 1024 * 1.05)
    resource.prlimit(server.process.pid, resource.RLIMIT_DATA, (limit, limit))


@pytest.mark.parametrize(
    ("env", "cause"),
    [
        ({}, "memory-limit-low"),
        ({"LOG_LEVEL": "debug"}, "debug-logging"),
        ({"MAX_PAYLOAD_BYTES": str(64 * 1024 * 1024)}, "payloads-large"),
    ],
)
def test_the_server_is_short_of_memory(tmp_path: Path, env: dict[str, str], cause: str) -> None:
    with serving(tmp_path / "data", env=env) as server:
        assert_silent(server)
        squeeze(server)
        assert_named(server, cause)


@contextmanager
def held_up(redis: RedisServer, milliseconds: int) -> Iterator[None]:
    """Every write waits this long at most, and is made then; reads do not wait."""
    stopped = threading.Event()

    def hold() -> None:
        while not stopped.is_set():
            redis.ask("CLIENT", "PAUSE", str(milliseconds), "WRITE")
            stopped.wait(milliseconds / 1000 + 0.1)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(10)
        redis.ask("CLIENT", "UNPAUSE")


def test_redis_is_slow(tmp_path: Path, redis_server: RedisServer) -> None:
    with (
        serving(tmp_path / "data", env={"REDIS_ADDR": redis_server.address}) as server,
        # No divisor of the five seconds between two looks, which would always meet the same moment.
        held_up(redis_server, 1700),
    ):
        found = assert_named(server, "redis-slow", "--only", "queue-slow")
        assert redis_server.address in found["says"]


def test_the_disk_is_slow(tmp_path: Path) -> None:
    late = held_up_calls(tmp_path / "trace", "fsync,fdatasync", 0.6)
    with serving(tmp_path / "data", wrap=late) as server:
        found = assert_named(server, "disk-slow")
        assert str(tmp_path / "data" / "queue.db") in found["says"]
        assert found["evidence"][0]["facts"]["seconds"] >= 0.6
        assert found["fixes"][0]["command"] == "codeq-server --durability process"
        server.stop()
    # The same disk; its caches are trusted now.
    with serving(tmp_path / "data", "--durability", "process", wrap=late) as server:
        server.create("PRINT", delaySeconds=600)
        assert_mended(server)


def test_claims_that_wait_are_no_slowness(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        server.create("PRINT")
        server.claim("PRINT")
        assert server.claim("PRINT", waitSeconds=3) is None
        found = assert_named(server, "long-polls", "the queue is slow, requests take long")
        assert found["fixes"][0]["says"].startswith("Nothing is wrong")


def test_the_store_contradicts_itself(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        server.create("PRINT")
        server.stop()
        with closing(sqlite3.connect(tmp_path / "data" / "queue.db")) as db:
            plant(db)
        server.start()
        found = assert_named(
            server, "contradictions", "--only", "queue-inconsistent", "the counts look wrong"
        )
        assert found["fixes"][0]["command"].startswith("codeq admin cleanup")


def plant(db: sqlite3.Connection) -> None:
    """A task that waits, and has ended."""
    db.execute("UPDATE task SET ended_at = 1")
    db.commit()
