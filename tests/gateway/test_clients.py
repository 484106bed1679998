"""Clients that are hostile, broken or slow: refused in words, and never at somebody else's cost."""

import asyncio

import pytest
import structlog


async def ok(call):
    await call.answer(b"hello")


async def echo(call):
    await call.answer(call.body or b"")


HOST = b"Host: localhost\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        # Request smuggling: two ways to frame a body, or one that servers read differently.
        (
            b"POST /u HTTP/1.1\r\n%bContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "GATE003",
        ),
        (
            b"POST /u HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
            "GATE003",
        ),
        (
            b"POST /u HTTP/1.1\r\n%bContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            400,
            "GATE003",
        ),
        (
            b"POST /u HTTP/1.1\r\n%bContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            400,
            "GATE003",
        ),
        (b"POST /u HTTP/1.1\r\n%bContent-Length: +3\r\n\r\nabc", 400, "GATE003"),
        (b"POST /u HTTP/1.1\r\n%bContent-Length: 3,3\r\n\r\nabc", 400, "GATE003"),
        (b"POST /u HTTP/1.1\r\n%bContent-Length: 0x3\r\n\r\nabc", 400, "GATE003"),
        (b"POST /u HTTP/1.1\r\n%bContent-Length : 3\r\n\r\nabc", 400, "GATE003"),
        (b"POST /u HTTP/1.1\r\n%bTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "GATE026"),
        (
            b"POST /u HTTP/1.1\r\n%bTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "GATE026",
        ),
        (
            b"POST /u HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            400,
            "GATE003",
        ),
        (b"POST /u HTTP/1.0\r\n%bTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "GATE003"),
        (b"POST /u HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\nZ\r\n\r\n", 400, "GATE003"),
        # Heads that break the grammar.
        (b"GET /u HTTP/1.1\n%b\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n%bX: a\nY: b\r\n\r\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n%bX: a\r\n folded\r\n\r\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n%bX: a\0b\r\n\r\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n%bX: a\rb\r\n\r\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n%bX y: a\r\n\r\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n%bHost: other\r\n\r\n", 400, "GATE003"),
        (b"GET /u HTTP/1.1\r\n\r\n", 400, "GATE003"),
        (b"GET /u x HTTP/1.1\r\n%b\r\n", 400, "GATE003"),
        (b"FOO /u HTTP/1.1\r\n%b\r\n", 400, "GATE003"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "GATE003"),
        (b"GET /u HTTP/2.0\r\n%b\r\n", 505, "GATE024"),
        (b"GET /u HTTP/1.1\r\n%bExpect: miracles\r\n\r\n", 417, "GATE023"),
        # Another protocol.
        (b"CONNECT localhost:1 HTTP/1.1\r\n%b\r\n", 501, "GATE008"),
        (b"GET /u HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501, "GATE008"),
        (
            b"POST /u HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
            501,
            "GATE008",
        ),
        # Paths that two servers could read as two.
        (b"GET /u/../admin HTTP/1.1\r\n%b\r\n", 400, "GATE020"),
        (b"GET /u/%%2e%%2e/admin HTTP/1.1\r\n%b\r\n", 400, "GATE020"),
        (b"GET /u/%%5c..%%5cadmin HTTP/1.1\r\n%b\r\n", 400, "GATE020"),
        (b"GET /u/%%00 HTTP/1.1\r\n%b\r\n", 400, "GATE020"),
        (b"OPTIONS * HTTP/1.1\r\n%b\r\n", 400, "GATE020"),
    ],
)
async def test_a_bad_request_is_refused_without_asking_anybody_and_ends_the_connection(
    serve, proxy, request_, status, code
):
    server = await serve(ok)
    client = await (await proxy(server)).connect()
    # What is smuggled behind it must never be taken for a request.
    raw = request_ % HOST if b"%b" in request_ else request_
    await client.send(raw + b"GET /u/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    reply = await client.reply()
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert reply.header("connection") == "close"
    assert await client.ended()
    assert [call.target for call in server.calls if "smuggled" in call.target] == []


async def test_an_answer_on_its_way_is_not_lost_to_the_nonsense_behind_it(serve, proxy):
    async def slow(call):
        await asyncio.sleep(0.05)
        await call.answer(b"good")

    client = await (await proxy(await serve(slow))).connect()
    await client.send(b"GET /u HTTP/1.1\r\n" + HOST + b"\r\nNONSENSE\r\n\r\n")
    assert (await client.reply()).body == b"good"
    assert (await client.reply()).status == 400
    assert await client.ended()


async def test_an_offered_h2c_upgrade_is_not_taken_and_not_held_against_anybody(serve, proxy):
    server = await serve(ok)
    client = await (await proxy(server)).connect()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n"
    for _ in range(2):
        await client.send(b"GET /u HTTP/1.1\r\n" + HOST + offer)
        assert (await client.reply()).body == b"hello"
    assert not dict(server.calls[0].headers).keys() & {"upgrade", "http2-settings", "connection"}


@pytest.mark.parametrize(
    "head",
    [
        b"GET /u HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /u HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n",
        b"GET /u?" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
async def test_a_head_over_the_limit_is_a_431(serve, proxy, head):
    gateway = await proxy(await serve(ok), max_header_bytes=8192)
    client = await gateway.connect()
    await client.send(head)
    assert (await client.reply()).status == 431
    assert await client.ended()


async def test_an_endless_header_is_cut_off_although_it_never_becomes_complete(
    serve, proxy, eventually
):
    gateway = await proxy(await serve(ok), max_header_bytes=8192)
    client = await gateway.connect()
    await client.send(b"GET /u HTTP/1.1\r\nX: ")
    for _ in range(10):
        await client.send(b"a" * 4096)
        await asyncio.sleep(0.001)
    assert (await client.reply()).status == 431
    await eventually(lambda: not gateway.parts.gateway.gate.connections)


async def test_a_head_that_drips_is_a_408_however_often_it_drips(serve, proxy):
    gateway = await proxy(await serve(ok), header_timeout=0.2)
    client = await gateway.connect()
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def drip():
        for byte in b"GET /u HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 100:
            await client.send(bytes([byte]))
            await asyncio.sleep(0.02)

    dripping = asyncio.ensure_future(drip())
    reply = await client.reply()
    assert (reply.status, reply.json()["code"]) == (408, "GATE005")
    assert loop.time() - began < 0.6
    dripping.cancel()


async def test_a_silent_connection_is_closed_without_a_word(proxy):
    gateway = await proxy(header_timeout=0.1)
    client = await gateway.connect()
    assert await client.ended()


async def test_an_idle_connection_is_closed_after_its_time(serve, proxy):
    gateway = await proxy(await serve(ok), keep_alive_timeout=0.1)
    client = await gateway.connect()
    assert (await client.ask("GET", "/u")).status == 200
    assert await client.ended()


async def test_half_a_request_and_a_hang_up_leave_nothing_behind(serve, proxy, eventually):
    server = await serve(ok)
    gateway = await proxy(server)
    for half in (b"GET /u HT", b"POST /u HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhal"):
        client = await gateway.connect()
        await client.send(half)
        await asyncio.sleep(0.02)
        client.close()
        await eventually(lambda: not gateway.parts.gateway.gate.connections)
        assert gateway.quiet()


async def test_a_client_that_leaves_cancels_its_call_upstream(serve, proxy, eventually):
    left = asyncio.Event()

    async def waits(call):
        await call.reader.read()
        left.set()

    server = await serve(waits)
    gateway = await proxy(server)
    with structlog.testing.capture_logs() as lines:
        client = await gateway.connect()
        await client.send(b"GET /l HTTP/1.1\r\n" + HOST + b"\r\n")
        await eventually(lambda: server.calls)
        client.close()
        async with asyncio.timeout(2):
            await left.wait()
        await eventually(gateway.quiet)
        gateway.parts.access.flush()
    line = next(line for line in lines if line["event"] == "http request")
    assert (line["status"], line["cause"]) == (499, "client_gone")
    assert gateway.parts.pools["up"].idle == 0


async def test_a_client_that_leaves_while_it_waits_for_a_connection_frees_its_place(
    serve, proxy, eventually
):
    release = asyncio.Event()

    async def held(call):
        await release.wait()
        await call.answer()

    server = await serve(held)
    gateway = await proxy(server, pool_size=1, pool_wait=5.0)
    first = asyncio.ensure_future(gateway.ask("GET", "/u"))
    await eventually(lambda: server.calls)
    second = await gateway.connect()
    await second.send(b"GET /u HTTP/1.1\r\n" + HOST + b"\r\n")
    await eventually(lambda: gateway.parts.pools["up"].waiting == 1)
    second.close()
    await eventually(lambda: gateway.parts.pools["up"].waiting == 0)
    release.set()
    assert (await first).status == 200
    assert len(server.calls) == 1


async def test_a_client_that_leaves_in_the_middle_of_a_large_answer_frees_everything(
    serve, proxy, eventually
):
    async def endless(call):
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await call.say(b"x" * 65536)

    server = await serve(endless)
    gateway = await proxy(server)
    client = await gateway.connect()
    await client.send(b"GET /s HTTP/1.1\r\n" + HOST + b"\r\n")
    await client.reader.readexactly(1_000_000)
    client.writer.transport.abort()
    await eventually(gateway.quiet)
    await eventually(lambda: server.open == 0)


async def test_a_body_that_stops_coming_is_the_clients_fault(serve, proxy):
    server = await serve(echo)
    gateway = await proxy(server, unary_timeout=0.2)
    client = await gateway.connect()
    await client.send(b"POST /u HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nhalf")
    reply = await client.reply()
    assert (reply.status, reply.json()["code"]) == (408, "GATE017")
    assert gateway.parts.breakers["up"].view().total_failures == 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_routes_limit_is_a_413(serve, proxy, framing):
    server = await serve(echo)
    client = await (await proxy(server)).connect()
    if framing == "length":
        reply = await client.ask("POST", "/u/small", b"x" * 11)
    else:
        head = b"POST /u/small HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        await client.send(head + b"8\r\n12345678\r\n")
        await asyncio.sleep(0.02)
        await client.send(b"8\r\n12345678\r\n0\r\n\r\n")
        reply = await client.reply()
    assert (reply.status, reply.json()["code"]) == (413, "GATE006")
    assert all(call.body is None for call in server.calls)


async def test_a_body_of_just_the_limit_passes(serve, proxy):
    reply = await (await proxy(await serve(echo))).ask("POST", "/u/small", b"x" * 10)
    assert (reply.status, reply.body) == (200, b"x" * 10)


async def test_one_connection_too_many_is_told_so(serve, proxy, eventually):
    gateway = await proxy(await serve(ok), max_connections=2)
    kept = [await gateway.connect() for _ in range(2)]
    assert [(await client.ask("GET", "/u")).status for client in kept] == [200, 200]
    third = await gateway.connect()
    reply = await third.reply()
    assert (reply.status, reply.json()["code"]) == (503, "GATE007")
    assert reply.header("retry-after")
    assert await third.ended()
    kept[0].close()
    await eventually(lambda: len(gateway.parts.gateway.gate.connections) == 1)
    assert (await gateway.ask("GET", "/u")).status == 200


async def test_trailers_of_a_request_do_not_become_headers_of_the_next(serve, proxy):
    server = await serve(echo)
    client = await (await proxy(server)).connect()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Admin: 1\r\n\r\n"
    await client.send(b"POST /u HTTP/1.1\r\n" + HOST + chunked)
    assert (await client.reply()).body == b"ab"
    await client.ask("GET", "/u")
    assert all("x-admin" not in dict(call.headers) for call in server.calls)


async def test_chunk_extensions_without_end_are_refused(serve, proxy):
    gateway = await proxy(await serve(echo), max_header_bytes=8192)
    client = await gateway.connect()
    await client.send(b"POST /u HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1;")
    for _ in range(20):
        await client.send(b"x" * 2048)
        await asyncio.sleep(0.001)
    assert (await client.reply()).status == 431


async def test_a_body_of_tiny_chunks_is_fine(serve, proxy):
    client = await (await proxy(await serve(echo), max_header_bytes=8192)).connect()
    await client.send(b"POST /u HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    await client.send(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    assert (await client.reply()).body == b"x" * 20_000


async def test_a_client_that_asks_and_asks_and_never_reads_is_not_answered_into_memory(
    serve, proxy, eventually
):
    async def large(call):
        await call.answer(b"x" * 1_000_000)

    server = await serve(large)
    gateway = await proxy(server)
    client = await gateway.connect()
    await client.send(b"GET /s HTTP/1.1\r\n" + HOST + b"\r\n" + b"")
    await client.send((b"GET /s HTTP/1.1\r\n" + HOST + b"\r\n") * 200)
    before = -1
    while before != len(server.calls) or not before:
        before = len(server.calls)
        await asyncio.sleep(0.3)
    assert before < 60
    for _ in range(201):
        assert len((await client.reply()).body) == 1_000_000
