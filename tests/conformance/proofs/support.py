"""Real processes for the statements: one command each, its output in a file, ended by its own pid;
a target of HTTP calls that does what a test tells it; the seeds' commands typed in a real shell.
"""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.stack import Answer, Json, free_port, until

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
PATIENCE = 60.0
"""Seconds after which what must happen did not; generous, as the machine may be busy."""
SECRET = "a secret of thirty-two bytes, or more"
_OURS = ("JWT_", "LOG_", "CODE", "BACKSTAY", "GATEWAY", "PORT", "DATABASE", "REDIS")


def clean_env(**more: str) -> dict[str, str]:
    """The environment without anything that would steer the product, its commands on PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", **more}


def shell(line: str, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    """A line as a person types it."""
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=cwd, env=clean_env(**env),
        timeout=PATIENCE, check=False,
    )  # fmt: skip


class Serving:
    """One server process of the product on a free port of loopback."""

    def __init__(self, folder: Path, *words: str, health: str = "/health/live") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.words = words
        self.port = free_port()
        self.out = folder / "out.log"
        self.err = folder / "err.log"
        self._health = health
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def runtime(self) -> Path:
        return self.folder / "run"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, **env: str) -> "Serving":
        self.runtime.mkdir(exist_ok=True)
        given = clean_env(BACKSTAY_RUNTIME=str(self.runtime), **env)
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [*self.words, "--listen", f"127.0.0.1:{self.port}", "--data", str(self.folder)],
                stdout=out, stderr=err, cwd=self.folder, env=given,
            )  # fmt: skip
        until(self._answers, PATIENCE, lambda: self.out.read_text() + self.err.read_text())
        return self

    def stop(self, wait: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request; `x_debug="true"` becomes the header X-Debug."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            raw = None if body is None else json.dumps(body).encode()
            connection.request(method, path, raw, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def seed(self, line: str, **env: str) -> str:
        """Run a seed's command against this server instead of port 8080; its standard output."""
        done = shell(line.replace("localhost:8080", f"127.0.0.1:{self.port}"), self.folder, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self, file: Path | None = None) -> list[Json]:
        """Its JSON log."""
        return [json.loads(line) for line in (file or self.out).read_text().splitlines()]

    def line_of(self, request: str, message: str = "http request") -> Json:
        """The line with this message and request id, once it is written."""
        found: list[Json] = []

        def there() -> bool:
            found[:] = [
                line
                for line in self.lines()
                if line.get("request_id") == request and line["msg"] == message
            ]
            return bool(found)

        until(there, PATIENCE, lambda: f"no line {message!r} of {request}")
        return found[0]

    def control(self, route: str, system: str = "app") -> Any:
        """Ask its control socket with curl; `POST /drain` or a path."""
        *method, path = route.split()
        word = method[0] if method else "GET"
        done = shell(
            f"curl -sf --unix-socket {self.runtime}/{system}.ctl -X {word} http://ctl{path}"
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of this name that have these labels."""
        text = self.ask("GET", "/metrics").body.decode()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return sum(
            float(value)
            for series, value in rows
            if series.partition("{")[0] == name and all(label in series for label in wanted)
        )

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"ended: {self.err.read_text()}{self.out.read_text()[-2000:]}")
        try:
            return self.ask("GET", self._health).status == 200
        except (OSError, http.client.HTTPException):
            return False


@contextmanager
def app_server(folder: Path, target: str, **env: str) -> Iterator[Serving]:
    """`codeai server` of the program beside this file."""
    serving = Serving(folder, str(BIN / "codeai"), "server", str(HERE / "app.cai"))
    try:
        yield serving.start(TARGET_URL=target, **{"JWT_SECRET": "", **env})
    finally:
        serving.close()


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Hold the write lock of a database, as another process would: writers wait inside."""
    other = sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


class Target:
    """An HTTP service on a free port: counts calls by path, answers with the status it is told,
    and can hold its answers back."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.statuses: dict[str, int] = {}
        self.gate = threading.Event()
        self.gate.set()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target.hits[self.path] += 1
                target.gate.wait(PATIENCE)
                self.send_response(target.statuses.get(self.path, 200))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


class UnderWay:
    """A POST whose body is still to come: the server has begun it and cannot end it."""

    def __init__(self, serving: Serving, path: str, body: object, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=PATIENCE)
        self._body = json.dumps(body).encode()
        self._connection.putrequest("POST", path)
        self._connection.putheader("Content-Length", str(len(self._body)))
        for name, value in headers.items():
            self._connection.putheader(name.replace("_", "-"), value)
        self._connection.endheaders()

    def finish(self) -> Answer:
        """Send the body; the answer."""
        try:
            self._connection.send(self._body)
            answer = self._connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            self._connection.close()


class Later(threading.Thread):
    """A request made beside the test; `answer` waits for it."""

    def __init__(self, serving: Serving, *words: Any, **headers: str) -> None:
        super().__init__(daemon=True)
        self._ask = lambda: serving.ask(*words, **headers)
        self._answer: Answer | None = None
        self.start()

    def run(self) -> None:
        self._answer = self._ask()

    def answer(self) -> Answer:
        self.join(PATIENCE)
        assert self._answer is not None
        return self._answer
