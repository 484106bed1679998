"""One flush for a whole file system, where the system has such a call."""

import ctypes
import os
from collections.abc import Callable


def _find_syncfs() -> Callable[[int], int] | None:
    """The C library's syncfs: Linux has it, and since 5.8 it reports errors of writing back."""
    try:
        call: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    return call


_SYNCFS: list[Callable[[int], int] | None] = []


def flush_file_system(folder: int) -> bool:
    """Whether the whole file system was flushed; False where there is no such call."""
    if not _SYNCFS:
        _SYNCFS.append(_find_syncfs())
    call = _SYNCFS[0]
    if call is None:
        return False
    if call(folder) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True
