"""A backup comes back: looked at first, then put in place in one step, with the old file kept."""

import os
from pathlib import Path

import apsw

from backstay.core.errors import Fault
from backstay.core.lock import Lock
from backstay.core.sqlite import files
from backstay.core.sqlite.errors import CORRUPT, translated
from backstay.core.sqlite.schema import Schema


def admit(source: Path, schema: Schema | None) -> None:
    """Raises CORE043 unless `source` is a whole database, CORE047 or CORE048 unless `schema` can
    take it; None takes any database."""
    _with_backup(source, schema, None)


def restore(source: Path, target: Path, schema: Schema | None) -> None:
    """Put the backup `source` in place of `target`, which must not be open anywhere. What stood
    there is kept as `<name>.before-restore`. Raises CORE010, or what `admit` raises."""
    # A lock of its own: the one of an open database must refuse this, too.
    with Lock(target):
        arriving = target.with_name(target.name + ".restoring")
        _with_backup(source, schema, arriving)
        if target.exists():
            _set_aside(target)
        arriving.replace(target)
        files.sync(target.parent)


def _with_backup(source: Path, schema: Schema | None, arriving: Path | None) -> None:
    try:
        backup = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        found = files.stamp(backup)
        if schema:
            files.check_stamp(source, found, schema.application, schema.version)
        verdict = backup.pragma("quick_check")
        if verdict != "ok" or (schema and not found.version):
            raise Fault(CORRUPT, path=str(source), reason=str(verdict))
        if arriving:
            files.copy(backup, arriving)
        backup.close()
    except apsw.Error as failure:
        raise translated(failure, source) from failure


def _set_aside(path: Path) -> None:
    """Keep the old file, its log played in: beside a new file the log would spoil that."""
    kept = path.with_name(path.name + ".before-restore")
    old = apsw.Connection(str(path))
    files.checkpoint(old)
    old.close()
    for suffix in ("-wal", "-shm"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            left.replace(kept.with_name(kept.name + suffix))
    kept.unlink(missing_ok=True)
    os.link(path, kept)
