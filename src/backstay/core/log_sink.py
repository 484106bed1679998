"""Where log lines go: standard output, standard error, or a file that others may rotate away."""

import asyncio
import atexit
import os
import sys
import threading
from pathlib import Path

from backstay.core.errors import Fault
from backstay.core.faults import LOG_OUTPUT_UNUSABLE

_MODE = 0o640
_ATOMIC = 4096
"""What POSIX promises to write into a pipe in one piece, on Linux."""


class Sink:
    """Writes whole lines to a file descriptor. A line that cannot be written is dropped: the
    process must not die of a full disk or a closed terminal.

    Lines that may wait (`later`) are written together at the end of the event loop's turn, or when
    they fill a pipe's atomic size, or before the next line that may not; a normal end of the
    process writes them, too. So the delay is one turn, and a busy server writes once for many.
    """

    def __init__(self, descriptor: int, *, colour: bool = False) -> None:
        self._descriptor = descriptor
        self.colour = colour
        self.dropped = 0
        self._lock = threading.RLock()  # store threads log, too
        self._waiting: list[bytes] = []
        self._size = 0
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """At once, after what waits."""
        with self._lock:
            self._add(line)
            self.flush()

    def later(self, line: bytes) -> None:
        """At the end of this turn of the event loop; at once where none runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write(line)
            return
        with self._lock:
            if not self._waiting:
                loop.call_soon(self.flush)
            self._add(line)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._waiting:
                lines, self._waiting, self._size = self._waiting, [], 0
                self._out(b"".join(lines))

    def _add(self, line: bytes) -> None:
        # One call for each part, so that processes sharing a pipe or file do not mix their lines.
        if self._size + len(line) > _ATOMIC:
            self.flush()
        self._waiting.append(line)
        self._size += len(line)

    def _out(self, data: bytes) -> None:
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self.dropped += data.count(b"\n")


class FileSink(Sink):
    """Appends; opens the path again when it was moved or deleted (logrotate without a signal)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(self._open())
        self._identity = self._current()

    def _out(self, data: bytes) -> None:
        if self._current() != self._identity:
            self._reopen()
        super()._out(data)

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
