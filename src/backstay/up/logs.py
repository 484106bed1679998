"""What processes print: into rotated files, onto the terminal with a prefix, and back again.

Each process has `logs/NAME.log`; `logs/all.log` holds the lines of all of them, prefixed, in the
order in which they came.
"""

import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

LIMIT = 10 * 1024 * 1024
KEEP = 5
LINE_LIMIT = 64 * 1024
"""Bytes; a longer line is cut into several, so that no process can fill our memory."""

_WAITING_LINES = 5000
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)
_RESET = "\x1b[0m"


class RotatingFile:
    """Append-only; at `limit` bytes it becomes `NAME.log.1`, and `keep` files remain in all."""

    def __init__(self, path: Path, limit: int = LIMIT, keep: int = KEEP) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._limit = limit
        self._keep = keep
        self._file: BinaryIO | None = self._open()

    def write(self, body: bytes) -> None:
        """Write and flush. A full disk loses log lines, never the process that printed them."""
        try:
            if self._file is None:
                self._file = self._open()
            if self._file.tell() + len(body) > self._limit and self._file.tell():
                self._rotate()
            self._file.write(body)
        except OSError:
            return

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "ab", buffering=0)

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep - 1, 0, -1):
            older = rotated(self.path, number - 1)
            if older.exists():
                older.replace(rotated(self.path, number))
        self._file = self._open()


def rotated(path: Path, number: int) -> Path:
    """`queue.log` for 0, `queue.log.1` for the one before it."""
    return path.with_name(f"{path.name}.{number}") if number else path


class Terminal:
    """Prints on a thread of its own: a terminal that stands still (Ctrl-S) holds up nobody."""

    def __init__(self, out: TextIO, *, colours: bool) -> None:
        self.colours = colours
        self._out = out
        self._lost = 0
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self._thread = threading.Thread(target=self._print, name="terminal", daemon=True)
        self._thread.start()

    def show(self, text: str) -> None:
        """One or more lines, without the last newline. Dropped and counted when nobody reads."""
        if self._lost:
            text = f"({self._lost} lines are only in the log files)\n{text}"
        try:
            self._lines.put_nowait(text)
            self._lost = 0
        except queue.Full:
            self._lost += 1

    def close(self, seconds: float = 1.0) -> None:
        """Print what waits, for at most `seconds`."""
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _print(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                print(text, file=self._out, flush=True)
            except (OSError, ValueError):
                return  # the terminal is gone; the files go on


class Output:
    """Where the lines of all processes go."""

    def __init__(self, folder: Path, names: Mapping[str, int], terminal: Terminal) -> None:
        self._terminal = terminal
        self._width = max((len(name) for name in names), default=8)
        self._names = names
        self._files = {name: RotatingFile(folder / f"{name}.log") for name in names}
        self._all = RotatingFile(folder / "all.log")

    def line(self, name: str, body: bytes) -> None:
        """One line of a process, without its newline."""
        self._files[name].write(body + b"\n")
        text = body.decode("utf-8", "replace").rstrip("\r")
        self._all.write(f"{name:<{self._width}} | {text}\n".encode())
        if self._terminal.colours:
            # Only people at a terminal pay for it; `core.log_text` is imported with it.
            from backstay.up.readable import is_idle, readable

            if is_idle(text):
                return
            text = readable(text)
        self._terminal.show(f"{self._prefix(name)} {text}")

    def close(self) -> None:
        for file in (*self._files.values(), self._all):
            file.close()

    def _prefix(self, name: str) -> str:
        plain = f"{name:<{self._width}} |"
        if not self._terminal.colours:
            return plain
        colour = _COLOURS[self._names[name] % len(_COLOURS)]
        return f"\x1b[{colour}m{plain}{_RESET}"


class Lines:
    """Chunks in, whole lines out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Complete lines; an empty chunk is the end and gives what is left."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        yield from whole
        while len(self._rest) >= LINE_LIMIT or (self._rest and not chunk):
            part, self._rest = self._rest[:LINE_LIMIT], self._rest[LINE_LIMIT:]
            yield part


def wants_colour(out: TextIO) -> bool:
    """A terminal, and nobody said NO_COLOR (https://no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def stdout_terminal() -> Terminal:
    return Terminal(sys.stdout, colours=wants_colour(sys.stdout))


def history(path: Path, keep: int = KEEP) -> Iterator[str]:
    """The lines of a log with its rotated files, oldest first, without newlines."""
    for number in range(keep, -1, -1):
        file = rotated(path, number)
        if file.is_file():
            with file.open(errors="replace") as lines:
                yield from (line.rstrip("\n") for line in lines)


class Follower:
    """Reads what is appended from now on, also across a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = Lines()
        self._file: BinaryIO | None = None
        self._reopen(at_end=True)

    def poll(self) -> list[str]:
        """The lines that came since the last call. Never waits."""
        found = self._rest()
        if self._moved():
            self._reopen(at_end=False)
            found += self._rest()
        return found

    def _rest(self) -> list[str]:
        chunk = self._file.read() if self._file else b""
        return (
            [line.decode("utf-8", "replace") for line in self._lines.feed(chunk)] if chunk else []
        )

    def _moved(self) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != there.st_ino

    def _reopen(self, *, at_end: bool) -> None:
        if self._file is not None:
            self._file.close()
        try:
            self._file = self._path.open("rb")
        except OSError:
            self._file = None
            return
        if at_end:
            self._file.seek(0, os.SEEK_END)
