"""Where log lines go: standard output, standard error, or a file that others may rotate away."""

import os
import sys
import threading
from pathlib import Path

from backstay.core.errors import Fault
from backstay.core.faults import LOG_OUTPUT_UNUSABLE

_MODE = 0o640


class Sink:
    """Writes whole lines to a file descriptor. A line that cannot be written is dropped: the
    process must not die of a full disk or a closed terminal."""

    def __init__(self, descriptor: int, *, colour: bool = False) -> None:
        self._descriptor = descriptor
        self.colour = colour
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """One write call for each line, so that processes sharing a file do not mix them."""
        try:
            rest = line
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self.dropped += 1


class FileSink(Sink):
    """Appends; opens the path again when it was moved or deleted (logrotate without a signal)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        super().__init__(self._open())
        self._identity = self._current()

    def write(self, line: bytes) -> None:
        with self._lock:  # store threads log, too
            if self._current() != self._identity:
                self._reopen()
            super().write(line)

    def _current(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _reopen(self) -> None:
        try:
            fresh = self._open()
        except OSError:
            return  # the moved file still takes the lines; the next write tries again
        os.close(self._descriptor)
        self._descriptor = fresh
        self._identity = self._current()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)


def open_sink(output: str) -> Sink:
    """`stdout`, `stderr` or a path. Raises Fault CORE002 when the path cannot be appended to."""
    if output in ("stdout", "stderr"):
        stream = sys.stdout if output == "stdout" else sys.stderr
        return Sink(stream.fileno(), colour=stream.isatty() and not os.environ.get("NO_COLOR"))
    try:
        return FileSink(Path(output).expanduser())
    except OSError as failure:
        raise Fault(LOG_OUTPUT_UNUSABLE, path=output, reason=str(failure.strerror)) from failure
