"""A cache that is lost and statements that are slow, on real servers: the doctor names each, and
leaves alone an app that is well."""

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, SECRET, clean_env
from tests.e2e.stack import free_port, until
from tests.faults.consulting import assert_named, causes, consult
from tests.servers.postgres import PostgresServer
from tests.servers.require import absent
from tests.servers.valkey import RedisServer, system_binary

SHOP = Path(__file__).parents[1] / "app" / "cache" / "shop.cai"
ROWS = 60_000


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One of this test's own: it comes to harm."""
    binary = system_binary()
    if binary is None:
        absent("redis-server", "Debian: sudo apt-get install redis-server")
    server = RedisServer(binary, tmp_path / "redis")
    yield server
    server.running.process.send_signal(signal.SIGCONT)
    server.stop()


class Shop:
    """`codeai server` by itself, as the doctor finds it by its data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.base_url = f"http://127.0.0.1:{free_port()}"
        self.out = data.parent / "out.log"

    def get(self, path: str) -> str:
        done = subprocess.run(
            ["curl", "-sS", f"{self.base_url}{path}"], capture_output=True, text=True, timeout=60
        )
        return done.stdout


@contextmanager
def serving(data: Path, **env: str) -> Iterator[Shop]:
    shop = Shop(data)
    address = shop.base_url.removeprefix("http://")
    with shop.out.open("ab") as out:
        process = subprocess.Popen(
            [BIN / "codeai", "server", SHOP, "--data", data, "--listen", address],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=clean_env(JWT_SECRET=SECRET, **env),
        )
    try:
        until(lambda: "healthy" in shop.get("/health/live"), PATIENCE, shop.out.read_text)
        yield shop
    finally:
        process.terminate()
        process.wait(PATIENCE)


def named(shop: Shop, cause: str) -> dict[str, object]:
    return assert_named(shop.data, cause, "--url", shop.base_url)


def left_alone(shop: Shop) -> None:
    code, verdict = consult(shop.data, "--url", shop.base_url)
    assert (code, causes(verdict)) == (0, []), verdict


def test_a_cache_that_works_is_left_in_peace(tmp_path: Path, redis: RedisServer) -> None:
    with serving(tmp_path / "data", REDIS_URL=f"redis://{redis.address}/0") as shop:
        shop.get("/api/v1/items")
        left_alone(shop)


@pytest.mark.seed("C15")
def test_the_cache_is_down(tmp_path: Path, redis: RedisServer) -> None:
    with serving(tmp_path / "data", REDIS_URL=f"redis://{redis.address}/0") as shop:
        redis.kill()
        found = named(shop, "cache-down")
        assert redis.address in str(found["says"])
        redis.restart()
        until(lambda: not causes(consult(shop.data)[1]), PATIENCE, lambda: "never well again")


def test_the_cache_hangs(tmp_path: Path, redis: RedisServer) -> None:
    with serving(tmp_path / "data", REDIS_URL=f"redis://{redis.address}/0") as shop:
        redis.running.process.send_signal(signal.SIGSTOP)
        named(shop, "cache-hangs")


def test_the_cache_is_full(tmp_path: Path, redis: RedisServer) -> None:
    with serving(tmp_path / "data", REDIS_URL=f"redis://{redis.address}/0") as shop:
        redis.ask("SET", "big", "x" * 6_000_000)
        redis.ask("CONFIG", "SET", "maxmemory", "5000000")
        shop.get("/api/v1/items")
        named(shop, "cache-full")
        # As the doctor says: let it throw the oldest away.
        redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        until(lambda: not causes(consult(shop.data)[1]), PATIENCE, lambda: "never well again")


def test_the_cache_does_not_let_the_app_in(tmp_path: Path, redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "requirepass", "another password")
    url = f"redis://:the-wrong-word@{redis.address}/0"
    with serving(tmp_path / "data", REDIS_URL=url) as shop:
        shop.get("/api/v1/items")
        found = named(shop, "cache-denied")
        assert "the-wrong-word" not in str(found)
        assert "the-wrong-word" not in shop.out.read_text()


MANY = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    " INSERT INTO items (id, name) SELECT {id}, 'item ' || i FROM n"
)


def slow(shop: Shop) -> None:
    for number in range(4):
        assert "pagination" in shop.get(f"/api/v1/items?name=nothing{number}")


def test_a_statement_that_walks_a_large_table_on_sqlite(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        pass
    database = sqlite3.connect(tmp_path / "data" / "app.db")
    database.execute(MANY.format(rows=ROWS, id="'00000000-0000-7000-8000-' || printf('%012d', i)"))
    database.commit()
    database.close()
    with serving(tmp_path / "data", SLOW_QUERY="200us") as shop:
        slow(shop)
        found = named(shop, "missing-index")
        assert "items" in str(found["says"])
    with serving(tmp_path / "data", SLOW_QUERY="60s") as shop:
        slow(shop)
        left_alone(shop)


def test_a_statement_that_walks_a_large_table_on_postgres(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    postgres.sql("CREATE DATABASE walked")
    url = postgres.url("walked")
    with serving(tmp_path / "data", DATABASE_URL=url):
        pass
    key = "('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid"
    postgres.sql(MANY.format(rows=ROWS, id=key), "walked")
    with serving(tmp_path / "data", DATABASE_URL=url, SLOW_QUERY="1ms") as shop:
        slow(shop)
        found = named(shop, "missing-index")
        assert "items" in str(found["says"])
