"""Large bodies pass in pieces: memory stays small, and the slower side stops the faster one."""

import asyncio
import hashlib
import resource

MEGABYTE = 1_048_576
HUNDRED = 100 * MEGABYTE
PIECE = bytes(range(256)) * 256


def peak_memory() -> int:
    """Bytes of resident memory of this process at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def send_much(writer, total):
    sent = 0
    while sent < total:
        writer.write(PIECE)
        sent += len(PIECE)
        await writer.drain()


async def test_a_hundred_megabytes_come_down_whole_without_being_held(serve, proxy):
    async def large(call):
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUNDRED)
        await send_much(call.writer, HUNDRED)

    gateway = await proxy(await serve(large), unary_timeout=20.0)
    client = await gateway.connect()
    before = peak_memory()
    await client.send(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.reader.readuntil(b"\r\n\r\n")
    seen, got = hashlib.sha256(), 0
    while got < HUNDRED:
        piece = await client.reader.read(262_144)
        assert piece
        seen.update(piece)
        got += len(piece)
    assert peak_memory() - before < 60 * MEGABYTE
    sent = hashlib.sha256()
    for _ in range(HUNDRED // len(PIECE)):
        sent.update(PIECE)
    assert seen.digest() == sent.digest()


async def test_fifty_megabytes_go_up_in_chunks_without_being_held(serve, proxy):
    total = HUNDRED // 2
    got = []

    async def swallow(call):
        size = 0
        while line := await call.reader.readline():
            length = int(line, 16)
            await call.reader.readexactly(length + 2)
            size += length
            if not length:
                break
        got.append(size)
        await call.answer(b"%d" % size)

    server = await serve(swallow, reads_body=False)
    gateway = await proxy(server, max_body=HUNDRED)
    client = await gateway.connect()
    before = peak_memory()
    await client.send(b"POST /s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(total // len(PIECE)):
        client.writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        await client.writer.drain()
    await client.send(b"0\r\n\r\n")
    assert (await client.reply()).body == b"%d" % total
    assert peak_memory() - before < 60 * MEGABYTE


async def test_a_client_that_does_not_read_stops_the_upstream(serve, proxy, eventually):
    said = 0

    async def endless(call):
        nonlocal said
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            await call.say(PIECE)
            said += len(PIECE)

    gateway = await proxy(await serve(endless))
    client = await gateway.connect()
    await client.send(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
    before = -1
    while before != said or said == 0:
        before = said
        await asyncio.sleep(0.1)
    # What is left are the buffers of the kernel and one piece of ours on each side.
    assert said < 20 * MEGABYTE
    await client.reader.readexactly(before + 5 * MEGABYTE)
    await eventually(lambda: said > before + 4 * MEGABYTE)
    client.writer.transport.abort()


async def test_an_upstream_that_does_not_read_stops_the_client(serve, proxy):
    release = asyncio.Event()

    async def lazy(call):
        call.writer.transport.pause_reading()
        await release.wait()
        call.writer.transport.resume_reading()
        await call.reader.readexactly(HUNDRED // 4)
        await call.answer(b"done")

    server = await serve(lazy, reads_body=False)
    gateway = await proxy(server, max_body=HUNDRED)
    client = await gateway.connect()
    await client.send(b"POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (HUNDRED // 4))
    sending = asyncio.ensure_future(send_much(client.writer, HUNDRED // 4))
    done, _ = await asyncio.wait({sending}, timeout=0.4)
    assert not done
    release.set()
    await sending
    assert (await client.reply()).body == b"done"


async def test_pieces_arrive_when_they_are_sent_and_not_at_the_end(serve, proxy):
    go = asyncio.Event()

    async def stepwise(call):
        await call.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go.wait()
        await call.say(b"6\r\nsecond\r\n0\r\n\r\n")

    gateway = await proxy(await serve(stepwise))
    client = await gateway.connect()
    await client.send(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(2):
        assert b"first" in await client.reader.readuntil(b"first\r\n")
        go.set()
        assert b"second" in await client.reader.readuntil(b"0\r\n\r\n")
