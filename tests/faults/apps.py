"""A `codeai server` by itself, and the doctor asked about it."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.consulting import assert_named, assert_well, consult
from tests.queue.support import clean_env, until

from backstay.core.control import ask
from backstay.core.runtime import find_runtime
from backstay.up.ports import free_port


class Served:
    """`codeai server` with its data folder, on a database of its own."""

    def __init__(self, data: Path, port: int, database: str, pid: int) -> None:
        self.data = data
        self.database = database
        self.port = port
        self.pid = pid
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path: str, body: object = None) -> dict[str, object]:
        asked = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            json.dumps(body or {}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return dict(json.loads(answer.read()))

    def get(self, path: str) -> dict[str, object]:
        with urllib.request.urlopen(f"{self.url}/api/v1{path}", timeout=20) as answer:
            return dict(json.loads(answer.read()))

    def run(self, workflow: str, **given: object) -> str:
        """Start it and wait for its end; the execution's id."""
        made = str(self.post(f"/workflows/{workflow}/start", given)["id"])
        over = ("completed", "failed", "compensated")
        until(lambda: self.get(f"/executions/{made}")["status"] in over, 30.0)
        return made

    def fault(self, cause: str, *words: str) -> dict[str, Any]:
        """The doctor comes to name this cause and no other; gives the finding."""
        return assert_named(self.data, cause, *words, "--url", self.url)

    def well(self, *words: str) -> None:
        """The doctor finds nothing wrong, or comes to find it."""
        assert_well(self.data, *words, "--url", self.url)

    def probe(self, name: str) -> dict[str, Any]:
        """What the process answers the doctor."""
        socket = find_runtime(self.data) / "app.ctl"
        return dict(asyncio.run(ask(socket, f"/probe/{name}", 10.0)))

    def named(self, *words: str) -> list[dict[str, object]]:
        _, verdict = consult(self.data, *words, "--url", self.url)
        assert verdict["unclear"] == [], verdict
        found: list[dict[str, object]] = verdict["findings"]
        return found


@contextmanager
def serving(
    folder: Path, program: str, database: str, *, files: int = 0, **env: str
) -> Iterator[Served]:
    """Serve a program on this database until the block ends; `env` on top of an empty one. `files`
    is how many it may have open."""
    (folder / "app.cai").write_text(program)
    port = free_port()
    words = [sys.executable, "-m", "backstay.cli.codeai", "server", str(folder / "app.cai")]
    words += ["--port", str(port), "--data", str(folder / "data")]
    if files:
        words = ["bash", "-c", f'ulimit -n {files} && exec "$@"', "-", *words]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, env=clean_env() | {"DATABASE_URL": database, **env}, stdout=log, stderr=log
        )
    made = Served(folder / "data", port, database, process.pid)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return bool(made.get("/workflows"))
        except OSError:
            return False

    try:
        until(answers, 40.0)
        yield made
    finally:
        process.terminate()
        process.wait(20)
