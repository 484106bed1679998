"""The doctor asked about a queue that runs by itself, as a person at a shell would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.queue.support import Server, clean_env, until

HEALTHY, WRONG = 0, 1


def consult(
    data: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    python: str | Path = sys.executable,
) -> tuple[int, dict[str, Any]]:
    """Exit code and verdict of `backstay doctor`, of the installation that `python` belongs to."""
    command = [str(python), "-m", "backstay.cli.backstay", "doctor", *words]
    done = subprocess.run(
        [*command, "--data", str(data), "--output", "json"],
        env=clean_env() | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=data.parent,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def causes(verdict: Mapping[str, Any]) -> list[str]:
    return [finding["cause"] for finding in verdict["findings"]]


def assert_named(server: Server | Path, cause: str, *words: str, **more: Any) -> dict[str, Any]:
    """The doctor comes to name this cause and no other; gives the finding."""
    data = server.data if isinstance(server, Server) else server
    if isinstance(server, Server) and "--url" not in words:
        words = (*words, "--url", server.base_url)
    last: list[Any] = []

    def named() -> bool:
        last[:] = consult(data, *words, **more)
        return causes(last[1]) == [cause]

    try:
        until(named, 25.0)
    except AssertionError:
        raise AssertionError(f"wanted {cause}, got {json.dumps(last, indent=1)[:4000]}") from None
    assert last[0] == WRONG
    finding: dict[str, Any] = last[1]["findings"][0]
    assert finding["evidence"], "a cause without evidence is a guess"
    assert finding["fixes"], "a cause without a fix leaves its reader alone"
    assert "{" not in finding["says"], finding["says"]
    return finding


def assert_silent(server: Server, *words: str) -> None:
    code, verdict = consult(server.data, *words, "--url", server.base_url)
    assert (code, causes(verdict), verdict["unclear"]) == (HEALTHY, [], []), json.dumps(
        verdict, indent=1
    )[:4000]


def path_without_codeq() -> str:
    """A PATH on which no codeq lies, though other programs do."""
    kept = [part for part in os.environ["PATH"].split(":") if not (Path(part) / "codeq").exists()]
    return ":".join(kept)


def apply(finding: Mapping[str, Any], fix: str, **env: str) -> str:
    """Type the command of this fix, as the doctor gave it; what it printed."""
    (command,) = [one["command"] for one in finding["fixes"] if one["id"] == fix]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=clean_env() | {"PATH": path, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def assert_mended(server: Server, *words: str) -> None:
    """The doctor comes to find nothing wrong any more, asked with the same words."""
    assert_well(server.data, *words, "--url", server.base_url)


def assert_well(data: Path, *words: str) -> None:
    """The doctor comes to find nothing wrong."""
    last: list[Any] = []

    def mended() -> bool:
        last[:] = consult(data, *words)
        return (last[0], causes(last[1]), last[1]["unclear"]) == (HEALTHY, [], [])

    try:
        until(mended, 25.0)
    except AssertionError:
        raise AssertionError(f"not mended: {json.dumps(last, indent=1)[:4000]}") from None
