"""Who owns a data folder: one supervisor at a time, by an `flock` that dies with its process."""

import fcntl
import os
from pathlib import Path

import msgspec

from backstay import __version__
from backstay.core.errors import Fault
from backstay.core.faults import LOCK_UNUSABLE, LOCKED
from backstay.core.runtime import write_atomically

MARKER = "backstay.json"
"""Says that a folder is ours; `reset` and `restore` touch no other."""


class Owned:
    """A held lock; `release` or the end of the process gives it back."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def own(data: Path) -> Owned:
    """Make the folder if need be and own it. Raises CORE010 naming the owner, CORE011."""
    file = data / "lock"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as failed:
        raise Fault(LOCK_UNUSABLE, path=str(data), reason=failed.strerror or "?") from failed
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        pid = _holder(descriptor)
        os.close(descriptor)
        raise Fault(LOCKED, path=str(data), pid=pid, command="backstay up") from taken
    except OSError as failed:
        os.close(descriptor)
        raise Fault(LOCK_UNUSABLE, path=str(data), reason=failed.strerror or "?") from failed
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    if not (data / MARKER).exists():
        write_atomically(data / MARKER, msgspec.json.encode({"version": __version__}))
    return Owned(descriptor)


def owner(data: Path) -> int | None:
    """The pid of the living owner; None when nobody owns it. Never makes anything."""
    try:
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0
