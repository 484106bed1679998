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
    followed and nothing larger than a package can be is read."""
    found: dict[str, bytes | None] = {}
    for place, folders, files in os.walk(folder, onerror=_raise):
        below = Path(place).relative_to(folder)
        for name in folders:
            if Path(place, name).is_symlink():
                found[(below / name).as_posix()] = None
        for name in files:
            found[(below / name).as_posix()] = _read(Path(place, name))
    return found


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failed:
        if failed.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            return None
        raise WriteFailed(
            reason=reason_of(failed), path=str(path), remedy="make it readable"
        ) from (failed)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(_LARGEST + 1)


def _raise(failed: OSError) -> None:
    raise WriteFailed(
        reason=reason_of(failed), path=str(failed.filename), remedy="make it readable"
    ) from failed
