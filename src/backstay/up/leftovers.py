"""What a killed supervisor may have left behind: found by its session and its environment, ended.

Normally nothing: children die with their parent. What *they* started does not, and macOS has no
parent-death signal at all; two owners of one data folder must not meet.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from backstay.core.clock import Clock

_WAIT = 5.0
_LOOK_EVERY = 0.02


async def end_leftovers(runtime: Path, clock: Clock) -> list[int]:
    """Kill every process that was started for this runtime folder by an earlier supervisor.

    Gives the pids. Must be called by the owner of the data folder, before it starts anything.
    """
    found = list(_leftovers(runtime))
    for pid in found:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    end = clock.tick() + _WAIT
    while clock.tick() < end and any(map(_lives, found)):
        await clock.sleep(clock.tick() + _LOOK_EVERY)
    return found


def _leftovers(runtime: Path) -> Iterator[int]:
    # A drain pipe's number is only in the environment of what a supervisor started: a person's own
    # `backstay` command that has BACKSTAY_RUNTIME set is not touched.
    mark = f"BACKSTAY_RUNTIME={runtime}".encode()
    processes = Path("/proc")
    if not processes.is_dir():
        return
    for process in processes.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in words and any(word.startswith(b"BACKSTAY_DRAIN_FD=") for word in words):
            yield int(process.name)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
