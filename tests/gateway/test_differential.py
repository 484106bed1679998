"""Through the gateway or not: the same request reaches the upstream, the same answer the client."""

import asyncio
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
ADDED = {
    "x-request-id",
    "x-backstay-principal",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
}

names = st.sampled_from(["X-A", "x-b", "Accept", "Cookie", "Content-Type", "X-C"])
values = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, blacklist_characters="\x7f"), max_size=30
)
plain_headers = st.lists(st.tuples(names, values), max_size=6)
pieces = st.lists(st.binary(min_size=1, max_size=3000), max_size=5)
targets = st.text("abz09-._~%2F20&=?", max_size=30).filter(
    lambda text: "%" not in text and "." not in text
)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"]
        ),
        "target": targets,
        "headers": plain_headers,
        "pieces": pieces,
        "chunked": st.booleans(),
        "split": st.integers(min_value=1, max_value=4000),
        "status": st.sampled_from([200, 201, 204, 206, 301, 304, 404, 422, 500, 599]),
        "answer": pieces,
        "answer_headers": plain_headers,
        "framing": st.sampled_from(["length", "chunked", "close"]),
    }
)


def shown(headers):
    """What must be the same."""
    return [(name, value) for name, value in headers if name not in HOP | ADDED]


def bytes_of(given_):
    """The request as a client writes it."""
    body = b"".join(given_["pieces"])
    lines = [f"{given_['method']} /s/{given_['target']} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in given_["headers"]]
    if given_["chunked"]:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in given_["pieces"]) + b"0\r\n\r\n"
    elif given_["pieces"]:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def answer(call, given_):
    """The upstream's answer, framed as wanted."""
    lines = [f"HTTP/1.1 {given_['status']} X"]
    lines += [f"{name}: {value}" for name, value in given_["answer_headers"]]
    parts, framing = given_["answer"], given_["framing"]
    bare = call.method == "HEAD" or given_["status"] in (204, 304)
    if bare:
        parts, framing = [], "none"
    if framing == "length":
        lines.append(f"Content-Length: {sum(map(len, parts))}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    await call.say("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
    for part in parts:
        await call.say(b"%x\r\n%b\r\n" % (len(part), part) if framing == "chunked" else part)
    if framing == "chunked":
        await call.say(b"0\r\n\r\n")
    if framing == "close":
        call.writer.close()


async def ask(client, given_):
    raw, step = bytes_of(given_), given_["split"]
    for at in range(0, len(raw), step):
        await client.send(raw[at : at + step])
    reply = await client.reply(head=given_["method"] == "HEAD")
    client.close()
    return reply


@pytest.mark.timeout(60)
async def test_the_same_bytes_with_and_without_the_gateway(serve, proxy, client_to):
    current = {}

    async def script(call):
        await answer(call, current)

    server = await serve(script)
    gateway = await proxy(server)
    loop = asyncio.get_running_loop()

    async def compare(given_):
        current.clear()
        current.update(given_)
        direct = await ask(await client_to(Path(server.path)), given_)
        through = await ask(await gateway.connect(), given_)
        first, second = server.calls[-2:]
        assert (second.first, second.body or b"") == (first.first, first.body or b"")
        assert shown(second.headers) == shown(first.headers)
        assert (through.status, through.body) == (direct.status, direct.body)
        assert shown(through.headers) == shown(direct.headers)

    @settings(max_examples=150, deadline=None, database=None)
    @given(requests)
    def same(given_):
        asyncio.run_coroutine_threadsafe(compare(given_), loop).result(20)

    await asyncio.to_thread(same)
    assert isinstance(loop, uvloop.Loop)
