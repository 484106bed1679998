"""Upstreams that fail in every way known to us: which status, which words, and nothing leaks."""

import asyncio
import socket

import pytest
import structlog

from backstay.gateway.relay import HIGH_WATER

TOO_EARLY = 0.05


async def ok(call):
    await call.answer(b"hello")


def problem_of(reply):
    body = reply.json()
    assert reply.header("content-type") == "application/problem+json"
    assert body["instance"] == f"urn:backstay:request:{reply.header('x-request-id')}"
    return body["code"], body["values"]["upstream"], body["values"]["phase"]


async def test_each_failure_has_its_own_status_a_request_id_and_a_logged_cause(serve, proxy):
    async def reset(call):
        call.writer.transport.abort()

    async def nonsense(call):
        await call.say(b"NONSENSE\r\n\r\n")

    async def silent(call):
        await asyncio.sleep(30)

    server = await serve(ok)
    refused = await proxy("unix:/nowhere/at.all")
    broken = await proxy(await serve(reset))
    invalid = await proxy(await serve(nonsense))
    late = await proxy(await serve(silent), unary_timeout=0.2)
    full = await proxy(server, pool_size=1, pool_wait=0.1)
    open_ = await proxy("unix:/nowhere/at.all", breaker_failures=1)
    await open_.ask("GET", "/u")
    own = await proxy(server)
    own.parts.gateway.gate.stages = (*own.parts.gateway.gate.stages[:1], lambda _: 1 / 0)
    with structlog.testing.capture_logs() as lines:
        got = [
            await gateway.ask("GET", "/u") for gateway in (refused, broken, invalid, late, open_)
        ]
        failed = await own.ask("GET", "/u")
    assert [reply.status for reply in got] == [502, 502, 502, 504, 503]
    assert failed.status == 500
    assert [problem_of(reply)[0] for reply in got] == [
        "GATE010",
        "GATE011",
        "GATE012",
        "GATE013",
        "GATE014",
    ]
    logged = {line["request_id"]: line for line in lines if line["event"] == "http request"}
    for reply in (*got, failed):
        line = logged[reply.header("x-request-id")]
        assert line["log_level"] == "error"
        assert line["status"] == reply.status
    causes = [logged[reply.header("x-request-id")]["cause"] for reply in (*got, failed)]
    assert causes == ["missing", "reset", "invalid", "timeout", "breaker_open", "own_fault"]
    assert full.quiet()


async def test_a_slow_upstream_is_a_504_in_time_and_its_connection_is_closed(serve, proxy):
    async def slow(call):
        await asyncio.sleep(30)

    server = await serve(slow)
    gateway = await proxy(server, unary_timeout=0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await gateway.ask("GET", "/u")
    took = loop.time() - began
    assert reply.status == 504
    assert problem_of(reply) == ("GATE013", "up", "first_byte")
    assert 0.29 <= took < 0.3 + 0.25
    assert gateway.parts.pools["up"].in_use == gateway.parts.pools["up"].idle == 0
    assert server.calls[0].writer.transport is not None


async def test_the_upstream_sees_its_connection_closed(serve, proxy):
    gone = asyncio.Event()

    async def slow(call):
        assert await call.reader.read() == b""
        gone.set()

    gateway = await proxy(await serve(slow), unary_timeout=0.1)
    await gateway.ask("GET", "/u")
    async with asyncio.timeout(2):
        await gone.wait()


async def test_nobody_listens_is_a_502_with_its_cause(proxy, folder):
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(folder / "dead.sock"))
    gateway = await proxy(f"unix:{folder}/dead.sock")
    reply = await gateway.ask("GET", "/u")
    assert reply.status == 502
    assert problem_of(reply) == ("GATE010", "up", "connect")
    assert reply.json()["values"]["reason"] == "nobody listens there"


async def test_a_name_that_does_not_resolve_is_told_apart(proxy):
    gateway = await proxy("no-such-host.invalid:80")
    with structlog.testing.capture_logs() as lines:
        reply = await gateway.ask("GET", "/u")
    assert (reply.status, lines[-1]["cause"]) == (502, "dns")


