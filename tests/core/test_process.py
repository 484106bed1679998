"""A real process through its whole life: signals, the drain pipe, a failing start, a second owner."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backstay.core.control import ControlSilent, ask
from backstay.core.errors import Fault
from backstay.core.runtime import find_runtime, make_runtime, read_exit

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.errors import ErrorEntry, Fault
from backstay.core.health import Check, Finding
from backstay.core.process import run_process
from backstay.core.process_settings import ProcessSettings
from backstay.core.settings import Loaded, Secret, Value

NO = ErrorEntry("TEST001", "the store {path} is not writable", "mode 0444", "chmod u+w {path}", exit=4)

class Slow:
    name = "slow"
    async def start(self):
        if sys.argv[1] == "fault": raise Fault(NO, path="/x")
        if sys.argv[1] == "bug": raise KeyError("oops")
    def ready(self): return True
    async def drain(self, seconds):
        print("draining", flush=True)
        if sys.argv[1] == "stuck": await asyncio.sleep(60)
    async def stop(self): print("stopped", flush=True)

async def build(process):
    async def fine(): return Finding("pass", {"rows": 3})
    async def probe(): return {"seen": 1}
    process.board_checks.append(Check("store", True, 1.0, 5.0, fine))
    process.breakers["pay"] = Breaker("pay", process.clock, BreakerSettings())
    process.probes["p"] = probe
    return [Slow()]

values = (Value("jwt_secret", Secret("hush"), "env", "JWT_SECRET"), Value("port", 8080, "default", ""))
raise SystemExit(run_process("tiny", Loaded(ProcessSettings(data=Path(sys.argv[2])), values), build))
"""


class Tiny:
    def __init__(self, data: Path, how: str = "good", **more: object) -> None:
        self.runtime = find_runtime(data)
        self.socket = self.runtime / "tiny.ctl"
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how, str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def ask(self, route: str) -> object:
        return asyncio.run(ask(self.socket, route))

    def until_ready(self) -> None:
        end = time.monotonic() + 15
        while time.monotonic() < end and self.child.poll() is None:
            with suppress(ControlSilent):
                if self.ask("/live")["ready"]:
                    return
            time.sleep(0.02)
        raise AssertionError(f"never ready: {self.child.communicate()}")

    def end(self) -> tuple[int, str, str]:
        out, err = self.child.communicate(timeout=15)
        return self.child.returncode, out, err


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    made = make_runtime(tmp_path)
    yield tmp_path
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def start(data: Path) -> Iterator[object]:
    started: list[Tiny] = []

    def begin(how: str = "good", **more: object) -> Tiny:
        started.append(Tiny(data, how, **more))
        return started[-1]

    yield begin
    for tiny in started:
        if tiny.child.poll() is None:
            tiny.child.kill()
            tiny.child.communicate()


def test_sigterm_drains_and_exits_0(start) -> None:
    tiny = start()
    tiny.until_ready()
    tiny.child.send_signal(signal.SIGTERM)
    code, out, _ = tiny.end()
    assert code == 0
    assert "draining" in out
    assert "stopped" in out
    reason = read_exit(tiny.runtime, "tiny")
    assert reason is not None
    assert (reason.code, reason.reason, reason.pid) == (0, "drained: SIGTERM", tiny.child.pid)
    assert not tiny.socket.exists()


def test_the_end_of_the_drain_pipe_drains(start) -> None:
    read, write = os.pipe()
    tiny = start(pass_fds=[read], env={**os.environ, "BACKSTAY_DRAIN_FD": str(read)})
    os.close(read)
    tiny.until_ready()
    os.close(write)
    code, out, _ = tiny.end()
    assert code == 0
    assert "stopped" in out


def test_a_second_signal_ends_a_stuck_drain_at_once(start) -> None:
    tiny = start("stuck")
    tiny.until_ready()
    tiny.child.send_signal(signal.SIGINT)
    for line in tiny.child.stdout:
        if line.strip() == "draining":
            break
    tiny.child.send_signal(signal.SIGINT)
    assert tiny.child.wait(timeout=5) == 130


def test_a_failing_start_is_told_and_kept(start) -> None:
    tiny = start("fault")
    code, _, err = tiny.end()
    assert code == 4
    assert "error TEST001: the store /x is not writable" in err
    assert "chmod u+w /x" in err
    assert "Traceback" not in err
    reason = read_exit(tiny.runtime, "tiny")
    assert reason is not None
    assert reason.reason == "TEST001: the store /x is not writable"
    assert reason.code == 4


def test_a_bug_shows_no_trace_and_keeps_it(start) -> None:
    tiny = start("bug")
    code, out, err = tiny.end()
    assert code == 1
    assert "CORE065" in err
    assert "Traceback" not in out + err
    kept = json.loads((tiny.runtime / "tiny.exit.json").read_text())
    assert "KeyError: 'oops'" in kept["trace"]


def test_the_control_socket_tells_everything(start) -> None:
    tiny = start()
    tiny.until_ready()
    assert tiny.ask("/checks")["checks"]["store"]["status"] == "healthy"
    assert "process_resident_memory_bytes" in tiny.ask("/metrics")
    secret, port = tiny.ask("/settings")
    assert "hush" not in json.dumps(secret)
    assert (secret["name"], secret["source"], secret["where"]) == (
        "jwt_secret",
        "env",
        "JWT_SECRET",
    )
    assert port["value"] == 8080
    assert tiny.ask("/breakers")[0]["target"] == "pay"
    assert tiny.ask("POST /breakers/pay/reset")["state"] == "closed"
    assert tiny.ask("/probe/p") == {"seen": 1}
    with pytest.raises(Fault, match="no circuit breaker named other"):
        tiny.ask("POST /breakers/other/reset")
    assert tiny.ask("POST /drain") == {"draining": True}
    assert tiny.end()[0] == 0


def test_a_second_owner_of_the_runtime_folder_is_refused(start) -> None:
    first = start()
    first.until_ready()
    code, _, err = start().end()
    assert code == 1
    assert f"pid {first.child.pid}" in err
    assert first.ask("/live")["pid"] == first.child.pid


def test_a_deep_data_folder_gets_a_short_runtime_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    made = make_runtime(deep)
    try:
        assert len(str(made / "gateway.sock")) < 107
        assert made.stat().st_mode & 0o777 == 0o700
        assert find_runtime(deep) == made
    finally:
        made.rmdir()


async def test_a_check_that_does_not_know_yet_is_asked_again_soon() -> None:
    from backstay.core.health import Board, Check, Finding
    from backstay.core.virtual import VirtualClock

    clock = VirtualClock()
    answers = [Finding("unknown"), Finding("pass")]

    async def ask_it() -> Finding:
        return answers.pop(0)

    board = Board(clock, "1", [Check("x", False, 1.0, 30.0, ask_it)])
    wish = await board.step()
    assert wish is not None
    assert wish - clock.tick() < 1.0
    clock.advance_now(1.0)
    wish = await board.step()
    assert board.finding("x").outcome == "pass"
    assert wish is not None
    assert wish - clock.tick() == pytest.approx(30.0)
