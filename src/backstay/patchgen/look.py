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
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def difference(folder: str | Path, files: Mapping[str, bytes], root: int | None = None) -> str:
    """How a folder (of the open folder `root`, if given) differs from what it should hold, in
    words; "" when it does not."""
    there = contents(folder, root)
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


def contents(folder: str | Path, root: int | None = None) -> dict[str, bytes | None]:
    """Every file below a folder by its relative path; None for what is no plain file. No link is
    followed and nothing larger than a package can be is read. An empty folder is `name/`. Raises
    `WriteFailed` for what cannot be read.

    Texts, not `Path`s: a batch that is run again looks at every package that is there.
    """
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        try:
            return _below(top)
        finally:
            os.close(top)
    except OSError as failed:
        inner = failed.filename if isinstance(failed.filename, str) else ""
        path = os.path.join(folder, inner)  # noqa: PTH118 - an absolute one stays as it is
        raise WriteFailed(
            reason=reason_of(failed), path=path, remedy="make it readable"
        ) from failed


def _below(top: int) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        entries = _entries(top, below)
        for name, is_folder in entries:
            if is_folder:
                waiting.append(f"{below}{name}/")
            else:
                found[below + name] = _read(top, below + name)
        if below and not entries:
            found[below] = b""
    return found


def _entries(top: int, below: str) -> list[tuple[str, bool]]:
    """Names, and which of them are folders."""
    place = os.open(below or ".", _FOLDER, dir_fd=top)
    try:
        with os.scandir(place) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    finally:
        os.close(place)


def _read(top: int, path: str) -> bytes | None:
    try:
        descriptor = os.open(path, _FILE, dir_fd=top)
    except OSError as failed:
        if failed.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            return None
        raise
    try:
        return _whole(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _whole(descriptor: int) -> bytes:
    """A file up to the limit; one byte over it is enough to differ."""
    first = os.read(descriptor, _USUAL)
    if len(first) < _USUAL:
        return first
    with os.fdopen(os.dup(descriptor), "rb") as rest:
        return first + rest.read(_LARGEST + 1 - _USUAL)
