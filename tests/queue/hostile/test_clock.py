"""The wall clock of a real server jumps, both ways (decision 6)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue.support import Server, ended, until

_DAY = 86_400


class Jumpy(Server):
    """A server whose wall clock can be set."""

    program = (sys.executable, "-m", "tests.queue.hostile.set_clock")

    def __init__(self, folder: Path) -> None:
        self._shift = folder / "shift"
        self._set(0)
        super().__init__(folder / "data", env={"SHIFT_FILE": str(self._shift)})

    def jump(self, seconds: int) -> None:
        """By so much from now on; returns once the server has noticed."""
        before = len(self._jumps())
        self._set(int(self._shift.read_text()) + seconds)
        until(lambda: len(self._jumps()) > before, 20)
        assert round(self._jumps()[-1]) == seconds

    def _set(self, shift: int) -> None:
        new = self._shift.with_suffix(".new")
        new.write_text(str(shift))
        new.replace(self._shift)

    def _jumps(self) -> list[float]:
        return [line["seconds"] for line in self.log() if line["msg"] == "wall clock jumped"]


@pytest.fixture
def jumpy(tmp_path: Path) -> Iterator[Jumpy]:
    server = Jumpy(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("jump", [_DAY, -_DAY])
def test_a_jump_ends_no_lease_and_keeps_none_alive(jumpy: Jumpy, jump: int):
    for command in ("LONG", "SHORT"):
        jumpy.create(command)
    held = jumpy.claim("LONG", leaseSeconds=300)
    assert held is not None
    jumpy.jump(jump)
    assert jumpy.claim("LONG") is None, "its lease lives on"
    beat = jumpy.post(f"/tasks/{held['id']}/heartbeat", {"extendSeconds": 300})
    assert beat.status == 200, "also for older clients, without its token"
    short = jumpy.claim("SHORT", leaseSeconds=1)
    assert short is not None
    jumpy.jump(-jump)
    again = jumpy.claim("SHORT", waitSeconds=20)
    assert again is not None
    assert (again["id"], again["attempts"]) == (short["id"], 2)
    done = {"status": "COMPLETED", "result": {"n": 1}, "leaseToken": held["leaseToken"]}
    assert jumpy.post(f"/tasks/{held['id']}/result", done).status == 200
    assert ended(jumpy, held)() is not None


def test_what_waits_for_a_wall_time_comes_when_the_clock_is_set_past_it(jumpy: Jumpy):
    later = jumpy.create("LATER", delaySeconds=3600)
    assert jumpy.claim("LATER") is None
    jumpy.jump(2 * 3600)
    task = jumpy.claim("LATER", waitSeconds=20)
    assert task is not None
    assert task["id"] == later["id"]


def test_a_clock_that_is_set_back_holds_up_no_retry_and_no_wake_up(jumpy: Jumpy):
    jumpy.create("PACK")
    task = jumpy.claim("PACK")
    assert task is not None
    jumpy.jump(-_DAY)
    jumpy.post(f"/tasks/{task['id']}/nack", {"delaySeconds": 1, "reason": "broke"})
    again = jumpy.claim("PACK", waitSeconds=20)
    assert again is not None
    assert again["attempts"] == 2
