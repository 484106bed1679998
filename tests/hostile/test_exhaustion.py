"""Who takes much leaves enough for the others, and what was taken comes back."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.e2e.stack import Stack, running, until
from tests.hostile.attack import failures, send

KIBIBYTES = 1024


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("shop")) as stack:
        yield stack
        assert failures(stack) == []


@contextmanager
def lines(stack: Stack, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections on which `first` was sent."""
    with ExitStack() as opened:
        made = []
        for _ in range(count):
            line = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
            made.append(opened.enter_context(line))
            line.sendall(first)
        yield made


def request(method: str, target: str, length: int = 0) -> bytes:
    lines = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{lines}Connection: close\r\nContent-Length: {length}\r\n\r\n".encode()


def megabytes(stack: Stack, name: str) -> int:
    status = Path(f"/proc/{stack.pid(name)}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // KIBIBYTES


def gauge(stack: Stack, name: str) -> float:
    text = stack.ask("GET", "/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def serves(stack: Stack) -> bool:
    products = send(stack.port, "GET", "/api/v1/products?limit=1").status
    tasks = send(stack.port, "GET", "/v1/codeq/tasks?limit=1").status
    return (products, tasks) == (200, 200)


def test_many_idle_connections_and_half_heads_keep_nobody_out(shop: Stack):
    half = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"a" * 20_000
    with lines(shop, 600), lines(shop, 300, half):
        assert serves(shop)
        assert megabytes(shop, "gateway") < 300


def test_waiting_workers_keep_no_producer_out(shop: Stack):
    body = b'{"commands":["NOBODY"],"waitSeconds":20}'
    claim = request("POST", "/v1/codeq/tasks/claim", len(body)) + body
    with lines(shop, 300, claim):
        wanted = 'gateway_pool_in_use{system="gateway",upstream="queue:waiting"}'
        until(lambda: gauge(shop, wanted) >= 300, 10, lambda: "the claims do not wait")
        made = shop.ask("POST", "/v1/codeq/tasks", {"command": "SOMEBODY", "payload": 1})
        assert made.status == 202
        assert serves(shop)


@pytest.mark.parametrize("path", ["/api/v1/orders", "/v1/codeq/tasks"])
def test_bodies_that_drip_in_keep_nobody_out(shop: Stack, path: str):
    with lines(shop, 200, request("POST", path, 500) + b'{"customer":'):
        assert serves(shop)
        assert gauge(shop, "gateway_pool_in_use") < 128


def test_two_hundred_large_uploads_at_once_are_taken_or_refused_in_words(shop: Stack):
    body = b'{"command":"LARGE","payload":"' + b"a" * 900_000 + b'"}'
    seen: Counter[int] = Counter()

    def upload() -> None:
        headers = [("Content-Type", "application/json")]
        seen[send(shop.port, "POST", "/v1/codeq/tasks", headers, body).status] += 1

    threads = [threading.Thread(target=upload) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen.total() == 200
    assert set(seen) <= {202, 503}
    assert seen[202] > 100
    assert serves(shop)
    assert megabytes(shop, "queue") < 700


def test_a_client_that_asks_and_never_reads_is_stopped(shop: Stack):
    flood = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200_000
    line = socket.create_connection(("127.0.0.1", shop.port), timeout=2)
    with line, pytest.raises((TimeoutError, ConnectionError)):
        line.sendall(flood)
    assert megabytes(shop, "gateway") < 300
    assert serves(shop)


def test_no_line_of_the_log_is_written_by_a_client(shop: Stack):
    target = "/mark%0d%0a%7b%22level%22:%22error%22%7d%1b%5b31m%E2%80%A8end"
    send(shop.port, "GET", target, [("X-Request-ID", "a\x9b31mb"), ("User-Agent", "\xe2\x80\xa8")])
    until(lambda: "/mark" in shop.output.read_text(), 5, lambda: "the request is not in the log")
    text = shop.output.read_bytes()
    assert b"\x1b[31m" not in text
    assert b"\r" not in text
    assert not any(line.startswith(b'{"level":"error"}') for line in text.split(b"\n"))
