"""What goes through a gateway: the same bytes and headers, less what belongs to one hop."""

import asyncio

import pytest

from backstay.core.context import decode_principal


async def ok(call):
    await call.answer(b"hello", headers="X-Multi: a\r\nX-Multi: b\r\n")


async def echo(call):
    body = call.body or b""
    await call.answer(body)


async def test_an_answer_passes_whole_with_its_headers(serve, proxy):
    gateway = await proxy(await serve(ok))
    reply = await gateway.ask("GET", "/u/x?q=1")
    assert (reply.status, reply.body) == (200, b"hello")
    assert [value for name, value in reply.headers if name == "x-multi"] == ["a", "b"]


async def test_the_target_passes_as_it_was_written(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server)
    await gateway.ask("GET", "/u/a%20b/%7Ec?x=%2F&y=1#")
    assert server.calls[0].target == "/u/a%20b/%7Ec?x=%2F&y=1#"


async def test_an_absolute_target_becomes_a_path_and_its_authority_the_host(serve, proxy):
    server = await serve(ok)
    client = await (await proxy(server)).connect()
    await client.send(b"GET http://elsewhere:1/u/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await client.reply()).status == 200
    assert server.calls[0].target == "/u/x"
    assert dict(server.calls[0].headers)["host"] == "elsewhere:1"


async def test_hop_by_hop_headers_stay_on_their_hop_in_both_directions(serve, proxy):
    async def chatty(call):
        extra = "Connection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=1\r\n"
        await call.answer(headers=f"{extra}Proxy-Authenticate: Basic\r\nX-Kept: 1\r\n")

    server = await serve(chatty)
    gateway = await proxy(server)
    sent = "Connection: X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\nX-Kept: 1\r\n"
    reply = await gateway.ask("GET", "/u", headers=sent)
    seen = dict(server.calls[0].headers)
    assert seen["x-kept"] == "1"
    assert not seen.keys() & {"connection", "x-secret", "te", "proxy-authorization"}
    back = dict(reply.headers)
    assert back["x-kept"] == "1"
    assert not back.keys() & {"connection", "x-private", "keep-alive", "proxy-authenticate"}


async def test_a_connection_header_cannot_take_away_host_or_authorization(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server)
    sent = "Connection: host, authorization\r\nAuthorization: Bearer x\r\n"
    await gateway.ask("GET", "/u", headers=sent)
    seen = dict(server.calls[0].headers)
    assert (seen["host"], seen["authorization"]) == ("localhost", "Bearer x")


async def test_nobody_can_send_a_principal_or_an_address_of_his_own(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server)
    forged = (
        "X-Backstay-Principal: forged\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"
    )
    await gateway.ask("GET", "/u", headers=forged)
    values = [value for name, value in server.calls[0].headers if name == "x-backstay-principal"]
    assert [decode_principal(value).kind for value in values] == ["local"]
    seen = dict(server.calls[0].headers)
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert "forwarded" not in seen


async def test_one_request_id_goes_through_all(serve, proxy):
    async def own_id(call):
        await call.answer(headers="X-Request-ID: mine\r\n")

    server = await serve(own_id)
    gateway = await proxy(server)
    reply = await gateway.ask("GET", "/u", headers="X-Request-ID: abc-1\r\n")
    assert [value for name, value in reply.headers if name == "x-request-id"] == ["abc-1"]
    assert dict(server.calls[0].headers)["x-request-id"] == "abc-1"
    made = await gateway.ask("GET", "/u", headers="X-Request-ID: b\xe4d\r\n")
    assert made.header("x-request-id") == dict(server.calls[1].headers)["x-request-id"] != "b\xe4d"


async def test_head_has_headers_and_no_body_and_the_connection_goes_on(serve, proxy):
    server = await serve(ok)
    client = await (await proxy(server)).connect()
    for _ in range(3):
        reply = await client.ask("HEAD", "/u")
        assert (reply.status, reply.header("content-length")) == (200, "5")
    assert (await client.ask("GET", "/u")).body == b"hello"
    assert server.connections == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_end_with_their_head(serve, proxy, status):
    async def bare(call):
        await call.say(f"HTTP/1.1 {status} X\r\nETag: x\r\n\r\n".encode())

    client = await (await proxy(await serve(bare))).connect()
    for _ in range(2):
        reply = await client.ask("GET", "/u")
        assert (reply.status, reply.body, reply.header("etag")) == (status, b"", "x")


async def test_a_chunked_answer_stays_chunked_and_its_trailers_are_dropped(serve, proxy):
    async def chunked(call):
        await call.say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )

    server = await serve(chunked)
    client = await (await proxy(server)).connect()
    for _ in range(2):
        reply = await client.ask("GET", "/u")
        assert (reply.body, reply.header("transfer-encoding")) == (b"abcde", "chunked")
    assert server.connections == 1


