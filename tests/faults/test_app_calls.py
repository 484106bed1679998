"""Services that an app calls fail, each in its own way: a real integration of a real server, whose
breaker opens; the doctor says which service, what it did, and closes the breaker again."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.faults.apps import Served, serving
from tests.faults.consulting import apply
from tests.servers.postgres import PostgresServer

PROGRAM = """
entity Note { id: uuid, primary, auto, text: text, required }
endpoint GET /notes { returns: paginated(Note) }
integration Till {
  type: rest
  base_url: env("TILL_URL")
  timeout: 500ms
  operation pay { method: POST, path: "/pay" }
}
workflow buy { steps { pay { call: Till.pay {} } } }
"""


class Service:
    """A service that can be made to answer anything, or nothing in time."""

    def __init__(self) -> None:
        self.status = 200
        self.seconds = 0.0
        self.over = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.over.wait(service.seconds)
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(service.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"[]")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def till() -> Iterator[Service]:
    made = Service()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def service() -> Iterator[Service]:
    with till() as made:
        yield made


@pytest.fixture
def served(tmp_path: Path, postgres: PostgresServer, service: Service) -> Iterator[Served]:
    name = f"calls_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    with serving(tmp_path, PROGRAM, postgres.url(name), TILL_URL=service.url) as made:
        yield made


def buy(served: Served, times: int) -> None:
    for _ in range(times):
        served.run("buy")


def blamed(served: Served, cause: str) -> dict[str, object]:
    """The workflow fails because of it, which follows."""
    found = served.fault(cause)
    assert "buy fails" in str(found["follows"])
    assert "its breaker is open" in found["says"] or "too slow" in found["says"]
    return found


def closes_again(served: Served, found: dict[str, object]) -> None:
    """What the doctor says to type lets calls through at once, and all is well."""
    apply(found, "reset-breaker")
    buy(served, 1)
    served.well()


def test_a_service_that_works_is_left_in_peace(served: Served) -> None:
    buy(served, 6)
    served.well("calls to the payment service")


@pytest.mark.seed("C16")
def test_a_service_that_answers_with_errors(served: Served, service: Service) -> None:
    service.status = 500
    buy(served, 5)
    found = blamed(served, "target-down")
    assert "the app's calls to Till fail" in str(found["says"])
    service.status = 200
    closes_again(served, found)


def test_a_service_that_does_not_answer_in_time(served: Served, service: Service) -> None:
    service.seconds = 30.0
    buy(served, 5)
    found = blamed(served, "target-slow")
    assert "Till" in str(found["says"])
    service.seconds = 0.0
    apply(found, "reset-breaker")
    buy(served, 1)
    # That it was slow is told for a minute more; calls go through again.
    assert (
        served.probe("app.integrations")["integrations"]["integration:Till"]["breaker"] == "closed"
    )


def test_a_service_that_is_not_there(served: Served, service: Service) -> None:
    service.stop()
    buy(served, 5)
    found = blamed(served, "target-down")
    assert "does not accept connections" in str(found["says"])


def test_what_is_in_the_way_is_told_by_the_words_of_the_log(
    served: Served, service: Service
) -> None:
    service.status = 503
    buy(served, 6)
    found = served.fault("target-down", "circuit breaker is open")
    assert found["probability"] > 0.5
