"""What the client library raises, and what it means."""

import asyncio
import sys
from typing import Any

import pytest
from tests.queue.redis.conftest import engine_on
from tests.servers.valkey import RedisServer

from backstay.core.settings import Secret
from backstay.queue.store.redis_address import RedisAddress
from backstay.queue.store.redis_link import Link, LostError


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="since 3.12 the write runs in the caller's own task"
)
async def test_a_connection_that_was_closed_under_its_caller_is_a_lost_one(store: RedisServer):
    """As the cluster's client does when it learns of another layout: the write is under way, in a
    task of the library's, and has not touched the connection yet."""
    link = Link(RedisAddress.parse(store.address), Secret(""), 4)
    await link.open()
    connection: Any = link._client.connection_pool.make_connection()
    await connection.connect()
    asked = asyncio.create_task(link._heed(connection.send_command("PING")))
    while connection._writer is not None:
        await asyncio.sleep(0)
        await connection.disconnect(nowait=True)
    with pytest.raises(LostError) as lost:
        await asked
    assert isinstance(lost.value.__cause__, AttributeError)
    assert store.address in str(lost.value.fault)
    await link.close()


@pytest.mark.parametrize("thing", [None, object()])
async def test_a_mistake_of_our_own_is_not_taken_for_a_store_that_is_away(
    store: RedisServer, thing: Any
):
    link = Link(RedisAddress.parse(store.address), Secret(""), 4)

    async def mistaken() -> None:
        thing.answer()

    with pytest.raises(AttributeError, match="answer"):
        await link._heed(mistaken())


async def test_an_engine_closes_though_the_client_takes_the_cancellation_for_a_lost_connection(
    store: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    """As that of a cluster does now and then; who looks at the store went on looking for good."""
    engine = engine_on(store)
    await engine.open()
    link, looks = engine._link, asyncio.Event()
    real = link.ask

    async def deaf(*words: Any) -> Any:
        if looks.is_set():
            return await real(*words)
        looks.set()
        try:
            return await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ConnectionError("the connection is lost") from None

    monkeypatch.setattr(link, "ask", deaf)
    async with asyncio.timeout(60):
        await looks.wait()
        await engine.close()
