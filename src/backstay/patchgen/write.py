"""The one place where patchgen changes a disk.

A package is staged in a sibling folder of its final place, synced, and renamed: whoever looks sees
all of it or nothing. What is there is compared, never written over. A staging folder is locked by
the process that fills it, so one that can be locked belongs to the dead and is swept.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from backstay.core.clock import Ids
from backstay.core.errors import Fault
from backstay.patchgen import errors
from backstay.patchgen.errors import Conflict, OutputDenied, OutputMissing, WriteFailed
from backstay.patchgen.model import Package, Placed
from backstay.patchgen.paths import FOLDER_MODE, reason_of, refuse_traversal, whoami

Durability = Literal["power", "process"]
"""`power`: a package that was reported survives a power cut. `process`: the end of any process."""

STAGE_PREFIX = ".patchgen-"
FILE_MODE = 0o644
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Abandon:
    """Says that nobody waits any more: what is being staged is thrown away, not renamed."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def give_up(self) -> None:
        """From now on nothing more appears."""
        self._event.set()

    def check(self) -> None:
        """Raises PATCH070 once given up."""
        if self._event.is_set():
            raise Fault(errors.ABANDONED)


class _Staged(msgspec.Struct, frozen=True):
    """A package in its staging folder; `lock` is the open, locked folder."""

    package: Package
    stage: str
    lock: int


