"""One SQLite file, one owner: a single thread that writes and checkpoints, and read-only readers.

Work arrives as functions of a connection. A result means durable (`synchronous=FULL`, decision 6);
what goes wrong with the file itself arrives as a Fault: CORE010 (owned by another process),
CORE011, CORE040 to CORE048.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import apsw

from backstay.core.clock import Clock, SystemClock
from backstay.core.errors import Fault
from backstay.core.lock import Lock
from backstay.core.sqlite import files
from backstay.core.sqlite.errors import CLOSED, MOVED, translated
from backstay.core.sqlite.reading import STATEMENTS, Brief, LongerError, connect, settle, within
from backstay.core.sqlite.restoring import restore
from backstay.core.sqlite.schema import Schema, migrate
from backstay.core.sqlite.writer import Job, Stats, Writer

T = TypeVar("T")
Durability = Literal["power", "process"]

_SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}
_BUSY_MILLIS = 250


class Database:
    """`write` from any task of any loop; `read` runs on a reader's thread, `brief` on your own."""

    def __init__(
        self,
        path: Path,
        schema: Schema,
        durability: Durability = "power",
        readers: int = 2,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self._schema = schema
        self._durability = durability
        self._clock = clock or SystemClock()
        self._lock = Lock(path)
        self._reader_count = readers
        self._gate = threading.Lock()
        self._writer: Writer | None = None
        self._connection: apsw.Connection | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._read_connections: list[apsw.Connection] = []
        self._brief: Brief | None = None
        self._last_stats = Stats()

    async def open(self) -> None:
        """Own, open, migrate, start the writer. Raises a Fault when the file cannot be used."""
        await asyncio.to_thread(self._open)

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in the next group commit. Returns its result once that is durable.

        A cancelled caller does not take its work back.
        """
        loop = asyncio.get_running_loop()
        job = Job(work, loop, loop.create_future())
        with self._gate:
            if self._writer is None:
                raise Fault(CLOSED, path=str(self.path))
            self._writer.give(job)
        result: T = await job.answer
        return result

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on a read-only connection: one snapshot that has every answered commit."""
        with self._gate:
            if self._readers is None:
                raise Fault(CLOSED, path=str(self.path))
            answer = self._readers.submit(self._read, work)
        return await asyncio.wrap_future(answer)

    def brief(self, work: Callable[[apsw.Connection], T]) -> T:
        """As `read`, at once and on this thread, besides the readers. Raises LongerError for work
        that is for `read`, which then says what is wrong if something is."""
        brief = self._brief
        if brief is None:
            raise LongerError
        self._check_place()
        try:
            return brief.run(work)
        except apsw.Error as failure:
            raise translated(failure, self.path) from failure

    async def touch(self) -> None:
        """A real, durable, tiny write: the only honest answer to whether it can be written. A row
        that is set to what it was would not do, since SQLite then writes nothing."""
        await self.write(lambda connection: connection.pragma("user_version", self._schema.version))

    async def backup(self, target: Path) -> None:
        """Copy the database to `target` while it is in use; atomic, durable on return."""
        await self.read(lambda connection: files.copy(connection, target))

    async def restore(self, source: Path) -> None:
        """Put a backup in place of the file; see `core.sqlite.restoring`."""
        await asyncio.to_thread(restore, source, self.path, self._schema)

    def stats(self) -> Stats:
        """Totals for metrics; no I/O."""
        writer = self._writer
        return writer.stats() if writer else self._last_stats

    async def close(self) -> None:
        """Answer what was given, checkpoint, close, give the file up. Idempotent."""
        with self._gate:
            writer, self._writer = self._writer, None
            readers, self._readers = self._readers, None
            brief, self._brief = self._brief, None
        if writer is not None:
            await asyncio.to_thread(self._close, writer, readers, brief)

    # --- on threads --------------------------------------------------------------------------

    def _open(self) -> None:
        self._lock.acquire()
        connection: apsw.Connection | None = None
        try:
            connection = self._connect()
            migrate(connection, self.path, self._schema)
            files.sync(self.path.parent)
            writer = Writer(connection, self.path, self._clock)
        except Exception as failure:
            if connection is not None:
                connection.close()
            self._lock.release()
            raise translated(failure, self.path) from failure
        self._connection = connection
        writer.start()
        with self._gate:
            self._writer = writer
            self._brief = Brief(self.path, self._clock)
            self._readers = ThreadPoolExecutor(
                self._reader_count, thread_name_prefix=f"{self.path.stem}-read"
            )

    def _connect(self) -> apsw.Connection:
        files.make_private(self.path)
        connection = apsw.Connection(str(self.path), statementcachesize=STATEMENTS)
        settle(connection, _BUSY_MILLIS)
        # Refused before the first byte is changed: another application's file stays as it was.
        files.check_stamp(
            self.path, files.stamp(connection), self._schema.application, self._schema.version
        )
        if connection.readonly("main"):
            raise apsw.ReadOnlyError("the file is read-only for this user")
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", _SYNCHRONOUS[self._durability])
        connection.pragma("foreign_keys", True)
        # Where fsync does not reach the platter by itself (macOS); elsewhere without effect.
        connection.pragma("fullfsync", self._durability == "power")
        return connection

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            return within(self._reader(), work)
        except apsw.Error as failure:
            raise translated(failure, self.path) from failure

    def _reader(self) -> apsw.Connection:
        self._check_place()
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self.path, _BUSY_MILLIS)
            self._local.connection = connection
            self._read_connections.append(connection)
        return connection

    def _check_place(self) -> None:
        writer = self._writer
        if writer is not None and not writer.in_place():
            raise Fault(MOVED, path=str(self.path))

    def _close(
        self, writer: Writer, readers: ThreadPoolExecutor | None, brief: Brief | None
    ) -> None:
        writer.stop()
        self._last_stats = writer.stats()
        if brief is not None:
            brief.close()
        if readers is not None:
            readers.shutdown(wait=True)
        for reader in self._read_connections:
            reader.close()
        self._read_connections.clear()
        self._local = threading.local()
        connection, self._connection = self._connection, None
        if connection is not None:
            files.checkpoint(connection)
            connection.close()
        self._lock.release()
