"""The app on SQLite: one connection that writes, the others read (core.sqlite)."""

import asyncio
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import apsw

from backstay.app.store.dialect import Dialect
from backstay.app.store.lengthy import Lengthy
from backstay.app.store.session import (
    DatabaseStats,
    PoolStats,
    Result,
    RowRule,
    RowTrouble,
    Session,
    StoreTrouble,
    Values,
)
from backstay.app.store.sqlite_dialect import SQLITE
from backstay.core.clock import Clock
from backstay.core.errors import Plain
from backstay.core.sqlite import Database as File
from backstay.core.sqlite import Durability, LongerError, Schema
from backstay.core.sqlite.errors import translated

T = TypeVar("T")
_RULES: dict[int, RowRule] = {
    apsw.SQLITE_CONSTRAINT_UNIQUE: "unique",
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY: "unique",
    apsw.SQLITE_CONSTRAINT_FOREIGNKEY: "foreign key",
    apsw.SQLITE_CONSTRAINT_CHECK: "check",
    apsw.SQLITE_CONSTRAINT_NOTNULL: "not null",
    apsw.SQLITE_CONSTRAINT_DATATYPE: "range",
}
_OF_ROWS = (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError, apsw.TooBigError)
_TOO_LONG = (apsw.InterruptError, apsw.TooBigError)
BRIEF_ROWS = 200
"""Rows that a brief read may give: those of a page, with some beside them."""
_WALKS = re.compile(r"\bcount\(\*\)|\binstr\(|\bLIKE\b")
"""What makes one step of a whole table, or of a long text and a long pattern. Also a name in
quotes may look like it: then it is a reader's, and nothing is lost."""
_ALTER_WAIT = 60_000
"""Milliseconds for which a change of tables waits for the writer."""
_NAMED = re.compile(r"constraint failed: (.+)")
_COLUMN = re.compile(r"column \S+\.(\S+)$")


class SqliteSession:
    """A Session on an apsw connection that is in a transaction."""

    __slots__ = ("_conn",)
    dialect: Dialect = SQLITE

    def __init__(self, conn: apsw.Connection) -> None:
        self._conn = conn

    def execute(self, sql: str, values: Values = (), /) -> Result:
        try:
            return Result(self._conn.execute(sql, values))
        except apsw.Error as failure:
            raise self._trouble(failure) from failure

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        try:
            self._conn.executemany(sql, rows)
        except apsw.Error as failure:
            raise self._trouble(failure) from failure

    def changes(self) -> int:
        return self._conn.changes()

    def savepoint(self) -> AbstractContextManager[Any]:
        return self._conn

    def after(self, call: Callable[[], None], /) -> None:
        # Whoever is woken looks through the thread that writes, so not before this commit.
        call()

    def _trouble(self, failure: apsw.Error) -> RowTrouble | StoreTrouble:
        # After some disk errors SQLite has rolled everything back on its own.
        if not isinstance(failure, _OF_ROWS) or not self._conn.in_transaction:
            return StoreTrouble(str(failure))
        rule = _RULES.get(getattr(failure, "extendedresult", 0), "statement")
        found = (_COLUMN if rule == "range" else _NAMED).search(str(failure))
        name = found.group(1) if found else ""
        if rule == "check":
            return RowTrouble(rule, str(failure), constraint=name)
        columns = tuple(part.rsplit(".", 1)[-1] for part in name.split(", ")) if name else ()
        return RowTrouble(rule, str(failure), columns=columns)


@lru_cache(maxsize=1024)
def _walks(sql: str) -> bool:
    """Asked for each run of a statement, and always answered the same."""
    return _WALKS.search(sql) is not None


class _BriefSession(SqliteSession):
    """For work on the event loop: what one step of SQLite, or Python afterwards, could be long at
    is refused, and the work done anew by a reader."""

    __slots__ = ("_left", "_lengthy")

    def __init__(self, conn: apsw.Connection, lengthy: Lengthy) -> None:
        super().__init__(conn)
        self._lengthy = lengthy
        self._left = BRIEF_ROWS

    def execute(self, sql: str, values: Values = (), /) -> Result:
        if _walks(sql) or self._lengthy.has(sql):
            raise StoreTrouble from LongerError()
        try:
            found = super().execute(sql, values)
        except StoreTrouble as trouble:
            if isinstance(trouble.__cause__, _TOO_LONG):
                self._lengthy.failed(sql)
            raise
        self._left -= len(found)
        if self._left < 0:
            self._lengthy.failed(sql)
            raise StoreTrouble from LongerError()
        self._lengthy.passed(sql)
        return found

    def _trouble(self, failure: apsw.Error) -> RowTrouble | StoreTrouble:
        if isinstance(failure, _TOO_LONG):
            return StoreTrouble(str(failure))
        return super()._trouble(failure)


