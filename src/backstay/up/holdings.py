"""What is in a data folder, and how it is deleted, copied and put back."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from backstay import __version__
from backstay.core.clock import SystemClock, rfc3339
from backstay.core.control import ControlSilent, ask
from backstay.core.errors import Fault
from backstay.core.runtime import find_runtime, make_folder, write_atomically
from backstay.core.sqlite import Schema
from backstay.core.sqlite.files import copy
from backstay.core.sqlite.restoring import admit
from backstay.core.sqlite.restoring import restore as put_back
from backstay.up.errors import NEEDS_YES, NO_BACKUP, NOT_EMPTY, NOT_OURS, STILL_RUNS
from backstay.up.owner import MARKER, owner
from backstay.up.project import SYSTEMS

MANIFEST = "backup.json"
_SECONDS = 300.0
_KEPT = ("dev-issuer.json", "ports.json", "seeded.json", MARKER)
_UNITS = ("bytes", "KB", "MB", "GB")


class Manifest(msgspec.Struct, frozen=True):
    """`at` is RFC 3339; `stores` are SQLite files, `files` small ones that belong to them."""

    version: str
    at: str
    stores: tuple[str, ...]
    files: tuple[str, ...]


def demand_stopped(data: Path) -> None:
    """Raises UP007 while a supervisor owns the folder, UP006 when it is not ours."""
    if not (data / MARKER).is_file():
        raise Fault(NOT_OURS, data=str(data), marker=MARKER)
    pid = owner(data)
    if pid is not None:
        raise Fault(STILL_RUNS, data=str(data), pid=pid)


def delete(data: Path, *, sure: bool) -> None:
    """Delete a data folder of ours that nobody runs. Raises UP014 unless `sure`."""
    demand_stopped(data)
    if not sure:
        files = [file for file in data.rglob("*") if file.is_file()]
        size = _size(sum(file.stat().st_size for file in files))
        raise Fault(NEEDS_YES, data=str(data), files=len(files), size=size)
    shutil.rmtree(find_runtime(data), ignore_errors=True)
    shutil.rmtree(data)


async def back_up(data: Path, folder: Path) -> Manifest:
    """Copy every store into `folder`: by its owner where that runs, else straight from the file.

    Each copy is consistent in itself. Raises UP006, UP012, or the store's own fault.
    """
    folder = _prepared(data, folder)
    done: set[str] = set()
    for name in SYSTEMS:
        body = msgspec.json.encode({"folder": str(folder)})
        try:
            answer = await ask(
                find_runtime(data) / f"{name}.ctl", "POST /backup", _SECONDS, body=body
            )
        except ControlSilent:
            continue
        done |= set(answer["files"])
    # Stores of the user's own processes, and those of systems that do not run: an online copy
    # through a connection that cannot write.
    done |= set(await asyncio.to_thread(_copy_rest, data, folder, done))
    files = tuple(name for name in _KEPT if _copied(data / name, folder / name))
    at = rfc3339(SystemClock().now())
    manifest = Manifest(__version__, at, tuple(sorted(done)), files)
    write_atomically(folder / MANIFEST, msgspec.json.encode(manifest))
    return manifest


def restore(folder: Path, data: Path) -> Manifest:
    """Put a backup in place. What stood there before is kept as `NAME.before-restore`.

    Raises UP007 while it is in use, UP013 when `folder` is no backup, and CORE043, CORE047 or
    CORE048 when one of its stores is damaged, of a newer release, or of another application.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as bad:
        raise Fault(NO_BACKUP, folder=str(folder), marker=MANIFEST) from bad
    if data.exists():
        demand_stopped(data)
    # All of them are looked at before the first is touched.
    for name in manifest.stores:
        admit(folder / name, _schema(name))
    make_folder(data)
    for name in manifest.stores:
        put_back(folder / name, data / name, _schema(name))
    for name in manifest.files:
        _copied(folder / name, data / name)
    return manifest


def _prepared(data: Path, folder: Path) -> Path:
    if not (data / MARKER).is_file():
        raise Fault(NOT_OURS, data=str(data), marker=MARKER)
    if folder.exists() and any(folder.iterdir()):
        raise Fault(NOT_EMPTY, folder=str(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.absolute()


def _copy_rest(data: Path, folder: Path, done: set[str]) -> Sequence[str]:
    copied = []
    for store in sorted(data.glob("*.db")):
        if store.name in done:
            continue
        source = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
        source.set_busy_timeout(2000)
        copy(source, folder / store.name)
        source.close()
        copied.append(store.name)
    return copied


def _schema(store: str) -> Schema | None:
    """The schema of a store of ours; None for one of the user's own processes."""
    if store == "queue.db":
        from backstay.queue.store.sqlite import SCHEMA

        return SCHEMA
    if store == "app.db":
        from backstay.app.store.schema import runtime_schema

        return runtime_schema()
    return None


def _copied(source: Path, target: Path) -> bool:
    if not source.is_file():
        return False
    write_atomically(target, source.read_bytes())
    return True


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"
