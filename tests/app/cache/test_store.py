"""What both caches promise, whatever the order in which reads and writes arrive."""

from collections.abc import AsyncIterator

import pytest
from tests.servers.valkey import RedisServer

from backstay.app.cache.shared import SharedCache
from backstay.app.cache.store import EVERYTHING, Cache, MemoryCache
from backstay.app.cache.watching import written
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.settings import Secret
from backstay.core.virtual import VirtualClock

TABLES = ("items", "orders")


def shared(server: RedisServer, prefix: str) -> SharedCache:
    clock = SystemClock()
    return SharedCache(Secret(f"redis://{server.address}/0"), prefix, clock, Uuid7(clock))


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    made: Cache = MemoryCache(SystemClock())
    if request.param == "redis":
        name = request.node.name
        made = shared(request.getfixturevalue("redis_server"), f"test:{name}:")
    await made.open("here")
    await warm(made)
    yield made
    await made.close()


async def warm(cache: Cache) -> None:
    """The first look in a Redis only makes the stamps."""
    await cache.look("warm", TABLES)


async def test_what_was_put_is_found_and_a_write_ends_it(cache: Cache) -> None:
    stamp = (await cache.look("k", TABLES)).stamp
    await cache.put("k", stamp, b"one\ntwo", 60)
    assert (await cache.look("k", TABLES)).value == b"one\ntwo"
    await cache.spoil(["orders"])
    assert (await cache.look("k", TABLES)).value is None
    await cache.put("k", (await cache.look("k", TABLES)).stamp, b"new", 60)
    await cache.spoil(["customers"])
    assert (await cache.look("k", TABLES)).value == b"new"
    await cache.spoil([EVERYTHING])
    assert (await cache.look("k", TABLES)).value is None


async def test_a_read_from_before_a_write_is_never_found_after_it(cache: Cache) -> None:
    """The reader is slow: it looked before the write and puts what it read after it."""
    before = (await cache.look("k", TABLES)).stamp
    await cache.spoil(["items"])
    await cache.put("k", before, b"old", 60)
    assert (await cache.look("k", TABLES)).value is None


async def test_an_evicted_stamp_does_not_bring_an_old_value_back(
    redis_server: RedisServer,
) -> None:
    cache = shared(redis_server, "evicted:")
    await cache.open("here")
    await warm(cache)
    stamp = (await cache.look("k", TABLES)).stamp
    await cache.put("k", stamp, b"old", 60)
    redis_server.ask("DEL", "evicted:here:t:items")
    assert (await cache.look("k", TABLES)).value is None
    await warm(cache)
    assert (await cache.look("k", TABLES)).value is None
    await cache.close()


async def test_two_databases_with_one_program_share_nothing(redis_server: RedisServer) -> None:
    one, two = shared(redis_server, "same:"), shared(redis_server, "same:")
    await one.open("here")
    await two.open("there")
    await warm(one)
    await warm(two)
    await one.put("k", (await one.look("k", TABLES)).stamp, b"mine", 60)
    assert (await two.look("k", TABLES)).value is None
    assert (await one.look("k", TABLES)).value == b"mine"
    await one.close()
    await two.close()


async def test_memory_is_bounded_in_time_and_size() -> None:
    clock = VirtualClock()
    cache = MemoryCache(clock, most_bytes=3000, most_entries=5)
    for number in range(8):
        await cache.put(f"k{number}", (await cache.look("x", ())).stamp, b"v", 10)
    assert cache.facts()["entries"] == 5
    assert (await cache.look("k0", ())).value is None
    assert (await cache.look("k7", ())).value == b"v"
    await cache.put("big", (await cache.look("x", ())).stamp, b"v" * 2500, 10)
    facts = cache.facts()
    assert isinstance(facts["bytes"], int)
    assert facts["bytes"] <= 3000
    assert (await cache.look("big", ())).value is not None
    await clock.advance(11)
    assert (await cache.look("big", ())).value is None


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT * FROM "orders" FOR UPDATE', ()),
        ('INSERT INTO "orders" (id) VALUES (?)', ("orders",)),
        ("INSERT OR REPLACE INTO orders VALUES (?)", ("orders",)),
        ("UPDATE orders SET total = ? WHERE id IN (SELECT id FROM items)", ("orders",)),
        ("DELETE FROM orders", ("orders",)),
        (
            "WITH gone AS (DELETE FROM items RETURNING id) UPDATE orders SET n = 1",
            ("items", "orders"),
        ),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 2", ("a", "SET")),
    ],
)
def test_the_tables_that_a_statement_writes(sql: str, tables: tuple[str, ...]) -> None:
    assert written(sql) == tables