class FolderWriter:
    """Writes packages into one output folder; safe for several threads and processes at once."""

    def __init__(
        self,
        output: str | Path,
        ids: Ids,
        *,
        durability: Durability = "power",
        dry_run: bool = False,
        abandon: Abandon | None = None,
    ) -> None:
        self.output = refuse_traversal(output)
        self.durability = durability
        self.dry_run = dry_run
        self._ids = ids
        self._abandon = abandon or Abandon()

    def path_of(self, package: Package) -> Path:
        """Where it is or will be."""
        return self.output / package.name

    def place(self, packages: Sequence[Package]) -> Sequence[Placed | Fault]:
        """Put packages in place, with one sync for all of them; answers in their order. Raises
        `OutputMissing` (or PATCH061) before anything is tried."""
        root = self._open_root()
        try:
            staged = [self._stage_one(root, package) for package in packages]
            self._sync(root, [one for one in staged if isinstance(one, _Staged)])
            placed = [self._publish(root, one) for one in staged]
            if self.durability == "power" and any(isinstance(one, _Staged) for one in staged):
                os.fsync(root)
            return placed
        finally:
            os.close(root)

    def sweep(self) -> int:
        """Remove what dead writers left behind; gives how many staging folders that were."""
        root = self._open_root()
        try:
            left = [
                name
                for name in os.listdir(root)  # noqa: PTH208 - of an open folder, not of a path
                if name.startswith(STAGE_PREFIX)
            ]
            return sum(self._sweep_one(root, name) for name in left)
        finally:
            os.close(root)

    def _open_root(self) -> int:
        try:
            return os.open(self.output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as failed:
            raise OutputMissing(str(self.output)) from failed
        except NotADirectoryError as failed:
            raise Fault(errors.OUTPUT_NOT_FOLDER, path=str(self.output)) from failed
        except OSError as failed:
            raise self._denied(failed) from failed

    def _stage_one(self, root: int, package: Package) -> _Staged | Placed | Fault:
        try:
            known = self._known(root, package)
            if known is not None:
                return known
            if self.dry_run:
                return Placed(package.name, self.path_of(package), "planned", package.intent_hash)
            return self._stage(root, package)
        except Fault as fault:
            return fault

    def _known(self, root: int, package: Package) -> Placed | None:
        """What is there already: exactly this package, nothing, or a `Conflict`."""
        try:
            found = os.stat(package.name, dir_fd=root, follow_symlinks=False)
        except FileNotFoundError:
            return None
        detail = (
            difference(self.path_of(package), package.files)
            if stat.S_ISDIR(found.st_mode)
            else "it is not a folder"
        )
        if detail:
            raise Conflict(name=package.name, path=str(self.path_of(package)), detail=detail)
        return Placed(package.name, self.path_of(package), "unchanged", package.intent_hash)

    def _stage(self, root: int, package: Package) -> _Staged:
        stage = f"{STAGE_PREFIX}{self._ids.new()}"
        self._abandon.check()
        try:
            os.mkdir(stage, FOLDER_MODE, dir_fd=root)
        except OSError as failed:
            raise self._denied(failed) from failed
        lock = -1
        try:
            lock = os.open(stage, _FOLDER, dir_fd=root)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._fill(lock, package.files)
            return _Staged(package, stage, lock)
        except BaseException as failed:
            self._discard(root, stage, lock)
            if isinstance(failed, OSError):
                raise self._failed(failed) from failed
            raise

    def _fill(self, folder: int, files: Mapping[str, bytes]) -> None:
        made: set[str] = set()
        for name, content in files.items():
            self._abandon.check()
            parent = name.rpartition("/")[0]
            if parent and parent not in made:
                os.mkdir(parent, FOLDER_MODE, dir_fd=folder)
                made.add(parent)
            descriptor = os.open(name, _NEW, FILE_MODE, dir_fd=folder)
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)

    def _sync(self, root: int, staged: Sequence[_Staged]) -> None:
        """All bytes on the disk before the first name appears. One flush of the file system where
        there is such a call: it costs as much for a hundred packages as for one."""
        if self.durability != "power" or not staged:
            return
        try:
            if len(staged) > 1 and _syncfs(root):
                return
            for one in staged:
                _sync_tree(one.lock, one.package.files)
        except OSError as failed:
            for one in staged:
                self._discard(root, one.stage, one.lock)
            raise self._failed(failed) from failed

    def _publish(self, root: int, one: _Staged | Placed | Fault) -> Placed | Fault:
        if not isinstance(one, _Staged):
            return one
        package = one.package
        try:
            self._abandon.check()
            os.rename(one.stage, package.name, src_dir_fd=root, dst_dir_fd=root)
        except OSError as failed:
            self._discard(root, one.stage, one.lock)
            return self._lost(root, package, failed)
        except Fault as fault:
            self._discard(root, one.stage, one.lock)
            return fault
        os.close(one.lock)
        return Placed(package.name, self.path_of(package), "written", package.intent_hash)

    def _lost(self, root: int, package: Package, failed: OSError) -> Placed | Fault:
        """Somebody else was there first: with the same bytes (fine), or with others."""
        if failed.errno not in (*_TAKEN, errno.ENOTDIR):
            return self._failed(failed)
        try:
            return self._known(root, package) or self._failed(failed)
        except Fault as fault:
            return fault

    def _discard(self, root: int, stage: str, lock: int) -> None:
        with suppress(OSError):  # what cannot be removed now is swept later
            shutil.rmtree(stage, dir_fd=root)
        if lock >= 0:
            os.close(lock)

    def _sweep_one(self, root: int, name: str) -> bool:
        try:
            lock = os.open(name, _FOLDER, dir_fd=root)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._discard(root, name, lock)
        return True

    def _denied(self, failed: OSError) -> Fault:
        reason = reason_of(failed)
        if failed.errno in _FULL:
            return self._failed(failed)
        remedy = _REMEDIES.get(failed.errno or 0, "look at the folder: patchgen diagnose {path}")
        return OutputDenied(
            reason=reason,
            path=str(self.output),
            user=whoami(),
            remedy=remedy.format(path=self.output),
        )

    def _failed(self, failed: OSError) -> Fault:
        remedy = _REMEDIES.get(failed.errno or 0, "look at the disk: patchgen diagnose {path}")
        return WriteFailed(
            reason=reason_of(failed),
            path=str(self.output),
            remedy=remedy.format(path=self.output),
        )


_CLOSED = (
    "give this user the right to write there, or use a folder of your own: "
    "-output ~/.nephoran/patches (patchgen diagnose {path} shows whose it is)"
)
_REMEDIES: Mapping[int, str] = {
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: "the file system is mounted read-only: choose another folder, or mount it anew",
    errno.ENOSPC: "free some space on the disk of {path}, or choose another folder",
    errno.EDQUOT: "the user's quota is used up: free some space, or choose another folder",
}


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


_LARGEST = 1_048_576


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


def _sync_tree(folder: int, files: Mapping[str, bytes]) -> None:
    """fsync of each file, of the folders below, and of the folder itself."""
    parents = {name.rpartition("/")[0] for name in files}
    for name in (*files, *sorted(parents - {""}, reverse=True)):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.fsync(folder)


def _find_syncfs() -> Callable[[int], int] | None:
    """The C library's syncfs: Linux has it, and since 5.8 it reports errors of writing back."""
    try:
        call: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    return call


_SYNCFS: list[Callable[[int], int] | None] = []


def _syncfs(folder: int) -> bool:
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
