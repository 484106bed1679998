"""The one place where patchgen changes a disk.

A package is staged beside its final place (`stage`), synced, and renamed: whoever looks sees all of
it or nothing. What is there is compared, never written over. What dead writers left is swept.
"""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from backstay.core.clock import Ids
from backstay.core.errors import Fault
from backstay.patchgen.errors import Conflict, OutputDenied, OutputMissing, WriteFailed
from backstay.patchgen.errors import disk as errors
from backstay.patchgen.look import difference
from backstay.patchgen.model import Package, Placed
from backstay.patchgen.paths import inodes_left, reason_of, refuse_traversal, whoami
from backstay.patchgen.stage import Abandon, Stage, close, remove, take

Durability = Literal["power", "process"]
"""`power`: a package that was reported survives a power cut. `process`: the end of any process."""

STAGE_PREFIX = ".patchgen-"
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class _Again(msgspec.Struct, frozen=True):
    """A package that stands twice in one call: judged once the first one is in place."""

    package: Package


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
            with Stage(root, self._stage_name, only=len(packages) == 1) as stage:
                staged = [self._stage_one(stage, package) for package in packages]
                self._sync(stage)
                placed = [self._publish(stage, one) for one in staged]
                self._sync_names(stage)
            return placed
        finally:
            close(root)

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
            close(root)

    def _open_root(self) -> int:
        try:
            return os.open(self.output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as failed:
            raise OutputMissing(str(self.output)) from failed
        except NotADirectoryError as failed:
            raise Fault(errors.OUTPUT_NOT_FOLDER, path=str(self.output)) from failed
        except OSError as failed:
            raise self._denied(failed) from failed

    def _stage_one(self, stage: Stage, package: Package) -> Package | _Again | Placed | Fault:
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
            difference(package.name, package.files, root)
            if stat.S_ISDIR(found.st_mode)
            else "it is not a folder"
        )
        if detail:
            raise Conflict(name=package.name, path=str(self.path_of(package)), detail=detail)
        return Placed(package.name, self.path_of(package), "unchanged", package.intent_hash)

    def _sync(self, stage: Stage) -> None:
        if self.durability == "power" and stage.waiting:
            try:
                stage.sync()
            except OSError as failed:
                raise self._failed(failed) from failed

    def _sync_names(self, stage: Stage) -> None:
        """After this the names survive a power cut, too. When it fails, packages are there whole,
        and it is not known for how long: that is no success."""
        if self.durability == "power" and stage.waiting:
            try:
                os.fsync(stage.root)
            except OSError as failed:
                raise self._failed(failed) from failed

    def _publish(self, stage: Stage, one: Package | _Again | Placed | Fault) -> Placed | Fault:
        if isinstance(one, _Again):
            return self._lost(stage.root, one.package, FileExistsError(errno.EEXIST, ""))
        if not isinstance(one, Package):
            return one
        try:
            with self._abandon.naming():
                stage.publish(one)
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

    def _stage_name(self) -> str:
        return f"{STAGE_PREFIX}{self._ids.new()}"

    def _sweep_one(self, root: int, name: str) -> bool:
        try:
            lock = take(root, name, wait=False)
        except OSError:
            return False
        if lock < 0:
            return False
        remove(root, name)
        close(lock)
        return True

    def _denied(self, failed: OSError) -> Fault:
        reason = reason_of(failed)
        if failed.errno in _FULL:
            return self._failed(failed)
        return OutputDenied(
            reason=reason, path=str(self.output), user=whoami(), remedy=self._remedy(failed)
        )

    def _failed(self, failed: OSError) -> Fault:
        return WriteFailed(
            reason=reason_of(failed), path=str(self.output), remedy=self._remedy(failed)
        )

    def _remedy(self, failed: OSError) -> str:
        remedy = _REMEDIES.get(failed.errno or 0, "look at it: patchgen diagnose {path}")
        if failed.errno == errno.ENOSPC and inodes_left(self.output) == 0:
            remedy = _NO_INODES
        return remedy.format(path=self.output)


_CLOSED = (
    "give this user the right to write there, or use a folder of your own: "
    "-output ~/.nephoran/patches (patchgen diagnose {path} shows whose it is)"
)
_NO_INODES = "there is room, and no inode for one more file (df -i {path}): remove many small files"
_REMEDIES: Mapping[int, str] = {
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: "the file system is mounted read-only: choose another folder, or mount it anew",
    errno.ENOSPC: "free some space on the disk of {path}, or choose another folder",
    errno.EFBIG: "this process may not write a file as large as a package's: ulimit -f",
    errno.EDQUOT: "the user's quota is used up: free some space, or choose another folder",
}
