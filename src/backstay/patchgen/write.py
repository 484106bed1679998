"""The one place where patchgen changes a disk.

A package is staged in a folder beside its final place, synced, and renamed: whoever looks sees all
of it or nothing. What is there is compared, never written over. A staging folder is locked by the
process that fills it, so one that can be locked belongs to the dead and is swept.
"""

import errno
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from backstay.core.clock import Ids
from backstay.core.errors import Fault
from backstay.patchgen import errors
from backstay.patchgen.errors import Conflict, OutputDenied, OutputMissing, WriteFailed
from backstay.patchgen.flush import flush_file_system
from backstay.patchgen.look import difference
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
        self._given_up = False
        self._naming = threading.Lock()

    def give_up(self) -> None:
        """From now on nothing more appears: a rename that has begun ends first."""
        with self._naming:
            self._given_up = True

    def check(self) -> None:
        """Raises PATCH070 once given up."""
        if self._given_up:
            raise Fault(errors.ABANDONED)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Around a rename: it happens before giving up, or not at all."""
        with self._naming:
            self.check()
            yield


class _Again(msgspec.Struct, frozen=True):
    """A package that stands twice in one call: judged once the first one is in place."""

    package: Package


class _Stage:
    """A locked folder beside the final places, in which packages wait for their sync. It is made
    when the first one comes."""

    def __init__(self, root: int, name: str) -> None:
        self.root = root
        self.name = name
        self.lock = -1
        self.waiting: dict[str, Package] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.lock >= 0:
            _remove(self.root, self.name, self.lock)

    def fill(self, package: Package, abandon: Abandon) -> None:
        """Write one package here. Raises OSError, and what `abandon` raises."""
        if self.lock < 0:
            os.mkdir(self.name, FOLDER_MODE, dir_fd=self.root)
            self.lock = os.open(self.name, _FOLDER, dir_fd=self.root)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.mkdir(package.name, FOLDER_MODE, dir_fd=self.lock)
        made = {""}
        for name, content in package.files.items():
            abandon.check()
            parent = name.rpartition("/")[0]
            if parent not in made:
                os.mkdir(f"{package.name}/{parent}", FOLDER_MODE, dir_fd=self.lock)
                made.add(parent)
            _put(self.lock, f"{package.name}/{name}", content)
        self.waiting[package.name] = package

    def drop(self, package: Package) -> None:
        """Throw away what was written of one package."""
        self.waiting.pop(package.name, None)
        if self.lock >= 0:
            with suppress(OSError):  # it goes with the stage
                shutil.rmtree(package.name, dir_fd=self.lock)

    def sync(self) -> None:
        """All bytes on the disk before the first name appears. One flush of the file system, where
        there is such a call: it costs as much for a hundred packages as for one."""
        if len(self.waiting) > 1 and flush_file_system(self.lock):
            return
        for package in self.waiting.values():
            _sync_tree(self.lock, package)


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
        `OutputMissing` (or PATCH061) before anything is tried, `WriteFailed` when the sync fails:
        then none of them is there."""
        root = self._open_root()
        try:
            with _Stage(root, f"{STAGE_PREFIX}{self._ids.new()}") as stage:
                staged = [self._stage_one(stage, package) for package in packages]
                self._sync(stage)
                placed = [self._publish(stage, one) for one in staged]
                self._sync_names(stage)
            return placed
        finally:
            _close(root)

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
            _close(root)

    def _open_root(self) -> int:
        try:
            return os.open(self.output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as failed:
            raise OutputMissing(str(self.output)) from failed
        except NotADirectoryError as failed:
            raise Fault(errors.OUTPUT_NOT_FOLDER, path=str(self.output)) from failed
        except OSError as failed:
            raise self._denied(failed) from failed

    def _stage_one(self, stage: _Stage, package: Package) -> Package | _Again | Placed | Fault:
        if package.name in stage.waiting:
            return _Again(package)
        try:
            known = self._known(stage.root, package)
            if known is not None:
                return known
            if self.dry_run:
                return Placed(package.name, self.path_of(package), "planned", package.intent_hash)
            self._abandon.check()
            stage.fill(package, self._abandon)
            return package
        except OSError as failed:
            # Only a stage that could not even be made is a closed folder.
            fault = self._failed(failed) if stage.lock >= 0 else self._denied(failed)
        except Fault as known_fault:
            fault = known_fault
        stage.drop(package)
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

    def _sync(self, stage: _Stage) -> None:
        if self.durability == "power" and stage.waiting:
            try:
                stage.sync()
            except OSError as failed:
                raise self._failed(failed) from failed

    def _sync_names(self, stage: _Stage) -> None:
        """After this the names survive a power cut, too. When it fails, packages are there whole,
        and it is not known for how long: that is no success."""
        if self.durability == "power" and stage.waiting:
            try:
                os.fsync(stage.root)
            except OSError as failed:
                raise self._failed(failed) from failed

    def _publish(self, stage: _Stage, one: Package | _Again | Placed | Fault) -> Placed | Fault:
        if isinstance(one, _Again):
            return self._lost(stage.root, one.package, FileExistsError(errno.EEXIST, ""))
        if not isinstance(one, Package):
            return one
        try:
            with self._abandon.naming():
                os.rename(one.name, one.name, src_dir_fd=stage.lock, dst_dir_fd=stage.root)
        except OSError as failed:
            return self._lost(stage.root, one, failed)
        except Fault as fault:
            return fault
        return Placed(one.name, self.path_of(one), "written", one.intent_hash)

    def _lost(self, root: int, package: Package, failed: OSError) -> Placed | Fault:
        """Somebody else was there first: with the same bytes (fine), or with others."""
        if failed.errno not in (*_TAKEN, errno.ENOTDIR):
            return self._failed(failed)
        try:
            return self._known(root, package) or self._failed(failed)
        except Fault as fault:
            return fault

    def _sweep_one(self, root: int, name: str) -> bool:
        try:
            lock = os.open(name, _FOLDER, dir_fd=root)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _close(lock)
            return False
        _remove(root, name, lock)
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


def _put(folder: int, name: str, content: bytes) -> None:
    """A new file; one that is there, or a link, is an error."""
    descriptor = os.open(name, _NEW, FILE_MODE, dir_fd=folder)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _remove(root: int, name: str, lock: int) -> None:
    """A staging folder that is ours, with the lock on it."""
    with suppress(OSError):  # what cannot be removed now is swept later
        shutil.rmtree(name, dir_fd=root)
    _close(lock)


def _close(folder: int) -> None:
    """A folder that was only looked at: closing it can lose nothing."""
    with suppress(OSError):
        os.close(folder)


def _sync_tree(folder: int, package: Package) -> None:
    """fsync of each file, of the folders below, and of the package's own."""
    parents = {name.rpartition("/")[0] for name in package.files} - {""}
    for name in (*package.files, *sorted(parents, reverse=True), ""):
        path = f"{package.name}/{name}".rstrip("/")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            _close(descriptor)
