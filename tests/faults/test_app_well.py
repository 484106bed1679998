"""A busy app is no sick one: under load on either database the doctor finds nothing wrong."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.apps import Served, serving
from tests.servers.postgres import PostgresServer
from tests.servers.require import absent

PROGRAM = """
entity Note { id: uuid, primary, auto, text: text, required }
endpoint GET /notes { returns: paginated(Note) }
endpoint POST /notes {
  body { text: text, required }
  do { let made = create Note { text: body.text }  return made }
}
workflow write { steps { write { do { create Note { text: "done" } } } } }
"""
POSTS = """
wrk.method = "POST"
wrk.body = '{"text": "a note"}'
wrk.headers["Content-Type"] = "application/json"
"""


@contextmanager
def load(served: Served, folder: Path) -> Iterator[None]:
    """Readers and writers, as many as keep it busy all the time."""
    if shutil.which("wrk") is None:
        absent("wrk", "Debian: sudo apt-get install wrk")
    (folder / "posts.lua").write_text(POSTS)
    url = f"{served.url}/api/v1/notes"
    running = [
        subprocess.Popen(["wrk", "-t1", *words, "-d60s", url], stdout=subprocess.DEVNULL)
        for words in (["-c32"], ["-c8", "-s", str(folder / "posts.lua")])
    ]
    try:
        yield
    finally:
        for each in running:
            each.terminate()
            each.wait(10)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_nothing_is_wrong_with_a_busy_app(
    tmp_path: Path, postgres: PostgresServer, kind: str
) -> None:
    name = f"busy_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    url = postgres.url(name) if kind == "postgres" else ""
    with serving(tmp_path, PROGRAM, url) as served, load(served, tmp_path):
        for words in ((), ("it is slow",), ("memory leak",), ("tasks pile up",)):
            for _ in range(20):
                served.post("/workflows/write/start")
            assert served.named(*words) == []
