"""A folder of intents: each becomes a package, and moves to `processed` or `failed` with a status.

Nothing is remembered between two looks that a crash could lose. A file is claimed by a lock on it,
so watchers share a folder; its package is named by its content, so doing it again changes nothing;
it is moved last, so whatever a crash interrupts is met again. What is not the intent's fault (a
full disk, a closed folder) leaves the file where it is. With a writer that only plans (a dry run)
each file is judged once as it is, and nothing is written or moved.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import Fault
from backstay.core.runtime import write_atomically
from backstay.patchgen.errors import Conflict, InvalidIntent
from backstay.patchgen.errors import faces as errors
from backstay.patchgen.model import SIZE_LIMIT, Placed
from backstay.patchgen.paths import ensure_directory, is_folder, reason_of
from backstay.patchgen.render import render
from backstay.patchgen.validate import validate
from backstay.patchgen.write import FolderWriter

PROCESSED, FAILED, STATUS = "processed", "failed", "status"
_LONGEST_PAUSE = 30.0
_STUCK = 10
"""So many files that could not be ended mean that none can be: the look is over."""
_NAME_BYTES = 240
"""What a name may have: file systems take 255, and while it is written it has a longer one."""
_log = structlog.get_logger("patchgen.watch")

Ended = Literal["success", "failed", "duplicate"]


class Status(msgspec.Struct, frozen=True):
    """The status file of one intent; `timestamp` is RFC 3339."""

    intent_file: str
    status: Ended
    message: str
    timestamp: str
    sha256: str
    package: str = ""


class Pace(msgspec.Struct, frozen=True):
    """Seconds: between two looks, without a change before a file is read, and without one before a
    text that looks cut off is believed to be all there is."""

    period: float = 0.5
    settle: float = 0.3
    cut_off: float = 5.0


class _Seen(msgspec.Struct, frozen=True):
    """A file as it was at `since` (ticks)."""

    size: int
    changed: int
    since: float


class Watch:
    """A Loop over one folder. `counts` says how many ended in which way."""

    name = "watch"

    def __init__(
        self,
        folder: Path,
        writer: FolderWriter,
        clock: Clock,
        *,
        strict: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self.wake = asyncio.Event()
        self.counts: dict[Ended, int] = {"success": 0, "failed": 0, "duplicate": 0}
        self.waiting = 0
        self._folder = folder
        self._writer = writer
        self._clock = clock
        self._strict = strict
        self._pace = pace or Pace()
        self._seen: dict[str, _Seen] = {}
        self._judged: dict[str, _Seen] = {}
        self._failures = 0

    def prepare(self) -> None:
        """Make the folders for what has ended; a dry run makes none. Raises PATCH101 when the
        folder cannot be used."""
        if not is_folder(self._folder):
            raise Fault(errors.WATCH_TAKEN, path=str(self._folder), reason="no such folder")
        if self._writer.dry_run:
            return
        try:
            for name in (PROCESSED, FAILED, STATUS):
                ensure_directory(self._folder / name)
        except Fault as fault:
            reason = fault.message
            raise Fault(errors.WATCH_TAKEN, path=str(self._folder), reason=reason) from fault

    async def step(self) -> float | None:
        """Take every intent that is wholly written. The tick of the next look."""
        try:
            names = await asyncio.to_thread(self._candidates)
        except OSError as failed:
            self.waiting = 1  # nobody knows, so nobody may think that nothing is left
            pause = self._longer()
            _log.error("folder cannot be looked at", error=reason_of(failed), pause=pause)
            return self._clock.tick() + pause
        self.waiting = 0
        stuck = 0
        for name in names:
            # A thread of its own for each: when the loop is ended, the one at work still ends.
            ended = await asyncio.to_thread(self._take_or_leave, name)
            self.waiting += ended is not True
            stuck += ended is None
            if stuck == _STUCK:
                break
        if stuck:
            return self._clock.tick() + self._longer()
        self._failures = 0
        return self._clock.tick() + self._pace.period

    def _longer(self) -> float:
        """Seconds to the next look after one that failed: later and later."""
        self._failures += 1
        return min(_LONGEST_PAUSE, self._pace.period * 2.0**self._failures)

    def _take_or_leave(self, name: str) -> bool | None:
        """As `_take`; None for a file that could not be ended, by no fault of its own. It stays,
        and the others do not wait for it."""
        try:
            return self._take(name)
        except Fault as fault:
            code, error = fault.entry.code, fault.message
            _log.error("cannot write packages", file=_shown(name), code=code, error=error)
        except OSError as failed:
            _log.error("intent cannot be ended", file=_shown(name), error=reason_of(failed))
        return None

    def _candidates(self) -> list[str]:
        """Plain files `*.json` that have not changed for a while, the oldest first."""
        tick = self._clock.tick()
        found: dict[str, _Seen] = {}
        entry: os.DirEntry[str]
        for entry in os.scandir(self._folder):
            if not entry.name.endswith(".json") or entry.name.startswith("."):
                continue
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # another watcher has moved it
            if not stat.S_ISREG(state.st_mode):
                continue
            before = self._seen.get(entry.name)
            same = before and (before.size, before.changed) == (state.st_size, state.st_mtime_ns)
            since = before.since if before and same else tick
            found[entry.name] = _Seen(state.st_size, state.st_mtime_ns, since)
        self._seen = found
        self._judged = {
            name: seen for name, seen in self._judged.items() if found.get(name) == seen
        }
        self.waiting = len(found)
        return sorted(found, key=lambda name: (found[name].changed, name))

    def _take(self, name: str) -> bool:
        """Handle one file; False when it is not its time yet, or not ours."""
        if name in self._judged:
            return True
        quiet = self._clock.tick() - self._seen[name].since
        if quiet < self._pace.settle:
            return False
        path = self._folder / name
        with _claimed(path) as data:
            if data is None:
                return False
            report = validate(data, strict=self._strict)
            cut_off = any("unexpected end of JSON" in one.message for one in report.errors)
            if cut_off and quiet < self._pace.cut_off:
                return False
            if report.intent is None:
                self._failed(path, data, InvalidIntent(report))
                return True
            [placed] = self._writer.place([render(report.intent)])
            if isinstance(placed, Conflict):
                self._failed(path, data, placed)
            elif isinstance(placed, Fault):
                raise placed
            else:
                self._done(path, data, placed)
        return True

    def _done(self, path: Path, data: bytes, placed: Placed) -> None:
        ended: Ended = "duplicate" if placed.state == "unchanged" else "success"
        message = f"package {placed.name} {placed.state}"
        self._end(path, data, ended, message, PROCESSED, str(placed.path))

    def _failed(self, path: Path, data: bytes, fault: Fault) -> None:
        place = self._end(path, data, "failed", fault.message, FAILED)
        if self._writer.dry_run:
            return
        told = [f"File: {_shown(path.name)}", f"Error: {fault}"]
        if isinstance(fault, InvalidIntent):
            told += [
                f"  {one.code} {one.pointer} line {one.line}:{one.column}: {one.says}; {one.remedy}"
                for one in fault.report.errors
            ]
        text = "\n".join([*told, ""]).encode()
        write_atomically(place.with_name(_fitting(place.name, ".error.log")), text)

    def _end(
        self, path: Path, data: bytes, ended: Ended, message: str, where: str, package: str = ""
    ) -> Path:
        """The status first, the move last: after a crash in between, the file is met again. In a
        dry run neither, and it stays where it is."""
        log: Callable[..., object] = _log.error if ended == "failed" else _log.info
        told = {"file": _shown(path.name), "status": ended, "detail": message, "package": package}
        if self._writer.dry_run:
            self._judged[path.name] = self._seen[path.name]
            self.counts[ended] += 1
            log("intent judged", **told, dry_run=True)
            return path
        sha = hashlib.sha256(data).hexdigest()
        now = rfc3339(self._clock.now())
        status = Status(_shown(path.name), ended, message, now, sha, package)
        place = self._folder / STATUS / _fitting(path.name, f"-{sha[:10]}.status")
        write_atomically(place, msgspec.json.format(msgspec.json.encode(status), indent=2) + b"\n")
        target = self._folder / where / path.name
        if target.exists() and target.read_bytes() != data:
            target = target.with_name(_fitting(path.stem, f"-{sha[:10]}{path.suffix}"))
        path.rename(target)
        self.counts[ended] += 1
        log("intent ended", **told)
        return target


def _shown(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _fitting(name: str, ending: str) -> str:
    """Both together, the name cut where that would be too long, and still its own."""
    raw, room = os.fsencode(name), _NAME_BYTES - len(ending)
    if len(raw) <= room:
        return name + ending
    mark = f"~{hashlib.sha256(raw).hexdigest()[:10]}"
    return os.fsdecode(raw[: room - len(mark)]) + mark + ending


@contextmanager
def _claimed(path: Path) -> Iterator[bytes | None]:
    """The bytes of a file that nobody writes and no other watcher has; None otherwise. The claim
    is a lock, which ends with its process."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as failed:
        # Its own trouble: it waits for somebody, the others do not wait for it.
        _log.warning("intent cannot be read", file=_shown(path.name), error=reason_of(failed))
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file.read(SIZE_LIMIT + 1) if _ours(descriptor, path) else None


def _ours(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # moved between our open and our lock
    mine = os.fstat(descriptor)
    same = (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)
    return same and not _being_written(descriptor)


def _being_written(descriptor: int) -> bool:
    """Whether somebody has the file open for writing: then the kernel grants no read lease. Where
    it grants none at all (another's file, another system), what is known is that it rested."""
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None:
        return False
    try:
        fcntl.fcntl(descriptor, lease, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, lease, fcntl.F_UNLCK)
    except OSError as failed:
        return failed.errno == errno.EAGAIN
    return False
