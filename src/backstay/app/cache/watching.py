"""A database that tells the cache which tables were written.

It is told by the statements themselves, so it does not matter who writes: an endpoint, a step of a
workflow, a job or a seed.
"""

import asyncio
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

from backstay.app.cache.store import EVERYTHING, Cache
from backstay.app.store.session import Database, Result, Session, Values
from backstay.app.store.wrapping import Work, Wrapping, WrappingSession

T = TypeVar("T")

_WRITES = re.compile(
    r'\b(?:INSERT(?: OR \w+)? INTO|REPLACE INTO|UPDATE(?: OR \w+)?|DELETE FROM)\s+"?(\w+)"?',
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def written(sql: str) -> tuple[str, ...]:
    """The tables that a statement may write. A word too many (UPDATE SET) does no harm."""
    if sql.lstrip()[:6].upper() == "SELECT":
        return ()
    return tuple(_WRITES.findall(sql))


class WatchedDatabase(Wrapping):
    """`watch` names the tables that the cache cares about; without any, a write costs what it cost
    before."""

    def __init__(self, inner: Database, cache: Cache) -> None:
        super().__init__(inner)
        self._cache = cache
        self._watched: frozenset[str] = frozenset()

    def watch(self, tables: Iterable[str]) -> None:
        """Of these, too, from now on."""
        self._watched |= frozenset(tables)

    async def write(self, work: Work[T], /, *, alone: bool = False) -> T:
        if not self._watched:
            return await self.inner.write(work, alone=alone)
        # A caller that goes away must not part the commit from its telling.
        writing = asyncio.ensure_future(self._write(work, alone=alone))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(_left_alone)
            raise

    async def _write(self, work: Work[T], *, alone: bool) -> T:
        seen: set[str] = set()
        try:
            return await self.inner.write(lambda conn: work(_Noting(conn, seen)), alone=alone)
        finally:
            # Also when it failed: a commit whose answer was lost may stand.
            spoilt = sorted(seen & self._watched)
            if spoilt:
                await self._cache.spoil(spoilt)

    async def alter(self, work: Work[T], /) -> T:
        try:
            return await self.inner.alter(work)
        finally:
            await self._cache.spoil([EVERYTHING])


def _left_alone(writing: "asyncio.Future[Any]") -> None:
    """Nobody waits for it any more: its failure is nobody's either."""
    if not writing.cancelled():
        writing.exception()


class _Noting(WrappingSession):
    """Notes the tables it writes. The work may be run again: one set for all runs."""

    __slots__ = ("_seen",)

    def __init__(self, inner: Session, seen: set[str]) -> None:
        super().__init__(inner)
        self._seen = seen

    def execute(self, sql: str, values: Values = (), /) -> Result:
        self._seen.update(written(sql))
        return self.inner.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        self._seen.update(written(sql))
        self.inner.executemany(sql, rows)
