"""A disk in memory that SQLite takes for a real one, and that can lose its power at any write.

What was synced survives a power cut; of the rest any sectors may, and the write that was going on
may be torn at any byte. A killed process loses nothing it had written, but its last write may be
torn, too: the kernel copies page by page.
"""

import itertools
import random

import apsw

SECTOR = 512
_names = itertools.count()


class PowerCut(Exception):  # noqa: N818 - what it is, not an error of ours
    """The process that did this I/O is no more."""


class File:
    """What a running process sees in it, what a power cut leaves, and what lies between."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.synced = bytearray()
        self.unsynced: list[tuple[int, bytes]] = []
        self.version = 0
        """Grows with every change."""

    def write(self, data: bytes, offset: int) -> None:
        self.version += 1
        _put(self.seen, data, offset)
        self.unsynced.append((offset, data))

    def truncate(self, size: int) -> None:
        self.version += 1
        del self.seen[size:]
        # A cut file is metadata: journalling file systems keep it in order with what came before.
        self.sync()

    def sync(self) -> None:
        self.synced[:] = self.seen
        self.unsynced.clear()

    def after_power_cut(self, dice: random.Random) -> "File":
        """Each sector that was not synced is there, or is not."""
        left = File()
        left.seen[:] = self.synced
        for offset, data in self.unsynced:
            for start in range(0, len(data), SECTOR):
                if dice.random() < 0.5:
                    _put(left.seen, data[start : start + SECTOR], offset + start)
        left.synced[:] = left.seen
        return left

    def after_kill(self) -> "File":
        left = File()
        left.seen[:] = left.synced[:] = self.seen
        return left


class Disk:
    """Files by name, and the VFS under which SQLite finds them.

    `cut_after(n)` lets the n-th write, sync or cut from now on be the last, torn one;
    `fail_after(n)` makes it fail once as a bad sector would, and the process lives on.
    """

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.files: dict[str, File] = {}
        self.writes = 0
        self.powered = True
        self.failed = False
        self._cut_at = 0
        self._fail_at = 0
        self._vfs = _Vfs(self, f"disk-{next(_names)}")

    @property
    def vfs(self) -> str:
        return self._vfs.name

    def cut_after(self, writes: int) -> None:
        self._cut_at = self.writes + writes

    def fail_after(self, writes: int) -> None:
        self._fail_at = self.writes + writes

    def calm(self) -> None:
        """What was to go wrong and did not, will not."""
        self._cut_at = self._fail_at = 0
        self.failed = False

    def reboot(self, *, power_cut: bool) -> None:
        """What is left is what the next process finds. Handles of the old one lead nowhere."""
        self.calm()
        self.files = {
            name: file.after_power_cut(self.dice) if power_cut else file.after_kill()
            for name, file in self.files.items()
        }
        self.powered = True

    def close(self) -> None:
        self._vfs.unregister()

    def about_to_write(self, file: File, data: bytes = b"", offset: int = 0) -> None:
        """Raises when this is the write that does not come to its end."""
        if not self.powered:
            raise PowerCut
        self.writes += 1
        if self.writes == self._cut_at:
            self.powered = False
            if data:
                file.write(bytes(data[: self.dice.randrange(len(data) + 1)]), offset)
            raise PowerCut
        if self.writes == self._fail_at:
            self.failed = True
            raise apsw.IOError


class _Handle:
    """One open file, as SQLite drives it. The database is its only user: locks are always free."""

    def __init__(self, disk: Disk, file: File) -> None:
        self._disk = disk
        self._file = file

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if not self._disk.powered:
            raise PowerCut
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.about_to_write(self._file, data, offset)
        self._file.write(bytes(data), offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.about_to_write(self._file)
        self._file.truncate(size)

    def xSync(self, _flags: int) -> None:  # noqa: N802
        self._disk.about_to_write(self._file)
        self._file.sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.seen)

    def xFileControl(self, _op: int, _pointer: int) -> bool:  # noqa: N802
        return False

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xLock(self, _level: int) -> None:  # noqa: N802
        return

    xUnlock = xLock  # noqa: N815

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xClose(self) -> None:  # noqa: N802
        return


class _Vfs(apsw.VFS):
    """Names to files. Everything that is random in SQLite comes from the simulation's dice."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.name = name
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: object, flags: list[int]) -> _Handle:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name or "temporary")
        flags[1] = flags[0]
        return _Handle(self._disk, self._disk.files.setdefault(path, File()))

    def xDelete(self, name: str, _sync: bool) -> None:  # noqa: N802
        file = self._disk.files.get(name)
        if file is not None:
            self._disk.about_to_write(file)
            del self._disk.files[name]

    def xAccess(self, name: str, _flags: int) -> bool:  # noqa: N802
        return name in self._disk.files

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xRandomness(self, amount: int) -> bytes:  # noqa: N802
        return self._disk.dice.randbytes(amount)


def _put(into: bytearray, data: bytes, offset: int) -> None:
    if offset > len(into):
        into.extend(bytes(offset - len(into)))
    into[offset : offset + len(data)] = data
