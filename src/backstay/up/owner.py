"""Who owns a data folder: one supervisor at a time, by the lock that dies with its process."""

import fcntl
import os
from pathlib import Path

import msgspec

from backstay import __version__
from backstay.core.lock import Lock, holder
from backstay.core.runtime import make_folder, write_atomically

MARKER = "backstay.json"
"""Says that a folder is ours; `reset` and `restore` touch no other."""


def own(data: Path) -> Lock:
    """Make the folder if need be and own it. Raises CORE064, CORE010 naming the owner, CORE011."""
    make_folder(data)
    lock = Lock(data).acquire()
    if not (data / MARKER).exists():
        write_atomically(data / MARKER, msgspec.json.encode({"version": __version__}))
    return lock


def owner(data: Path) -> int | None:
    """The pid of the living owner (0: not known); None when nobody owns it. Makes nothing."""
    file = Lock(data).file
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return holder(file)[0]
    finally:
        os.close(descriptor)
    return None
