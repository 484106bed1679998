"""The breaker over real failures of a real upstream; only its time is virtual."""

import asyncio

import pytest
import structlog

from backstay.core.virtual import VirtualClock


class Moody:
    """An upstream whose mood a test sets."""

    def __init__(self):
        self.status = 200
        self.hold = None

    async def __call__(self, call):
        if self.hold is not None:
            await self.hold.wait()
        if self.status == 0:
            call.writer.transport.abort()
        else:
            await call.answer(b"x", status=self.status)


async def failing(gateway, times):
    return [(await gateway.ask("GET", "/u")).status for _ in range(times)]


@pytest.mark.parametrize("mood", [0, 502, 503, 504])
async def test_it_opens_rejects_probes_and_closes(serve, proxy, mood):
    moody = Moody()
    server = await serve(moody)
    clock = VirtualClock()
    gateway = await proxy(server, clock=clock)
    moody.status = mood
    assert await failing(gateway, 5) == [mood or 502] * 5
    asked = len(server.calls)
    refused = await gateway.ask("GET", "/u")
    assert (refused.status, refused.json()["code"]) == (503, "GATE014")
    assert refused.header("retry-after") == "60"
    assert len(server.calls) == asked
    # A probe that fails opens it again, for as long as before.
    clock.advance_now(60.5)
    assert await failing(gateway, 1) == [mood or 502]
    assert (await gateway.ask("GET", "/u")).status == 503
    assert len(server.calls) == asked + 1
    # It never stays open while the upstream is well.
    moody.status = 200
    clock.advance_now(60.5)
    assert await failing(gateway, 3) == [200, 200, 200]
    assert gateway.parts.breakers["up"].state == "closed"


async def test_half_open_lets_a_bounded_number_through_at_once(serve, proxy, eventually):
    moody = Moody()
    server = await serve(moody)
    clock = VirtualClock()
    gateway = await proxy(server, clock=clock)
    moody.status = 503
    await failing(gateway, 5)
    clock.advance_now(61)
    moody.status, moody.hold = 200, asyncio.Event()
    before = len(server.calls)
    probes = [asyncio.ensure_future(gateway.ask("GET", "/u")) for _ in range(10)]
    await eventually(lambda: sum(probe.done() for probe in probes) == 7)
    assert len(server.calls) == before + 3
    moody.hold.set()
    assert sorted([(await probe).status for probe in probes]) == [200] * 3 + [503] * 7
    assert gateway.parts.breakers["up"].state == "closed"


async def test_a_probe_whose_client_leaves_gives_its_place_back(serve, proxy, eventually):
    moody = Moody()
    server = await serve(moody)
    clock = VirtualClock()
    gateway = await proxy(server, clock=clock, breaker_probes=1)
    moody.status = 503
    await failing(gateway, 5)
    clock.advance_now(61)
    moody.status, moody.hold = 200, asyncio.Event()
    client = await gateway.connect()
    await client.send(b"GET /u HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: len(server.calls) == 6)
    client.close()
    await eventually(gateway.quiet)
    moody.hold = None
    assert (await gateway.ask("GET", "/u")).status == 200


@pytest.mark.parametrize("status", [400, 404, 409, 429, 500])
async def test_answers_that_say_something_else_do_not_count(serve, proxy, status):
    moody = Moody()
    moody.status = status
    gateway = await proxy(await serve(moody))
    assert await failing(gateway, 7) == [status] * 7
    assert gateway.parts.breakers["up"].view().total_failures == 0


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_what_speaks_of_one_request_alone_does_not_count(serve, proxy, status):
    """Whoever could make a system answer so took it from everybody for a minute."""

    async def narrow(call):
        await call.answer(b"", status, "X-Backstay-Narrow: true\r\n")

    gateway = await proxy(await serve(narrow))
    for _ in range(7):
        reply = await gateway.ask("GET", "/u")
        assert (reply.status, reply.header("x-backstay-narrow")) == (status, None)
    assert gateway.parts.breakers["up"].view().total_failures == 0


async def test_timeouts_count(serve, proxy):
    moody = Moody()
    moody.hold = asyncio.Event()
    gateway = await proxy(await serve(moody), unary_timeout=0.05, breaker_failures=2)
    assert await failing(gateway, 3) == [504, 504, 503]


async def test_refused_connections_count(proxy):
    gateway = await proxy("unix:/nowhere/at.all")
    assert await failing(gateway, 6) == [502] * 5 + [503]


async def test_long_routes_do_not_feed_it_and_are_rejected_only_while_it_is_open(serve, proxy):
    moody = Moody()
    server = await serve(moody)
    clock = VirtualClock()
    gateway = await proxy(server, clock=clock)
    moody.status = 503
    for _ in range(7):
        await gateway.ask("GET", "/l")
    assert gateway.parts.breakers["up"].state == "closed"
    await failing(gateway, 5)
    asked = len(server.calls)
    assert (await gateway.ask("GET", "/l")).status == 503
    assert len(server.calls) == asked
    clock.advance_now(61)
    moody.status = 200
    assert [(await gateway.ask("GET", "/l")).status for _ in range(5)] == [200] * 5


async def test_an_administrator_resets_it_and_every_change_is_told(serve, proxy):
    moody = Moody()
    moody.status = 503
    gateway = await proxy(await serve(moody))
    with structlog.testing.capture_logs() as lines:
        await failing(gateway, 6)
        opened = (await gateway.ask("GET", "/metrics")).body.decode()
        moody.status = 200
        reset = await gateway.ask("POST", "/v1/gateway/breakers/up/reset")
        after = await gateway.ask("GET", "/u")
    assert (reset.status, reset.json()["state"], after.status) == (200, "closed", 200)
    changes = [line for line in lines if line["event"] == "circuit breaker state changed"]
    assert [(line["from"], line["to"], line["target"]) for line in changes] == [
        ("closed", "open", "up"),
        ("open", "closed", "up"),
    ]
    assert 'gateway_breaker_state{system="gateway",upstream="up"} 2' in opened
    assert 'gateway_breaker_rejected{system="gateway",upstream="up"} 1' in opened
    closed = (await gateway.ask("GET", "/metrics")).body.decode()
    assert 'gateway_breaker_state{system="gateway",upstream="up"} 0' in closed
    counted = 'gateway_breaker_changes_total{system="gateway",upstream="up",to='
    assert f'{counted}"open"}} 1' in closed
    assert f'{counted}"closed"}} 1' in closed


async def test_clients_that_are_slow_do_not_open_it(serve, proxy, eventually):
    """Whoever reads or sends slowly must not be able to take an upstream from everybody."""

    async def large(call):
        if call.method == "GET":
            await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n")
            while True:
                await call.say(b"x" * 65536)

    server = await serve(large)
    gateway = await proxy(server, unary_timeout=0.3, breaker_failures=1)
    with structlog.testing.capture_logs() as lines:
        reader, sender = [await gateway.connect() for _ in range(2)]
        await reader.send(b"GET /u HTTP/1.1\r\nHost: x\r\n\r\n")
        await sender.send(b"POST /u HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert (await sender.reply()).status == 408
        await eventually(gateway.quiet)
        gateway.parts.access.flush()
    causes = [line["cause"] for line in lines if line["event"] == "http request"]
    assert causes == ["client_slow", "client_slow"]
    assert gateway.parts.breakers["up"].view().total_failures == 0
    await eventually(lambda: server.open == 0)
