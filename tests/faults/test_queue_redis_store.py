"""A Redis that goes away, hangs, is full, or may forget: the queue lives on, the doctor names it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.consulting import assert_named, assert_silent
from tests.queue.support import Server, serving
from tests.servers.require import absent
from tests.servers.valkey import RedisServer, system_binary


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One of this test's own: it comes to harm."""
    binary = system_binary()
    if binary is None:
        absent("redis-server", "Debian: sudo apt-get install redis-server")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(binary, folder, "--appendfsync", "always")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def queue(tmp_path: Path, redis: RedisServer) -> Iterator[Server]:
    with serving(tmp_path / "data", env={"REDIS_ADDR": redis.address}) as server:
        yield server


def fill(queue: Server, redis: RedisServer, *, finish: bool) -> None:
    """The store has no room for another byte."""
    for _ in range(20):
        queue.create("PRINT", payload={"text": "x" * 20_000})
        if finish:
            task = queue.claim("PRINT")
            assert task is not None
            result = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
            assert queue.post(f"/tasks/{task['id']}/result", result).status == 200
    redis.ask("CONFIG", "SET", "maxmemory", "1000000")
    assert queue.post("/tasks", {"command": "PRINT", "payload": {}}).status == 503


def test_a_redis_that_works_is_left_in_peace(queue: Server) -> None:
    queue.create("PRINT", delaySeconds=600)
    assert_silent(queue)


def test_redis_is_down(queue: Server, redis: RedisServer) -> None:
    redis.kill()
    found = assert_named(queue, "redis-down")
    assert redis.address in found["says"]


def test_redis_hangs(queue: Server, redis: RedisServer) -> None:
    redis.running.process.send_signal(signal.SIGSTOP)
    try:
        assert_named(queue, "redis-hangs")
    finally:
        redis.running.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("finish", "cause"), [(False, "redis-full-of-work"), (True, "redis-full-of-past")]
)
def test_redis_is_full(queue: Server, redis: RedisServer, finish: bool, cause: str) -> None:
    fill(queue, redis, finish=finish)
    assert_named(queue, cause, "--only", "queue-redis")


def test_redis_may_forget_what_it_took(tmp_path: Path, redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with serving(tmp_path / "other", env={"REDIS_ADDR": redis.address}) as server:
        found = assert_named(server, "redis-lossy")
        assert "throws tasks away" in found["says"]
