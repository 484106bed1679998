"""Who takes much from a queue's own server leaves enough for the others: connections, bodies, time."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.queue.support import Server, serving, until

IDLE = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("queue") / "data") as server:
        process = server.process
        yield server
        assert server.process is process
        assert process is not None
        assert process.poll() is None
        assert not [line for line in server.log() if line.get("level") == "error"]


def request(method: str, path: str, body: bytes = b"", *, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"{method} /v1/codeq{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


def megabytes(server: Server) -> int:
    """Resident memory, in whole units of 2**20 bytes."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


@contextmanager
def lines(server: Server, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections on which `first` was sent."""
    with ExitStack() as opened:
        made = []
        for _ in range(count):
            line = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            made.append(opened.enter_context(line))
            line.sendall(first)
        yield made


def works(server: Server, command: str = "STILL") -> None:
    """A whole life of a task, for somebody else."""
    made = server.create(command)
    claimed = server.claim(command)
    assert claimed is not None
    assert claimed["id"] == made["id"]
    body = {"status": "COMPLETED", "result": {}, "leaseToken": claimed["leaseToken"]}
    assert server.post(f"/tasks/{made['id']}/result", body).status == 200


# --- those who wait --------------------------------------------------------------------------


async def poll(port: int, command: str, ready: asyncio.Semaphore) -> tuple[int, bytes]:
    body = json.dumps({"commands": [command], "waitSeconds": 30}).encode()
    async with ready:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", "/tasks/claim", body))
        await writer.drain()
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        answer = await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
    finally:
        writer.close()
    return int(head.split(b" ")[1]), answer


@pytest.mark.timeout(180)
def test_ten_thousand_idle_polls_cost_little_and_are_woken_one_for_one(server: Server):
    before = megabytes(server)
    asked = 200

    async def wait_and_work() -> list[tuple[int, bytes]]:
        ready = asyncio.Semaphore(200)
        polls = [asyncio.ensure_future(poll(server.port, "IDLE", ready)) for _ in range(IDLE)]
        await asyncio.to_thread(until, lambda: _waiters(server) == IDLE, 60)
        cost = megabytes(server) - before
        assert cost < 400, f"{cost} MiB for {IDLE} waiting claims"
        await asyncio.to_thread(works, server)
        for _ in range(asked):
            await asyncio.to_thread(server.create, "IDLE")
        done, still = await asyncio.wait(polls, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < asked:
            more, still = await asyncio.wait(still, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            assert more, f"only {len(done)} of {asked} were woken"
            done |= more
        answers = [each.result() for each in done]
        for each in still:
            each.cancel()
        await asyncio.gather(*still, return_exceptions=True)
        return answers

    answers = asyncio.run(wait_and_work())
    given = [json.loads(body)["id"] for status, body in answers if status == 200]
    assert len(set(given)) == len(given) == asked
    until(lambda: _waiters(server) == 0, 30)
    works(server)


def _waiters(server: Server) -> int:
    return int(server.get("/admin/queues/IDLE").json["waitingClaims"])


def test_a_poll_whose_client_has_gone_takes_no_task_with_it(server: Server):
    body = json.dumps({"commands": ["GONE"], "waitSeconds": 30}).encode()
    with lines(server, 50, request("POST", "/tasks/claim", body)):
        until(lambda: server.get("/admin/queues/GONE").json["waitingClaims"] == 50, 20)
    made = [server.create("GONE")["id"] for _ in range(10)]
    found: set[str] = set()

    def all_claimed() -> bool:
        task = server.claim("GONE", waitSeconds=1)
        found.update([task["id"]] if task else [])
        return found == set(made)

    until(all_claimed, 20)


# --- those who are slow ----------------------------------------------------------------------


def test_half_heads_and_bodies_that_drip_in_keep_nobody_out(server: Server):
    half = b"POST /v1/codeq/tasks HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"a" * 5000
    drip = request("POST", "/tasks", b'{"command":', length=500)
    before = megabytes(server)
    with lines(server, 500), lines(server, 500, half), lines(server, 500, drip) as dripping:
        works(server)
        for byte in b'"SLOW",':
            for line in dripping:
                line.sendall(bytes([byte]))
        works(server)
        assert megabytes(server) - before < 150


def test_a_reader_of_one_byte_at_a_time_gets_all_and_holds_up_nobody(server: Server):
    payload = "x" * 4000
    for _ in range(20):
        server.create("LONG", payload=payload)
    line = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    with line:
        line.sendall(request("GET", "/tasks?command=LONG&limit=20"))
        got = b""
        for _ in range(200):
            got += line.recv(1)
            works(server) if len(got) % 50 == 0 else None
        head, _, rest = _whole(line, got)
        assert head.startswith(b"HTTP/1.1 200")
        assert len(json.loads(rest)["data"]) == 20


def _whole(line: socket.socket, got: bytes) -> tuple[bytes, bytes, bytes]:
    while b"\r\n\r\n" not in got:
        got += line.recv(65_536)
    head, middle, rest = got.partition(b"\r\n\r\n")
    [length] = [part for part in head.lower().split(b"\r\n") if part.startswith(b"content-length")]
    while len(rest) < int(length.split(b":")[1]):
        part = line.recv(65_536)
        assert part, "the server gave up on a slow reader"
        rest += part
    return head, middle, rest


def test_one_who_asks_and_never_reads_is_stopped_not_buffered(server: Server):
    before = megabytes(server)
    line = socket.create_connection(("127.0.0.1", server.port), timeout=3)
    ask = request("GET", "/tasks?command=LONG&limit=20")
    with line, pytest.raises((TimeoutError, ConnectionError)):
        line.sendall(ask * 200_000)
    assert megabytes(server) - before < 200
    works(server)


# --- those who send too much -----------------------------------------------------------------


@pytest.mark.parametrize("length", [2**21, 2**40, 2**62])
def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(server: Server, length: int):
    with lines(server, 1, request("POST", "/tasks", b"{", length=length)) as [line]:
        assert line.recv(12) in (b"HTTP/1.1 413", b"HTTP/1.1 400")
    works(server)


def test_a_body_without_an_end_is_cut_off(server: Server):
    before = megabytes(server)
    head = b"POST /v1/codeq/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"[" * 65_536 + b"\r\n"
    line = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    with line:
        line.sendall(head)
        try:
            for _ in range(1000):
                line.sendall(chunk)
        except OSError:
            pass  # it was cut off; what matters is what it cost
        else:
            pytest.fail("64 MB were taken")
    assert megabytes(server) - before < 64
    works(server)


def test_a_batch_of_the_largest_bodies_at_once_is_bounded(server: Server):
    tasks = [{"command": "BIG", "payload": "x" * 200_000} for _ in range(100)]
    before = megabytes(server)
    for _ in range(3):
        answer = server.post("/tasks/batch", {"tasks": tasks})
        assert answer.status in (200, 413), answer.body[:200]
    assert megabytes(server) - before < 400
    works(server)
