"""A foreign server as a child of the test run: started, waited for, and stopped by its own id."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 10.0


def until(true: Callable[[], bool], says: str, seconds: float = START_SECONDS) -> None:
    """Return once `true()`, else raise TimeoutError with what was waited for."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{says}: not within {seconds:.0f} s")
        time.sleep(0.02)


class Running:
    """A started server. `log` holds what it printed; a failed start shows its end."""

    def __init__(self, command: Sequence[str], log: Path, user: str | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Return once it answers; raise RuntimeError with its last words when it ended instead."""

        def answered_or_ended() -> bool:
            return answers() or self.process.poll() is not None

        try:
            until(answered_or_ended, f"{self.process.args!r} answers")
            if self.process.poll() is not None:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.process.args!r} ended at once: {tail}")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Signal it and wait for the end; it is killed when it does not end by itself."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def unprivileged() -> str | None:
    """A user for servers that refuse root: None when we are not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
