"""The file under the database: whether it is still there and ours, copies of it."""

import os
import zlib
from contextlib import suppress
from pathlib import Path

import apsw
import msgspec

from backstay.core.errors import Fault
from backstay.core.sqlite.errors import FOREIGN, NEWER, translated


class Identity:
    """Which file stood at the path when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._look()

    def holds(self) -> bool:
        """Whether the path still leads to that file; one `stat`, about a microsecond."""
        return self._seen is not None and self._look() == self._seen

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - on the path of every commit
        except OSError:
            return None
        return found.st_dev, found.st_ino


class Stamp(msgspec.Struct, frozen=True):
    """What a file says it is: application id and schema version; (0, 0) is a new file."""

    application: int
    version: int


def application_id(name: str) -> int:
    """The 31-bit `PRAGMA application_id` of an application's name."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def stamp(connection: apsw.Connection) -> Stamp:
    """What the open file says it is."""
    return Stamp(
        application=connection.pragma("application_id"),
        version=connection.pragma("user_version"),
    )


def check_stamp(path: Path, found: Stamp, application: str, known: int) -> None:
    """Raises CORE048 for another application's file and CORE047 for a newer schema."""
    expected = application_id(application)
    # Version 0 with an id of 0 is an empty file, or one that SQLite has just created.
    if found.application != expected and (found.application, found.version) != (0, 0):
        raise Fault(
            FOREIGN,
            path=str(path),
            application=application,
            found=found.application,
            expected=expected,
        )
    if found.version > known:
        raise Fault(NEWER, path=str(path), found=found.version, known=known)


def make_private(path: Path) -> None:
    """Let a new database belong to its user alone; the files that SQLite puts beside it follow.
    What cannot be made, SQLite says better."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def copy(source: apsw.Connection, target: Path) -> None:
    """Copy a whole database to `target`, which appears complete and durable or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        make_private(partial)
        into = apsw.Connection(str(partial))
        with into.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(-1)
        # A copy is one file: no WAL beside it that could be forgotten when it is moved.
        into.pragma("journal_mode", "delete")
        into.close()
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except apsw.Error as failure:
        partial.unlink(missing_ok=True)
        raise translated(failure, target) from failure


def checkpoint(connection: apsw.Connection) -> None:
    """Play the log into the file, as far as that can be done now."""
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:
        # Damaged, full or looked at by somebody: the log stays, and opening plays it in.
        return


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
