"""One child on its own: told to end, or to start anew, in the middle of being started."""

import asyncio
import sys
from pathlib import Path

from backstay.core.clock import SystemClock
from backstay.up.child import Child
from backstay.up.plan import ChildSpec


def child_of(tmp_path: Path, code: str = "import time; time.sleep(3600)") -> Child:
    spec = ChildSpec("x", (sys.executable, "-c", code))
    return Child(spec, tmp_path, SystemClock(), lambda name, line: None, lambda: None)


async def test_told_to_end_while_it_is_started_it_ends(tmp_path: Path) -> None:
    for turns in range(6):
        child = child_of(tmp_path)
        life = asyncio.create_task(child.keep())
        for _ in range(turns):
            await asyncio.sleep(0)
        await child.drain(5)
        await asyncio.wait_for(life, 5)
        assert child.state().pid is None
        assert child.phase == "stopped"


async def test_a_restart_asked_for_while_it_is_started_counts_once(tmp_path: Path) -> None:
    child = child_of(tmp_path)
    life = asyncio.create_task(child.keep())
    await asyncio.sleep(0)
    await child.restart(5)
    await asyncio.wait_for(child.settled.wait(), 5)
    assert child.phase == "ready"
    await child.drain(5)
    await asyncio.wait_for(life, 5)
    assert child.state().restarts <= 1


async def test_a_program_that_is_not_there_is_told_and_given_up(tmp_path: Path) -> None:
    said: list[bytes] = []
    spec = ChildSpec("x", ("/nonexistent/program",))
    child = Child(spec, tmp_path, SystemClock(), lambda name, line: said.append(line), lambda: None)
    life = asyncio.create_task(child.keep())
    await asyncio.wait_for(child.settled.wait(), 20)
    assert child.phase == "gave_up"
    assert child.last_exit is not None
    assert child.last_exit.code == 127
    assert b"/nonexistent/program" in said[0]
    await child.drain(1)
    await asyncio.wait_for(life, 5)
