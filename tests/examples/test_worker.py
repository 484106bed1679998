"""The packer against a real queue: the same order is always the same parcel."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.running import Running, until

from backstay.up.ports import free_port

WORKER = Path(__file__).parents[2] / "examples" / "orders" / "worker.py"


class Queue:
    """A running codeq-server and the two calls that this test needs."""

    def __init__(self, folder: Path) -> None:
        self.base = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "backstay.cli.codeq_server", "--data", str(folder)]
        listen = ["--listen", self.base.removeprefix("http://")]
        self.running = Running([*command, *listen], folder / "queue.log")
        self.running.wait_until(lambda: self.ask("GET", "/healthz") is not None)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; None when there was none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(refused.read().decode()) from refused
        except OSError:
            return None

    def pack(self, order: str) -> str:
        task = {"command": "PACK_ORDER", "payload": {"order": order, "lines": []}}
        return str(self.ask("POST", "/v1/codeq/tasks", task)["id"])

    def result(self, task: str) -> Any:
        """What the worker answered, once it has."""
        done = self.ask("GET", f"/v1/codeq/tasks/{task}")
        if done["status"] != "COMPLETED":
            return None
        return self.ask("GET", f"/v1/codeq/tasks/{task}/result")["result"]["result"]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    server = Queue(tmp_path)
    yield server
    server.running.stop()


@pytest.fixture
def worker(queue: Queue) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "CODEQ_BASE_URL": queue.base}
    process = subprocess.Popen([sys.executable, str(WORKER)], env=environment)
    yield process
    process.kill()
    process.wait()


def test_the_same_order_gives_the_same_parcel(
    queue: Queue, worker: subprocess.Popen[bytes]
) -> None:
    tasks = [queue.pack("order-1"), queue.pack("order-1"), queue.pack("order-2")]
    until(lambda: all(queue.result(task) for task in tasks), "three orders are packed")
    first, again, other = (queue.result(task)["parcel"] for task in tasks)
    assert first.startswith("P-")
    assert first == again
    assert first != other


def test_the_packer_stops_when_it_is_told_to(queue: Queue, worker: subprocess.Popen[bytes]) -> None:
    task = queue.pack("order-1")
    until(lambda: queue.result(task), "the worker works")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
