"""Real supervisors over stand-in systems, ended for certain after each test."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backstay.core.runtime import find_runtime
from backstay.up.ports import free_port

FAKE_UP = Path(__file__).with_name("fake_up.py")


def until(what: Callable[[], object], seconds: float = 15.0) -> object:
    """Poll until `what` is true; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            if found := what():
                return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Up:
    def __init__(self, data: Path, *children: str, port: int) -> None:
        self.data = data
        self.port = port
        self.runtime = find_runtime(data)
        self.out = data.with_name(f"{data.name}.{time.monotonic_ns()}.out")
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(FAKE_UP), str(data), str(port), *children],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def state(self) -> dict:
        return json.loads((self.runtime / "state.json").read_text())

    def phase(self, name: str) -> str:
        return self.state()["processes"][name]["state"]

    def pids(self) -> list[int]:
        return [p["pid"] for p in self.state()["processes"].values() if p["pid"]]

    def text(self) -> str:
        return self.out.read_text()

    def until_shown(self) -> None:
        until(lambda: "try next" in self.text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 15.0) -> int:
        return self.process.wait(seconds)


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    return free_port()


@pytest.fixture
def up(tmp_path: Path, free_port: int) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def begin(*children: str, data: Path | None = None, port: int = 0) -> Up:
        started.append(Up(data or tmp_path / "data", *children, port=port or free_port))
        return started[-1]

    yield begin
    for one in started:
        pids: list[int] = []
        with suppress(OSError, ValueError):
            pids = one.pids()
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGKILL)
            one.process.wait(5)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if not one.runtime.is_relative_to(one.data):
            shutil.rmtree(one.runtime, ignore_errors=True)
