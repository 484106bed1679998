"""Damaged bytes from either side: an answer or a closed connection, never a 500, never a leak."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

REQUESTS = (
    b"GET /u/x?y=1 HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\r\n",
    b"POST /u HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HEAD /u HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /u HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)
edits = st.lists(
    st.tuples(
        st.integers(0, 400), st.sampled_from(["cut", "insert", "replace"]), st.binary(max_size=4)
    ),
    max_size=4,
)


def damaged(whole, changes):
    raw = bytearray(whole)
    for place, kind, data in changes:
        at = place % (len(raw) + 1)
        if kind == "cut":
            del raw[at : at + len(data)]
        elif kind == "insert":
            raw[at:at] = data
        else:
            raw[at : at + len(data)] = data
    return bytes(raw)


async def everything(client):
    """All that comes until the other side closes."""
    try:
        async with asyncio.timeout(5):
            return await client.reader.read()
    except ConnectionError:
        return b""


def statuses(raw):
    lines = (line for line in raw.split(b"\r\n") if line.startswith(b"HTTP/1.1 "))
    return {int(line.split(b" ")[1]) for line in lines}


async def fuzz(strategy, check):
    loop = asyncio.get_running_loop()
    escaped = []
    loop.set_exception_handler(lambda _, context: escaped.append(context))

    @settings(max_examples=150, deadline=None, database=None)
    @given(strategy)
    def run(drawn):
        asyncio.run_coroutine_threadsafe(check(drawn), loop).result(20)

    await asyncio.to_thread(run)
    assert escaped == []


async def test_damaged_requests(serve, proxy, eventually):
    async def ok(call):
        await call.answer(b"hello")

    gateway = await proxy(await serve(ok), header_timeout=0.05, unary_timeout=0.1, idle_timeout=0.1)

    async def check(drawn):
        whole, changes, split = drawn
        client = await gateway.connect()
        raw = damaged(b"".join(whole), changes)
        try:
            for at in range(0, len(raw), split):
                await client.send(raw[at : at + split])
            client.writer.write_eof()
        except ConnectionError:
            pass
        assert 500 not in statuses(await everything(client))
        client.close()
        await eventually(gateway.quiet)

    requests = st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4)
    await fuzz(st.tuples(requests, edits, st.integers(1, 300)), check)
    assert (await gateway.ask("GET", "/u")).body == b"hello"


async def test_damaged_answers(serve, proxy, eventually):
    now = {}

    async def script(call):
        raw, split, leaves = now["answer"]
        for at in range(0, len(raw), split):
            await call.say(raw[at : at + split])
        if leaves:
            call.writer.close()

    server = await serve(script)
    gateway = await proxy(server, unary_timeout=0.1, breaker_failures=10_000)

    async def check(drawn):
        whole, changes, split, leaves, method = drawn
        now["answer"] = (damaged(whole, changes), split, leaves)
        client = await gateway.connect()
        await client.send(f"{method} /u HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        seen = statuses(await everything(client))
        assert 500 not in seen or b" 500 " in now["answer"][0]
        client.close()
        await eventually(gateway.quiet)

    methods = st.sampled_from(["GET", "HEAD", "POST"])
    answers = st.sampled_from(ANSWERS)
    await fuzz(st.tuples(answers, edits, st.integers(1, 100), st.booleans(), methods), check)
    now["answer"] = (ANSWERS[0], 1000, False)
    assert (await gateway.ask("GET", "/u")).body == b"hello"