class SqliteDatabase:
    """A Database in one file, which one event loop uses. `connections` counts the writer, too, and
    the readers on threads; for brief reads there is one more."""

    dialect: Dialect = SQLITE

    def __init__(
        self,
        path: Path,
        schema: Schema,
        durability: Durability = "power",
        connections: int = 3,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self._readers = max(1, connections - 1)
        self._file = File(path, schema, durability, self._readers, clock)
        self._reading = 0
        self._writing = 0
        self._opened = 0
        self._identity: tuple[int, int] | None = None
        self._lengthy = Lengthy()

    @property
    def where(self) -> str:
        return str(self.path)

    async def open(self) -> None:
        """Raises a Fault that names the file (core.sqlite)."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._file.open()
        self._identity = _identity(self.path)

    async def read(
        self,
        work: Callable[[Session], T],
        /,
        *,
        snapshot: bool = False,  # noqa: ARG002 - every read is one
        brief: bool = False,
    ) -> T:
        if brief:
            with suppress(LongerError):
                return self._file.brief(lambda conn: _run(work, _BriefSession(conn, self._lengthy)))
        self._reading += 1
        self._opened = max(self._opened, min(self._reading, self._readers))
        try:
            return await self._file.read(lambda conn: _run(work, SqliteSession(conn)))
        finally:
            self._reading -= 1

    async def write(self, work: Callable[[Session], T], /, *, alone: bool = False) -> T:  # noqa: ARG002 - everything is
        self._writing += 1
        try:
            return await self._file.write(lambda conn: _run(work, SqliteSession(conn)))
        finally:
            self._writing -= 1

    async def alter(self, work: Callable[[Session], T], /) -> T:
        """On a connection of its own: a table cannot be made anew where references are watched."""
        return await asyncio.to_thread(self._alter, work)

    def _alter(self, work: Callable[[Session], T]) -> T:
        conn = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            conn.set_busy_timeout(_ALTER_WAIT)
            conn.pragma("foreign_keys", False)
            conn.pragma("synchronous", "FULL")
            conn.execute("BEGIN IMMEDIATE")
            made = _run(work, SqliteSession(conn))
            broken = conn.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise RowTrouble("foreign key", f"a row of {broken[0]} would point nowhere")
            conn.execute("COMMIT")
            return made
        except apsw.Error as failure:
            raise translated(failure, self.path) from failure
        finally:
            conn.close()

    async def ping(self) -> None:
        """By a write that is synced: a ping that only reads is answered from memory."""
        await self._file.touch()

    async def blockers(self) -> list[dict[str, Plain]]:
        """None: another program that locks the file is seen at the file (core.probes)."""
        return []

    async def backup(self, target: Path, /) -> None:
        await self._file.backup(target)

    async def copy_before(self, label: str, /) -> str:
        copy = self.path.with_name(f"{self.path.name}.before-{label}")
        await self._file.backup(copy)
        return str(copy)

    def whereabouts(self) -> dict[str, Plain]:
        here = _identity(self.path)
        same = here is not None and here == self._identity
        facts: dict[str, Plain] = {
            "path": str(self.path),
            "exists": here is not None,
            "same_inode": same,
        }
        return facts if same else facts | {"reading": "gone" if here is None else "moved"}

    def stats(self) -> DatabaseStats:
        found = self._file.stats()
        return DatabaseStats(found.commits, found.commit_seconds, 0, found.wal_bytes)

    def pool(self) -> PoolStats:
        """Readers are opened when they are needed."""
        used = min(self._reading, self._readers) + (1 if self._writing else 0)
        opened = self._opened + 1
        return PoolStats(self._readers + 1, opened, used, opened - used)

    async def close(self) -> None:
        await self._file.close()


def _run(work: Callable[[Session], T], session: SqliteSession) -> T:
    try:
        return work(session)
    except StoreTrouble as trouble:
        # core.sqlite knows what each failure of a file means.
        raise trouble.__cause__ or trouble from None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
