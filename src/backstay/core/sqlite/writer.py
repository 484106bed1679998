"""The one thread that writes and checkpoints a file.

It takes all that waits, runs each piece in its own savepoint inside ONE transaction, commits once
and only then answers. A failing piece is rolled back alone; a failing commit fails all of them.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.sqlite.errors import MOVED, translated
from backstay.core.sqlite.files import Identity

Work = Callable[[apsw.Connection], Any]

GROUP_LIMIT = 512
CHECKPOINT_BYTES = 4 * 1024 * 1024
# A passive checkpoint cannot start the log anew while readers look at it; far above the usual
# size the writer waits for them (bounded by the busy timeout) instead of filling the disk.
_INSIST_BYTES = 16 * CHECKPOINT_BYTES


class Job(msgspec.Struct):
    """One piece of work and where its answer goes."""

    work: Work
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    result: Any = None
    failure: Exception | None = None


class Stats(msgspec.Struct, frozen=True):
    """Totals since opening, and the size of the write-ahead log as of the last commit."""

    jobs: int = 0
    commits: int = 0
    failures: int = 0
    checkpoints: int = 0
    commit_seconds: float = 0.0
    wal_bytes: int = 0


class Writer:
    """Owns `connection` between `start` and `stop`. `give` may be called from any thread."""

    def __init__(self, connection: apsw.Connection, path: Path, clock: Clock) -> None:
        self._connection = connection
        self._path = path
        self._clock = clock
        self._identity = Identity(path)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._page_size: int = connection.pragma("page_size")
        self._wal_pages = 0
        self._given = self._commits = self._failures = self._checkpoints = 0
        self._seconds = 0.0
        connection.wal_autocheckpoint(0)
        connection.set_wal_hook(self._wal_grew)
        self._thread = threading.Thread(target=self._drive, name=f"{path.stem}-write", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        """Finish what was given and end the thread. The connection stays open."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def in_place(self) -> bool:
        """Whether the file is still where it was opened."""
        return self._identity.holds()

    def stats(self) -> Stats:
        """Read without a lock: each number is whole, together they may be one commit apart."""
        return Stats(
            jobs=self._given,
            commits=self._commits,
            failures=self._failures,
            checkpoints=self._checkpoints,
            commit_seconds=self._seconds,
            wal_bytes=self._wal_pages * self._page_size,
        )

    def _drive(self) -> None:
        open_ = True
        while open_:
            group, open_ = self._gather()
            if group:
                began = self._clock.tick()
                self._commit(group)
                self._seconds += self._clock.tick() - began
                self._given += len(group)
                _answer(group)
                del group  # a waiting thread must not keep the last results alive
                self._checkpoint_if_due()

    def _gather(self) -> tuple[list[Job], bool]:
        first = self._jobs.get()
        if first is None:
            return [], False
        group = [first]
        while len(group) < GROUP_LIMIT:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, False
            group.append(job)
        return group, True

    def _commit(self, group: list[Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if len(group) == 1:
                # Its rollback is the transaction's: no savepoint needed.
                group[0].result = group[0].work(connection)
            else:
                for job in group:
                    self._attempt(job)
            if not self._identity.holds():
                raise Fault(MOVED, path=str(self._path))
            connection.execute("COMMIT")
            self._commits += 1
        except Exception as failure:  # noqa: BLE001 - handed to everybody who asked
            self._failures += 1
            self._fail_all(group, translated(failure, self._path))

    def _attempt(self, job: Job) -> None:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except Exception as failure:
            # After some disk errors SQLite has rolled everything back on its own: then the
            # neighbours' work is gone, too, and all must hear of it.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
            self._failures += 1
            job.failure = translated(failure, self._path)
        connection.execute("RELEASE job")

    def _fail_all(self, group: list[Job], failure: Exception) -> None:
        for job in group:
            job.failure = job.failure or failure
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error:
                # Seen only on a dying disk; the next BEGIN then fails and says so.
                self._failures += 1

    def _wal_grew(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_if_due(self) -> None:
        size = self._wal_pages * self._page_size
        if size < CHECKPOINT_BYTES:
            return
        insist = size >= _INSIST_BYTES
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if insist else apsw.SQLITE_CHECKPOINT_PASSIVE
        try:
            self._connection.wal_checkpoint(mode=mode)
            self._checkpoints += 1
            self._wal_pages = 0
        except apsw.Error:
            # Nothing is lost: the log keeps what the file does not have yet; tried again later.
            self._failures += 1


def _answer(group: list[Job]) -> None:
    """One wake-up per loop and commit: that is what makes many small callers cheap."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, jobs)
        except RuntimeError:
            continue  # that loop has ended; nobody there waits any more


def _deliver(jobs: list[Job]) -> None:
    for job in jobs:
        if job.answer.done():
            continue  # its caller was cancelled; the work stands
        if job.failure is not None:
            job.answer.set_exception(job.failure)
        else:
            job.answer.set_result(job.result)
