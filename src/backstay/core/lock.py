"""One owner for each data folder and store file, held by `flock`.

The kernel gives the lock back when the owner dies in any way, so a stale file never blocks; its
text only says who the owner is.
"""

import fcntl
import os
import sys
from pathlib import Path
from typing import Self

from backstay.core.errors import Fault
from backstay.core.faults import LOCK_UNUSABLE, LOCKED

_NAME = ".lock"


class Lock:
    """Ownership of `path`: of a folder by `.lock` inside it, of a file by `NAME.lock` beside it.

    The store file itself is not locked: a restore replaces it, and closing a second descriptor of
    it would drop the locks that SQLite holds on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / _NAME if path.is_dir() else path.with_name(path.name + _NAME)
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Take it, or raise Fault CORE010 that names the owner; CORE011 when it cannot be tried.

        Acquiring what is held already changes nothing.
        """
        if self._descriptor is not None:
            return self
        try:
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise self._unusable(failure) from failure
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            os.close(descriptor)
            raise self._taken() from taken
        except OSError as failure:
            os.close(descriptor)
            raise self._unusable(failure) from failure
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n{' '.join(sys.argv)}\n".encode(), 0)
        except OSError as failure:  # a full disk: the lock would hold, and name nobody
            os.close(descriptor)
            raise self._unusable(failure) from failure
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Give it back. Idempotent. The file stays: removing it would let two owners in."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _taken(self) -> Fault:
        pid, command = holder(self.file)
        return Fault(LOCKED, path=str(self.path), pid=pid or "?", command=command or "unknown")

    def _unusable(self, failure: OSError) -> Fault:
        return Fault(LOCK_UNUSABLE, path=str(self.path), reason=str(failure.strerror))


def holder(lock_file: Path) -> tuple[int, str]:
    """Process id and command line that a lock file names; (0, "") when it names none.

    Ask only after the lock was refused: a dead owner's text may remain.
    """
    try:
        pid, _, command = lock_file.read_text("utf-8", "replace").partition("\n")
        return int(pid), command.strip()
    except (OSError, ValueError):
        return 0, ""
