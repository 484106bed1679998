"""Looking at what is on a disk, byte for byte: no link is followed, and no more read than a package
can hold."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from backstay.patchgen.errors import WriteFailed
from backstay.patchgen.paths import reason_of

_LARGEST = 1_048_576
_USUAL = 16_384


def difference(folder: Path, files: Mapping[str, bytes]) -> str:
    """How a folder differs from what it should hold, in words; "" when it does not."""
    there = contents(folder)
    for name in sorted({*there, *files}):
        if name not in there:
            return f"{name} is missing"
        if name not in files:
            return f"{name} is not part of it"
        if there[name] is None:
            return f"{name} is no plain file"
        if there[name] != files[name]:
            return f"{name} differs"
    return ""


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder by its relative path; None for what is no plain file. No link is
    followed and nothing larger than a package can be is read. An empty folder is `name/`.

    Texts, not `Path`s: a batch that is run again looks at every package that is there.
    """
    found: dict[str, bytes | None] = {}
    waiting = [("", str(folder))]
    while waiting:
        below, place = waiting.pop()
        empty = True
        for entry in _entries(place):
            empty = False
            name = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append((f"{name}/", entry.path))
            else:
                found[name] = _read(entry.path)
        if empty and below:
            found[below] = b""
    return found


def _entries(place: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError as failed:
        raise _unreadable(place, failed) from failed


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failed:
        if failed.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            return None
        raise _unreadable(path, failed) from failed
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return _whole(descriptor)
    except OSError as failed:
        raise _unreadable(path, failed) from failed
    finally:
        os.close(descriptor)


def _whole(descriptor: int) -> bytes:
    """A file up to the limit; one byte over it is enough to differ."""
    first = os.read(descriptor, _USUAL)
    if len(first) < _USUAL:
        return first
    with os.fdopen(os.dup(descriptor), "rb") as rest:
        return first + rest.read(_LARGEST + 1 - _USUAL)


def _unreadable(path: str, failed: OSError) -> WriteFailed:
    return WriteFailed(reason=reason_of(failed), path=path, remedy="make it readable")
