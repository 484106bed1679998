"""Starting a process so that it cannot outlive its supervisor, and ending it, kindly or not."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from backstay.up.plan import ChildSpec

_PR_SET_PDEATHSIG = 1


class Running:
    """A started process: leader of a session and process group of its own."""

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process, pipe: int) -> None:
        self.process = process
        self.pid = process.pid
        self._by_pipe = spec.control is not None
        self._pipe: int | None = pipe

    def drain(self) -> None:
        """Ask it to finish. Our systems see the end of their pipe, others get SIGTERM."""
        # Never both: for our systems a second request means "at once".
        self.let_go()
        with suppress(ProcessLookupError, PermissionError):
            if not self._by_pipe:
                self.process.terminate()
            # One that was suspended could not hear it, and would be waited for in vain.
            os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and what it started, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Close our end of the drain pipe."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)


async def spawn(spec: ChildSpec, runtime: Path) -> Running:
    """Start it with its output on one pipe. Raises OSError when the program cannot be started.

    Must run on the main thread: the kernel sends the parent-death signal when the *thread* that
    forked ends.
    """
    read, write = os.pipe()
    env = {
        **os.environ,
        **spec.env,
        "BACKSTAY_RUNTIME": str(runtime),
        "BACKSTAY_DRAIN_FD": str(read),
        "PYTHONUNBUFFERED": "1",
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *spec.command,
            env=env,
            cwd=spec.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(read,),
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    except BaseException:
        os.close(write)
        raise
    finally:
        os.close(read)
    return Running(spec, process, write)


def die_with_parent() -> Callable[[], None] | None:
    """What a child does between fork and exec. SIGKILL, because nothing accepted is lost by it and
    a supervisor that starts again must not meet old owners of its files (macOS: the pipe alone)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it died before the signal was armed

    return arm
