"""`codeai server` as a process of its own, on SQLite or on PostgreSQL."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.proofs.support import Serving

CODEAI = Path(sys.executable).parent / "codeai"
NewUrl = Callable[[], str]


@contextmanager
def standing(folder: Path, text: str, url: str = "", **env: str) -> Iterator[Serving]:
    """A server of the program `text`; `url` names a PostgreSQL database."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "app.cai"
    file.write_text(text, encoding="utf-8")
    serving = Serving(folder / "data", str(CODEAI), "server", str(file))
    try:
        yield serving.start(**({"DATABASE_URL": url} if url else {}), **env)
    finally:
        serving.close()


@contextmanager
def standing_on(
    kind: str, request: pytest.FixtureRequest, folder: Path, text: str
) -> Iterator[Serving]:
    """As `standing`, for a module: on a SQLite file or on a PostgreSQL database of its own."""
    url = "" if kind == "sqlite" else request.getfixturevalue("urls").take()
    try:
        with standing(folder, text, url, LOG_LEVEL="error") as serving:
            yield serving
    finally:
        if url:
            request.getfixturevalue("urls").give(url)


def database_url(kind: str, request: pytest.FixtureRequest) -> str:
    """ "" for SQLite, an empty database of its own for PostgreSQL."""
    if kind == "sqlite":
        return ""
    made: NewUrl = request.getfixturevalue("new_url")
    return made()


def codeai(serving: Serving, token: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command of `codeai` that asks this server."""
    base = f"http://127.0.0.1:{serving.port}"
    return subprocess.run(
        [CODEAI, *words, "--base-url", base],
        capture_output=True, text=True, timeout=60, check=False,
        env={"CODEAI_TOKEN": token, "PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
    )  # fmt: skip


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    """What a command printed as JSON."""
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found
