"""A database, or a session, around another one: what is not said differently goes through."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from backstay.app.store.dialect import Dialect
from backstay.app.store.session import Database, DatabaseStats, PoolStats, Result, Session, Values
from backstay.core.errors import Plain

T = TypeVar("T")
Work = Callable[[Session], T]


class Wrapping:
    """A Database around `inner`."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner

    @property
    def dialect(self) -> Dialect:
        return self.inner.dialect

    @property
    def where(self) -> str:
        return self.inner.where

    async def open(self) -> None:
        await self.inner.open()

    async def read(self, work: Work[T], /, *, snapshot: bool = False, brief: bool = False) -> T:
        return await self.inner.read(work, snapshot=snapshot, brief=brief)

    async def write(self, work: Work[T], /, *, alone: bool = False) -> T:
        return await self.inner.write(work, alone=alone)

    async def alter(self, work: Work[T], /) -> T:
        return await self.inner.alter(work)

    async def ping(self) -> None:
        await self.inner.ping()

    async def blockers(self) -> list[dict[str, Plain]]:
        return await self.inner.blockers()

    async def backup(self, target: Path, /) -> None:
        await self.inner.backup(target)

    async def copy_before(self, label: str, /) -> str:
        return await self.inner.copy_before(label)

    def whereabouts(self) -> dict[str, Plain]:
        return self.inner.whereabouts()

    def stats(self) -> DatabaseStats:
        return self.inner.stats()

    def pool(self) -> PoolStats:
        return self.inner.pool()

    async def close(self) -> None:
        await self.inner.close()


class WrappingSession:
    """A Session around `inner`."""

    __slots__ = ("dialect", "inner")

    def __init__(self, inner: Session) -> None:
        self.inner = inner
        self.dialect: Dialect = inner.dialect

    def execute(self, sql: str, values: Values = (), /) -> Result:
        return self.inner.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        self.inner.executemany(sql, rows)

    def changes(self) -> int:
        return self.inner.changes()

    def savepoint(self) -> AbstractContextManager[Any]:
        return self.inner.savepoint()

    def after(self, call: Callable[[], None], /) -> None:
        self.inner.after(call)
