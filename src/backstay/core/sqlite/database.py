"""One SQLite file, one owner: a single thread that writes and checkpoints, and read-only readers.

Work arrives as functions of a connection. The writer takes all that waits, runs each in its own
savepoint inside ONE transaction, commits once, and only then answers: a result means durable
(`synchronous=FULL`, decision 6). One failing function is rolled back alone; a failing commit fails
all of them.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import apsw
import msgspec

T = TypeVar("T")
Work = Callable[[apsw.Connection], Any]
Durability = Literal["power", "process"]

_SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}
_GROUP_LIMIT = 512


class Schema(msgspec.Struct, frozen=True):
    """`migrations[n]` is the SQL that takes a file from version n to n + 1; never edited later."""

    application: str
    migrations: Sequence[str]

    @property
    def version(self) -> int:
        return len(self.migrations)


class _Job(msgspec.Struct):
    work: Work
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    result: Any = None
    failure: Exception | None = None


class Database:
    """`write` from any task of the owning loop; `read` runs on a reader thread."""

    def __init__(
        self, path: Path, schema: Schema, durability: Durability = "power", readers: int = 2
    ) -> None:
        self.path = path
        self._schema = schema
        self._durability = durability
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix=f"{path.stem}-read")
        self._local = threading.local()

    async def open(self) -> None:
        """Open, migrate and start the writer. Raises a Fault when the file cannot be used."""
        connection = await asyncio.to_thread(self._connect)
        self._thread = threading.Thread(
            target=self._drive, args=(connection,), name=f"{self.path.stem}-write", daemon=True
        )
        self._thread.start()

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in the next group commit. Returns its result once that is durable."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        result: T = await asyncio.shield(job.answer)
        return result

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on a read-only connection: it sees every commit that was answered."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finish what was given, checkpoint, close. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._jobs.put(None)
        await asyncio.to_thread(thread.join)
        self._readers.shutdown(wait=True)

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        connection.execute(
            "PRAGMA journal_mode=WAL;"
            f"PRAGMA synchronous={_SYNCHRONOUS[self._durability]};"
            "PRAGMA foreign_keys=ON;"
            "PRAGMA busy_timeout=250"
        )
        found: int = connection.execute("PRAGMA user_version").get
        for step in range(found, self._schema.version):
            with connection:
                connection.execute(self._schema.migrations[step])
                connection.execute(f"PRAGMA user_version={step + 1}")
        return connection

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.execute("PRAGMA busy_timeout=250")
            self._local.connection = connection
        return work(connection)

    def _drive(self, connection: apsw.Connection) -> None:
        open_ = True
        while open_:
            group, open_ = self._gather()
            if group:
                self._commit(connection, group)
                _answer(group)
        connection.close()

    def _gather(self) -> tuple[list[_Job], bool]:
        first = self._jobs.get()
        if first is None:
            return [], False
        group = [first]
        while len(group) < _GROUP_LIMIT and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                return group, False
            group.append(job)
        return group, True

    def _commit(self, connection: apsw.Connection, group: list[_Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                try:
                    with connection:  # a savepoint, since a transaction is open
                        job.result = job.work(connection)
                except Exception as failure:  # noqa: BLE001 - handed to whoever asked
                    job.failure = failure
            connection.execute("COMMIT")
        except Exception as failure:  # noqa: BLE001 - a failed commit fails all of the group
            for job in group:
                job.failure = failure
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _answer(group: list[_Job]) -> None:
    def deliver() -> None:
        for job in group:
            if job.answer.done():
                continue
            if job.failure is not None:
                job.answer.set_exception(job.failure)
            else:
                job.answer.set_result(job.result)

    group[0].loop.call_soon_threadsafe(deliver)
