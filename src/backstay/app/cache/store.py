"""Where answers are kept: what every cache can do, and the one in memory.

An answer is kept together with the *stamp* of the tables it was read from, taken before the read.
A write gives its tables a new stamp once it is committed, so an answer that was read before can
never be found after it, whatever the order in which the two arrive. Nothing is searched or deleted.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import msgspec

from backstay.core.clock import Clock
from backstay.core.errors import Plain
from backstay.core.redact import redactor

EVERYTHING = "*"
"""The table that stands for all of them."""

PING = 1.0
"""Seconds for one ping (seed C15)."""

_MOST_BYTES = 64 * 1024 * 1024
_MOST_ENTRIES = 10_000
_OVERHEAD = 200
"""Bytes that an entry costs besides its text, roughly."""


class Found(msgspec.Struct, frozen=True):
    """What a look gave. Without a `stamp` nothing may be kept: the cache does not answer."""

    stamp: str = ""
    value: bytes | None = None


class Cache(Protocol):
    """Never raises: a cache that is away finds nothing and keeps nothing."""

    async def open(self, place: str) -> None:
        """`place` tells this database from every other that shares the cache."""
        ...

    async def look(self, key: str, tables: Sequence[str]) -> Found:
        """The value that was kept under `key`, unless one of the tables was written since."""
        ...

    async def put(self, key: str, stamp: str, value: bytes, seconds: float) -> None:
        """Keep a value that was made after `stamp` was given, for `seconds` at most."""
        ...

    async def spoil(self, tables: Sequence[str]) -> None:
        """These were written: on return nothing that was read before is found any more."""
        ...

    async def ping(self) -> None:
        """Raises what keeps it from answering."""
        ...

    def facts(self) -> dict[str, Plain]:
        """For health and diagnosis; no I/O."""
        ...

    async def close(self) -> None: ...


class _Entry(msgspec.Struct, frozen=True):
    stamp: str
    value: bytes
    until: float


class MemoryCache:
    """Of one process. The entry that was asked for least recently goes first when it is full."""

    def __init__(
        self, clock: Clock, most_bytes: int = _MOST_BYTES, most_entries: int = _MOST_ENTRIES
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._versions: dict[str, int] = {}
        self._bytes = 0

    async def open(self, place: str) -> None:
        """Nothing: it is this process's alone."""

    async def look(self, key: str, tables: Sequence[str]) -> Found:
        stamp = self._stamp(tables)
        entry = self._entries.get(key)
        if entry is None:
            return Found(stamp)
        if entry.stamp != stamp or entry.until <= self._clock.tick():
            self._drop(key)
            return Found(stamp)
        self._entries.move_to_end(key)
        return Found(stamp, entry.value)

    async def put(self, key: str, stamp: str, value: bytes, seconds: float) -> None:
        self._drop(key)
        self._entries[key] = _Entry(stamp, value, self._clock.tick() + seconds)
        self._bytes += _size(key, value)
        while self._bytes > self._most_bytes or len(self._entries) > self._most_entries:
            self._drop(next(iter(self._entries)))

    async def spoil(self, tables: Sequence[str]) -> None:
        for name in tables:
            self._versions[name] = self._versions.get(name, 0) + 1

    async def ping(self) -> None:
        """It is as well as the process."""

    def facts(self) -> dict[str, Plain]:
        return {"kind": "memory", "entries": len(self._entries), "bytes": self._bytes}

    async def close(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def _stamp(self, tables: Sequence[str]) -> str:
        return ",".join(str(self._versions.get(name, 0)) for name in (EVERYTHING, *tables))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry.value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD


def reason_of(failure: Exception) -> str:
    """Why a cache does not answer, in words for people and without a password."""
    if isinstance(failure, TimeoutError) and not str(failure):
        return "no answer in time"
    return redactor().redact(str(failure)) or type(failure).__name__
