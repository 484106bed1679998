"""Memory and tasks of an app that clients, services and limits drive up: connections that send or
read nothing, calls that are never answered, files that run out, a cache that fills; real sockets
and real limits. The doctor names each with who makes it, and leaves a busy app alone."""

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.faults.apps import Served, serving
from tests.queue.support import until

PROGRAM = """
entity Note { id: uuid, primary, auto, text: text, required }
endpoint GET /notes { returns: paginated(Note) }
endpoint GET /kept { returns: paginated(Note), filter: [text], cache: 5m }
endpoint POST /notes {
  body { text: text, required }
  do { let made = create Note { text: body.text }  return made }
}
integration Till {
  type: rest
  base_url: env("TILL_URL", "http://127.0.0.1:9")
  timeout: 5m
  operation pay { method: POST, path: "/pay" }
}
workflow buy { steps { pay { call: Till.pay {} } } }
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, PROGRAM, "") as made:
        yield made


def fill(served: Served, notes: int = 100) -> None:
    """As many notes of 9 KB: a page of them is 0.9 MB."""
    for _ in range(notes):
        served.post("/notes", {"text": "x" * 9000})


@contextmanager
def clients(served: Served, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that say this and read nothing."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", served.port))
            one.sendall(said)
            found.append(one)
        yield found


def half_a_body(size: int) -> bytes:
    head = "POST /api/v1/notes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + b"x" * (size // 2)


PAGE = b"GET /api/v1/notes?limit=100 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def squeeze(served: Served) -> None:
    """From now on the app is a hair below the limit of its memory."""
    status = Path(f"/proc/{served.pid}/status").read_text()
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
    limit = int(used * 1024 * 1.15)
    resource.prlimit(served.pid, resource.RLIMIT_DATA, (limit, limit))


def test_the_app_is_near_the_end_of_its_memory(served: Served) -> None:
    served.well("it uses too much memory")
    squeeze(served)
    found = served.fault("app-memory-limit-low", "it uses too much memory")
    assert "that are the process's limit" in found["says"]


def test_a_cache_fills_the_memory(served: Served) -> None:
    fill(served)
    for number in range(60):
        served.get(f"/kept?limit={41 + number}")
    held = served.probe("app.memory")["cached"]
    assert held > 25 * 1024 * 1024, held
    squeeze(served)
    found = served.fault("memory-cache")
    assert "for answers that are kept" in found["says"]
    assert found["fixes"][0]["command"].startswith("export REDIS_URL=")


def test_bodies_that_never_end_hold_the_memory(served: Served) -> None:
    with clients(served, 60, half_a_body(900_000)):
        until(lambda: under_way(served) == 60, 20.0)
        squeeze(served)
        found = served.fault("clients-send-slowly")
        assert "60 clients of POST /api/v1/notes have begun a body" in found["says"]
        assert "60 requests of POST /api/v1/notes are under way and hold it" in str(
            found["follows"]
        )


def test_memory_that_grows_without_a_limit_is_seen(served: Served) -> None:
    """Two looks at the objects: what there is more of than at the start is named."""
    over = threading.Event()

    def more_and_more() -> None:
        with ExitStack() as stack:
            while not over.wait(0.5):
                stack.enter_context(clients(served, 6, half_a_body(1_000_000)))

    adding = threading.Thread(target=more_and_more)
    until(lambda: served.probe("app.heap")["seconds"] > 0, 20.0)
    adding.start()
    try:
        until(lambda: served.probe("app.memory")["resident"] > 230 << 20, 60.0)
        found = served.fault("clients-send-slowly")
        (grown,) = found["follows"]
        assert "requests of POST /api/v1/notes are under way and hold it" in grown
        assert "most grown since its start" in grown
        assert "asgi._Known +" in grown
    finally:
        over.set()
        adding.join()


def under_way(served: Served) -> int:
    return sum(each["count"] for each in served.probe("app.tasks")["requests"])


def test_clients_that_do_not_send_their_bodies(served: Served) -> None:
    with clients(served, 40, half_a_body(2000)):
        found = served.fault("clients-send-slowly")
        assert "40 clients of POST /api/v1/notes have begun a body" in found["says"]
    served.well()


def test_clients_that_do_not_read_their_answers(served: Served) -> None:
    fill(served)
    with clients(served, 40, PAGE):
        found = served.fault("clients-do-not-read")
        assert "40 clients do not take their answers" in found["says"]
        assert f"sport = :{served.port}" in str(found["fixes"])
    served.well()


def test_a_service_that_never_answers_piles_calls_up(tmp_path: Path) -> None:
    with mute() as (till, end), serving(tmp_path, PROGRAM, "", TILL_URL=till) as served:
        for _ in range(30):
            served.post("/workflows/buy/start")
        until(lambda: served.probe("app.tasks")["calls"] == 30, 20.0)
        found = served.fault("calls-stand")
        assert "30 calls of Till" in found["says"]
        assert till in found["says"]
        end()


@contextmanager
def mute() -> Iterator[tuple[str, Callable[[], None]]]:
    """A service that takes every request and answers none; and what ends that."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(120)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", over.set
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_the_app_has_no_file_left_to_open(served: Served) -> None:
    used = len(list(Path(f"/proc/{served.pid}/fd").iterdir()))
    resource.prlimit(served.pid, resource.RLIMIT_NOFILE, (used + 60, used + 60))
    with clients(served, 58, b""):
        found = served.fault("files-run-out")
        assert f"of the {used + 60} files" in found["says"]
        assert found["fixes"][0]["command"] == "ulimit -n 65536"
    served.well()


def test_no_connection_is_left(tmp_path: Path) -> None:
    with serving(tmp_path, PROGRAM, "", files=300) as served:
        most = served.probe("app.tasks")["most_connections"]
        assert most < 60
        with clients(served, most + 3, b""):
            found = served.fault("connections-full")
            assert f"all {most} connections that the app serves at once are taken" in found["says"]
        served.well()
