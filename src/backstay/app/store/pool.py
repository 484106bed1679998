"""The database's connections as a pool with numbers (seed C2): one that writes, the rest read."""

from collections.abc import Callable
from typing import TypeVar

import apsw
import msgspec

from backstay.core.errors import Plain
from backstay.core.sqlite import Database

T = TypeVar("T")


class PoolStats(msgspec.Struct, frozen=True):
    """`open_connections` are those opened so far: readers are opened when they are needed."""

    max_connections: int
    open_connections: int
    in_use: int
    idle: int

    def plain(self) -> dict[str, Plain]:
        """As the details of a health check."""
        return dict(msgspec.structs.asdict(self))


class Pool:
    """A `Database` that knows how many of its connections work. One event loop uses it."""

    def __init__(self, database: Database, size: int) -> None:
        self.database = database
        self._readers = max(1, size - 1)
        self._reading = 0
        self._writing = 0
        self._opened = 0

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """As `Database.read`."""
        self._reading += 1
        self._opened = max(self._opened, min(self._reading, self._readers))
        try:
            return await self.database.read(work)
        finally:
            self._reading -= 1

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """As `Database.write`."""
        self._writing += 1
        try:
            return await self.database.write(work)
        finally:
            self._writing -= 1

    def stats(self) -> PoolStats:
        """The numbers now."""
        used = min(self._reading, self._readers) + (1 if self._writing else 0)
        opened = self._opened + 1
        return PoolStats(self._readers + 1, opened, used, opened - used)