async def test_an_answer_that_ends_with_its_connection_is_passed_in_chunks(serve, proxy):
    async def closing(call):
        await call.say(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        call.writer.close()

    client = await (await proxy(await serve(closing))).connect()
    for _ in range(2):
        reply = await client.ask("GET", "/u")
        assert (reply.body, reply.header("transfer-encoding")) == (b"all of it", "chunked")


async def test_an_http_1_0_client_gets_no_chunks_and_an_end(serve, proxy):
    async def chunked(call):
        await call.say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )

    client = await (await proxy(await serve(chunked))).connect()
    await client.send(b"GET /u HTTP/1.0\r\n\r\n")
    reply = await client.reply()
    assert (reply.status, reply.body, reply.header("connection")) == (200, b"abc", "close")
    assert await client.ended()


async def test_an_http_1_0_client_that_asks_for_it_keeps_its_connection(serve, proxy):
    client = await (await proxy(await serve(ok))).connect()
    for _ in range(2):
        await client.send(b"GET /u HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply = await client.reply()
        assert (reply.body, reply.header("connection")) == (b"hello", "keep-alive")


async def test_interim_answers_of_an_upstream_stay_with_the_gateway(serve, proxy):
    async def hints(call):
        await call.say(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        await call.answer(b"final")

    client = await (await proxy(await serve(hints))).connect()
    for _ in range(2):
        assert (await client.ask("GET", "/u")).body == b"final"


async def test_expect_continue_is_answered_before_the_body_is_sent(serve, proxy):
    server = await serve(echo)
    client = await (await proxy(server)).connect()
    await client.send(
        b"POST /u HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
    assert (await client.reply()).status == 100
    await client.send(b"body")
    assert (await client.reply()).body == b"body"
    assert "expect" not in dict(server.calls[0].headers)


async def test_expect_continue_is_refused_without_reading_a_body_that_is_too_large(serve, proxy):
    server = await serve(echo)
    client = await (await proxy(server)).connect()
    await client.send(
        b"POST /u/small HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"
    )
    assert (await client.reply()).status == 413
    assert server.calls == []


async def test_pipelined_requests_are_answered_in_their_order(serve, proxy):
    async def slow_first(call):
        if call.target == "/u/0":
            await asyncio.sleep(0.05)
        await call.answer(call.target.encode())

    client = await (await proxy(await serve(slow_first))).connect()
    paths = ["/u/0", "/health/live", "/u/2", "/nope", "/u/4"]
    await client.send(b"".join(f"GET {p} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for p in paths))
    replies = [await client.reply() for _ in paths]
    assert [reply.status for reply in replies] == [200, 200, 200, 404, 200]
    assert [replies[n].body for n in (0, 2, 4)] == [b"/u/0", b"/u/2", b"/u/4"]


async def test_thousands_of_pipelined_requests_need_no_deep_stack(proxy):
    client = await (await proxy()).connect()
    await client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
    for _ in range(3000):
        assert (await client.reply()).status == 200


async def test_connections_to_an_upstream_are_used_again(serve, proxy):
    server = await serve(ok)
    gateway = await proxy(server)
    for _ in range(5):
        await gateway.ask("GET", "/u")
    assert server.connections == 1
    assert gateway.parts.pools["up"].idle == 1


async def test_a_request_that_ends_its_connection_gets_its_answer_first(serve, proxy):
    client = await (await proxy(await serve(ok))).connect()
    reply = await client.ask("GET", "/u", headers="Connection: close\r\n")
    assert (reply.body, reply.header("connection")) == (b"hello", "close")
    assert await client.ended()
