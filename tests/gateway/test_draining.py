"""A gateway that is told to stop: nobody's request is dropped, and nobody waits for ever."""

import asyncio

import pytest

HELD = b"GET /u HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def held(serve, proxy, eventually):
    """(gateway, client with a request under way, event that lets it be answered)."""
    release = asyncio.Event()

    async def waits(call):
        await release.wait()
        await call.answer(b"done")

    server = await serve(waits)
    gateway = await proxy(server)
    client = await gateway.connect()
    await client.send(HELD)
    await eventually(lambda: server.calls)
    return gateway, client, release


async def test_what_is_under_way_is_answered_and_then_the_connection_ends(held):
    gateway, client, release = held
    idle = await gateway.connect()
    assert (await idle.ask("GET", "/livez")).status == 200
    draining = asyncio.ensure_future(gateway.parts.gateway.drain(5.0))
    assert await idle.ended()
    assert not gateway.parts.gateway.ready()
    with pytest.raises(ConnectionError):
        await gateway.connect()
    assert not draining.done()
    release.set()
    reply = await client.reply()
    assert (reply.body, reply.header("connection")) == (b"done", "close")
    assert await client.ended()
    await draining


async def test_a_drain_ends_with_its_grace(held):
    gateway, client, _ = held
    async with asyncio.timeout(1.0):
        await gateway.parts.gateway.drain(0.1)
    await gateway.parts.gateway.stop()
    assert await client.ended()
    assert gateway.parts.gateway.gate.in_flight == 0


async def test_not_ready_comes_before_refused_connections(serve, proxy):
    async def ok(call):
        await call.answer()

    gateway = await proxy(await serve(ok), drain_delay=0.2)
    await gateway.board.step()
    assert (await gateway.ask("GET", "/readyz")).status == 200
    draining = asyncio.ensure_future(gateway.parts.gateway.drain(5.0))
    await asyncio.sleep(0.02)
    late = await gateway.connect()
    refused = await late.reply()
    assert (refused.status, refused.json()["code"]) == (503, "GATE016")
    assert refused.header("retry-after")
    late.close()
    await draining
