"""Where packages wait, beside their final place, until their bytes are on the disk.

A stage is a folder locked by the process that fills it, so one that can be locked belongs to the
dead. Several packages wait inside of it. A single one *is* the stage and is renamed as it is, so
nothing has to be removed after it. That is more than a call saved: before ext4 gives out an inode
it looks at all that were freed within the last minutes.
"""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from backstay.core.errors import Fault
from backstay.patchgen.errors import disk as errors
from backstay.patchgen.flush import flush_file_system
from backstay.patchgen.model import Package
from backstay.patchgen.paths import FOLDER_MODE

FILE_MODE = 0o644
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 100


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


class Stage:
    """Made when its first package comes. `only`: there is one package, and the stage is that."""

    def __init__(self, root: int, names: Callable[[], str], *, only: bool) -> None:
        self.root = root
        self.lock = -1
        self.waiting: dict[str, Package] = {}
        self._names = names
        self._only = only
        self._name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.lock < 0:
            return
        if self._name:
            remove(self.root, self._name)
        close(self.lock)

    def fill(self, package: Package, abandon: Abandon) -> None:
        """Write one package here. Raises OSError, and what `abandon` raises."""
        if self.lock < 0:
            self._make()
        inside = self._inside(package)
        if inside:
            os.mkdir(package.name, FOLDER_MODE, dir_fd=self.lock)
        made = {""}
        for name, content in package.files.items():
            abandon.check()
            parent = name.rpartition("/")[0]
            if parent not in made:
                os.mkdir(f"{inside}{parent}", FOLDER_MODE, dir_fd=self.lock)
                made.add(parent)
            _put(self.lock, f"{inside}{name}", content)
        self.waiting[package.name] = package

    def drop(self, package: Package) -> None:
        """Throw away what was written of one package."""
        self.waiting.pop(package.name, None)
        if self.lock >= 0 and not self._only:
            remove(self.lock, package.name)

    def sync(self) -> None:
        """All bytes on the disk before the first name appears. One flush of the file system, where
        there is such a call: it costs as much for a hundred packages as for one."""
        if len(self.waiting) > 1 and flush_file_system(self.lock):
            return
        for package in self.waiting.values():
            self._sync_one(package)

    def publish(self, package: Package) -> None:
        """Give one package its name. Raises OSError."""
        if not self._only:
            os.rename(package.name, package.name, src_dir_fd=self.lock, dst_dir_fd=self.root)
            return
        os.rename(self._name, package.name, src_dir_fd=self.root, dst_dir_fd=self.root)
        self._name = ""

    def _inside(self, package: Package) -> str:
        return "" if self._only else f"{package.name}/"

    def _make(self) -> None:
        """A folder with our lock. Between its making and the lock a sweeper may take it for a dead
        one's: then another is made."""
        for _ in range(_TRIES):
            name = self._names()
            os.mkdir(name, FOLDER_MODE, dir_fd=self.root)
            lock = take(self.root, name, wait=True)
            if lock >= 0:
                self._name, self.lock = name, lock
                return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _sync_one(self, package: Package) -> None:
        """fsync of each file, of the folders below, and of the package's own."""
        parents = {name.rpartition("/")[0] for name in package.files} - {""}
        for name in (*package.files, *sorted(parents, reverse=True), "."):
            path = f"{self._inside(package)}{name}"
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, dir_fd=self.lock)
            try:
                os.fsync(descriptor)
            finally:
                close(descriptor)


def take(root: int, name: str, *, wait: bool) -> int:
    """An open, locked folder; -1 when it is gone, or (without `wait`) somebody else's. Raises
    OSError for what is no folder."""
    try:
        lock = os.open(name, FOLDER, dir_fd=root)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        now = os.stat(name, dir_fd=root, follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError):
        close(lock)
        return -1
    except OSError:
        close(lock)
        raise
    mine = os.fstat(lock)
    if (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino):
        return lock
    close(lock)
    return -1


def remove(root: int, name: str) -> None:
    """A folder of ours with all that is in it. What cannot be removed now is swept later."""
    try:
        os.rmdir(name, dir_fd=root)
    except OSError:
        with suppress(OSError):
            shutil.rmtree(name, dir_fd=root)


def close(folder: int) -> None:
    """A folder that was only looked at: closing it can lose nothing."""
    with suppress(OSError):
        os.close(folder)


def _put(folder: int, name: str, content: bytes) -> None:
    """A new file; one that is there, or a link, is an error."""
    descriptor = os.open(name, _NEW, FILE_MODE, dir_fd=folder)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