async def test_a_connect_that_never_ends_is_a_504(proxy, folder):
    """A full backlog: the kernel neither accepts nor refuses."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        gateway = await proxy(f"127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.2)
        reply = await gateway.ask("GET", "/u")
        for filler in fillers:
            filler.close()
    assert reply.status == 504
    assert problem_of(reply)[2] == "connect"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_an_invalid_answer_is_a_502_and_its_connection_is_not_used_again(
    serve, proxy, nonsense
):
    async def babble(call):
        await call.say(nonsense)

    server = await serve(babble)
    gateway = await proxy(server)
    reply = await gateway.ask("GET", "/u")
    assert reply.status == 502
    assert problem_of(reply) == ("GATE012", "up", "first_byte")
    assert gateway.parts.pools["up"].idle == 0


async def test_an_answer_nobody_asked_for_never_becomes_the_next_persons_answer(serve, proxy):
    async def twice(call):
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst" * 2)

    server = await serve(twice)
    gateway = await proxy(server)
    for _ in range(3):
        assert (await gateway.ask("GET", "/u")).body == b"first"
    assert server.connections == 3


async def test_a_late_second_answer_closes_the_idle_connection(serve, proxy, eventually):
    async def twice(call):
        await call.answer(b"one")
        await asyncio.sleep(TOO_EARLY)
        await call.answer(b"two")

    server = await serve(twice)
    gateway = await proxy(server)
    assert (await gateway.ask("GET", "/u")).body == b"one"
    await eventually(lambda: gateway.parts.pools["up"].idle == 0)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
@pytest.mark.parametrize("ends", ["reset", "nonsense"])
async def test_an_answer_cut_in_its_body_is_cut_for_the_client_too(
    serve, proxy, start, ends, eventually
):
    async def half(call):
        await call.say(start)
        await asyncio.sleep(TOO_EARLY)
        await call.say(b"ZZ\r\n" if ends == "nonsense" else b"")
        call.writer.transport.abort()

    gateway = await proxy(await serve(half))
    client = await gateway.connect()
    with structlog.testing.capture_logs() as lines:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            await client.ask("GET", "/u")
        await eventually(gateway.quiet)
        gateway.parts.access.flush()
    line = next(line for line in lines if line["event"] == "http request")
    assert (line["phase"], line["cause"] in ("reset", "invalid")) == ("body", True)


async def test_a_connection_closed_while_idle_costs_a_safe_request_nothing(
    serve, proxy, eventually
):
    server = await serve(ok)
    gateway = await proxy(server)
    await gateway.ask("GET", "/u")
    # The upstream's close and our next request cross: the close is held back at the gateway.
    connection = gateway.parts.pools["up"]._idle[0]
    connection.transport.pause_reading()
    server.hang_up()
    await eventually(lambda: server.open == 0)
    asked = asyncio.ensure_future(gateway.ask("GET", "/u"))
    await asyncio.sleep(TOO_EARLY)
    connection.hold(on=False)
    assert (await asked).body == b"hello"
    assert server.connections == 2


async def test_what_may_have_been_done_is_never_sent_again(serve, proxy):
    async def close_after_reading(call):
        call.writer.close()

    server = await serve(close_after_reading)
    gateway = await proxy(server)
    for method, body in (("POST", b"x"), ("PUT", b"x"), ("DELETE", None), ("GET", None)):
        before = len(server.calls)
        assert (await gateway.ask(method, "/u", body)).status == 502
        assert len(server.calls) == before + 1, method


def answers_once():
    """The requests seen, and a server that answers the first and closes on every other."""
    seen = []

    async def once_then_never(call):
        seen.append(call)
        if len(seen) == 1:
            await call.answer(b"hello")
        else:
            call.writer.close()

    return seen, once_then_never


async def test_a_safe_request_is_repeated_once_and_no_more(serve, proxy):
    """Every connection, also the new one, ends before a byte of an answer."""
    seen, once_then_never = answers_once()
    gateway = await proxy(await serve(once_then_never))
    assert (await gateway.ask("GET", "/u")).status == 200
    assert (await gateway.ask("GET", "/u")).status == 502
    assert len(seen) == 3


async def test_a_request_with_a_body_that_met_a_dead_connection_is_not_repeated(serve, proxy):
    seen, once_then_never = answers_once()
    gateway = await proxy(await serve(once_then_never))
    await gateway.ask("GET", "/u")
    assert (await gateway.ask("POST", "/u", b"order")).status == 502
    assert len(seen) == 2


async def test_a_full_pool_makes_wait_and_then_says_503_with_retry_after(serve, proxy, eventually):
    release = asyncio.Event()

    async def held(call):
        await release.wait()
        await call.answer(b"done")

    server = await serve(held)
    gateway = await proxy(server, pool_size=2, pool_wait=0.15)
    running = [asyncio.ensure_future(gateway.ask("GET", "/u")) for _ in range(2)]
    await eventually(lambda: len(server.calls) == 2)
    refused = await gateway.ask("GET", "/u")
    assert refused.status == 503
    assert problem_of(refused) == ("GATE015", "up", "queue")
    assert refused.header("retry-after") == "1"
    waiting = asyncio.ensure_future(gateway.ask("GET", "/u"))
    await eventually(lambda: gateway.parts.pools["up"].waiting == 1)
    release.set()
    assert [(await reply).status for reply in (*running, waiting)] == [200, 200, 200]
    assert server.connections == 2


async def test_an_answer_before_the_end_of_the_question_is_passed_and_ends_both_connections(
    serve, proxy
):
    async def early(call):
        await call.answer(b"no", status=422)

    server = await serve(early, reads_body=False)
    gateway = await proxy(server)
    client = await gateway.connect()
    # The first part of a body is gathered before the upstream is asked.
    some = b"x" * HIGH_WATER
    await client.send(b"POST /u HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + some)
    reply = await client.reply()
    assert (reply.status, reply.body, reply.header("connection")) == (422, b"no", "close")
    assert await client.ended()
    assert gateway.parts.pools["up"].idle == 0


async def test_long_routes_have_no_total_timeout_only_silence_ends_them(serve, proxy):
    async def trickle(call):
        await call.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.1)
            await call.say(b"1\r\nx\r\n")
        await call.say(b"0\r\n\r\n")

    async def silent(call):
        await asyncio.sleep(30)

    gateway = await proxy(await serve(trickle), unary_timeout=0.2, idle_timeout=0.3)
    assert (await gateway.ask("GET", "/s")).body == b"xxxxxx"
    mute = await proxy(await serve(silent), unary_timeout=0.1, idle_timeout=0.3)
    assert (await mute.ask("GET", "/l")).status == 504
