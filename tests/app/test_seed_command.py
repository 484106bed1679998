"""`codeai seed` as a person types it, against `codeai server` as a process of its own."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.running import until

from backstay.up.ports import free_port

PROGRAM = """
entity Shelf { id: uuid, primary, auto
  name: string, required }
entity Book { id: uuid, primary, auto
  shelf: ref(Shelf), required
  title: string, required }
endpoint GET /books { auth: public, returns: paginated(Book) }
"""
SHELF = "00000000-0000-7000-8000-000000000001"
LINES = [
    {"entity": "Shelf", "values": {"id": SHELF, "name": "A"}},
    {"entity": "Book", "values": {"shelf": SHELF, "title": "Emma"}},
]


def codeai(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backstay.cli.codeai", *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health/live", timeout=5) as found:
            return bool(found.status == 200)
    except OSError:
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "app.cai").write_text(PROGRAM)
    port = free_port()
    command = [sys.executable, "-m", "backstay.cli.codeai", "server", str(tmp_path / "app.cai")]
    more = ["--port", str(port), "--data", str(tmp_path / "data")]
    with subprocess.Popen([*command, *more], stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: answers(address), "the server", 60)
            yield address
        finally:
            process.terminate()


def test_rows_are_stored_once_and_whole(server: str, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(line) for line in LINES)
    file = tmp_path / "first.jsonl"
    file.write_text(lines)
    given = ("--base-url", server)
    made = codeai("seed", str(file), *given)
    assert (made.returncode, made.stdout) == (0, "2 rows stored\n"), made.stderr
    again = codeai("seed", "-", *given, stdin=lines)
    assert (again.returncode, again.stdout) == (0, "these rows are there already\n")

    wrong = [*LINES[1:], {"entity": "Book", "values": {"shelf": SHELF}}]
    refused = codeai("seed", "-", *given, stdin="\n".join(json.dumps(line) for line in wrong))
    assert refused.returncode != 0
    assert "line 2" in refused.stderr
    assert "title: is required" in refused.stderr
    more = ("--id", "more", "--output", "json")
    found = codeai("seed", "-", *given, *more, stdin=json.dumps(LINES[1]))
    assert json.loads(found.stdout) == {"seeded": 1}
