"""A real `codeq-server` on a data folder of its own, and words to talk to it over HTTP."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backstay.up.ports import free_port

PREFIX = "/v1/codeq"
CODEQ = (sys.executable, "-m", "backstay.cli.codeq")
SERVER = (sys.executable, "-m", "backstay.cli.codeq_server")


class Answer:
    """One HTTP answer, read whole."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """One `codeq-server`; its log is a file beside the data folder. `wrap` are words to put before
    its command."""

    program: tuple[str, ...] = SERVER

    def __init__(
        self,
        data: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        wrap: Sequence[str] = (),
    ) -> None:
        self.data = data
        self.host, self.port = host, free_port()
        self.base_url = f"http://{host}:{self.port}"
        self.log_file = data.with_name(f"{data.name}.log")
        self._arguments = arguments
        self._wrap = wrap
        self.env = clean_env() | dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        self.launch()
        until(self._answers, 20.0)
        return self

    def launch(self) -> None:
        """Without waiting until it answers."""
        command = (
            *self._wrap,
            *self.program,
            "--listen",
            f"{self.host}:{self.port}",
            "--data",
            str(self.data),
        )
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                (*command, *self._arguments), env=self.env, stdout=log, stderr=log
            )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the server ended:\n{self.log_file.read_text()}")
        try:
            return self.call("GET", "/healthz", prefix="").status == 200
        except OSError:
            return False

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        prefix: str = PREFIX,
        headers: Mapping[str, str] | None = None,
        timeout: float = 40.0,
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, prefix + path, raw, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("POST", path, body, **more)

    def create(self, command: str = "PACK", **fields: Any) -> dict[str, Any]:
        answer = self.post("/tasks", {"command": command, "payload": {}, **fields})
        assert answer.status == 202, answer.body
        return answer.json

    def claim(self, command: str = "PACK", **fields: Any) -> dict[str, Any] | None:
        answer = self.post("/tasks/claim", {"commands": [command], **fields})
        assert answer.status in (200, 204), answer.body
        return answer.json if answer.status == 200 else None

    def task(self, id: str) -> dict[str, Any]:
        return self.get(f"/tasks/{id}").json

    def log(self) -> list[dict[str, Any]]:
        # Not splitlines: JSON may hold U+0085 and U+2028 as they are.
        lines = self.log_file.read_text().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{")]


def ended(server: Server, task: Mapping[str, Any]) -> Callable[[], dict[str, Any] | None]:
    """A question for `until`: the task, once it has ended."""

    def look() -> dict[str, Any] | None:
        found = server.task(task["id"])
        return found if found["status"] not in ("PENDING", "IN_PROGRESS") else None

    return look


def clean_env() -> dict[str, str]:
    """This process's environment without what would steer the queue."""
    names = (
        *("CODEQ_", "BACKSTAY_", "LOG_", "JWT_", "REDIS_", "BACKOFF_", "ENV"),
        *("WORKER_", "PRODUCER_", "IDENTITY_", "WEBHOOK_", "ALLOW"),
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith(names)}
    return kept | {"NO_COLOR": "1"}


def until(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Poll until the answer is truthy and give it; an AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not true within {seconds} s: {true}")


@contextmanager
def serving(data: Path, *arguments: str, **more: Any) -> Iterator[Server]:
    server = Server(data, *arguments, **more).start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.kill()


def run_codeq(*arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> Any:
    """`codeq` as a process; text in and out."""
    return subprocess.run(
        (*CODEQ, *arguments),
        env=clean_env() | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )
