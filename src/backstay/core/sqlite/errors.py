"""What can be wrong with a SQLite file, as catalogue errors; and which SQLite errors mean them.

A constraint or SQL mistake is the caller's own and passes through unchanged: only what is
wrong with the *store* becomes a Fault.
"""

from pathlib import Path

import apsw

from backstay.core.errors import ErrorEntry, Fault

DISK_FULL = ErrorEntry(
    code="CORE040",
    message="the disk is full: {path} cannot grow",
    cause="the file system of {path} has no room left, or the file reached its page limit",
    fix="free some space on the disk of {path}; nothing that was answered is lost",
    status=507,
    retryable=True,
)
NOT_WRITABLE = ErrorEntry(
    code="CORE041",
    message="{path} cannot be opened for writing: {reason}",
    cause="the folder is missing, the permissions forbid it, or the disk is mounted read-only",
    fix="make {path} and its folder writable for this user",
    status=503,
    retryable=True,
)
LOCKED = ErrorEntry(
    code="CORE042",
    message="{path} is locked by another program",
    cause="another program (a SQLite shell, a backup tool) holds a lock on the file",
    fix="end the program that has {path} open; to find it: fuser {path}",
    status=503,
    retryable=True,
)
CORRUPT = ErrorEntry(
    code="CORE043",
    message="{path} is damaged: {reason}",
    cause="the file is no SQLite database, or parts of it were overwritten",
    fix="stop the process and restore the last backup; keep {path} aside for inspection",
    status=503,
)
CLOSED = ErrorEntry(
    code="CORE044",
    message="{path} is closed",
    cause="the process is stopping, or it never opened the file",
    fix="ask again once the process is up",
    status=503,
    retryable=True,
)
IO_FAILED = ErrorEntry(
    code="CORE045",
    message="reading or writing {path} failed: {reason}",
    cause="the disk or the file system reported an error",
    fix="look at the system log for disk errors, then start the process again",
    status=503,
    retryable=True,
)
MOVED = ErrorEntry(
    code="CORE046",
    message="{path} was moved or deleted while in use",
    cause="another file, or none, stands at {path}; what is written now would be lost",
    fix="put the file back at {path} and start the process again, or restore a backup",
    status=503,
)
NEWER = ErrorEntry(
    code="CORE047",
    message="{path} has schema version {found}; this program knows up to {known}",
    cause="a newer release of Backstay wrote the file",
    fix="use that release again, or restore {path} from a backup of schema version {known}",
    status=503,
)
FOREIGN = ErrorEntry(
    code="CORE048",
    message="{path} belongs to another application, not to {application}",
    cause="the file's application id is {found}, expected {expected}",
    fix="name another data folder, or move {path} away",
    status=503,
)
ERRORS = (
    DISK_FULL,
    NOT_WRITABLE,
    LOCKED,
    CORRUPT,
    CLOSED,
    IO_FAILED,
    MOVED,
    NEWER,
    FOREIGN,
)

_MEANING: tuple[tuple[type[Exception], ErrorEntry], ...] = (
    (apsw.FullError, DISK_FULL),
    (apsw.ReadOnlyError, NOT_WRITABLE),
    (apsw.CantOpenError, NOT_WRITABLE),
    (apsw.PermissionsError, NOT_WRITABLE),
    (apsw.BusyError, LOCKED),
    (apsw.LockedError, LOCKED),
    (apsw.CorruptError, CORRUPT),
    (apsw.NotADBError, CORRUPT),
    (apsw.IOError, IO_FAILED),
)


def translated(failure: Exception, path: Path) -> Exception:
    """The Fault that `failure` means for the store at `path`; itself when it is no such thing."""
    for kind, entry in _MEANING:
        if isinstance(failure, kind):
            fault = Fault(entry, path=str(path), reason=str(failure))
            fault.__cause__ = failure
            return fault
    return failure
