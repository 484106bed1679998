"""`core.sqlite.Database` without threads: a commit happens when the simulation says so.

The migrations and the writer's group commit and checkpoints are the real ones; the file lives on a
simulated disk. Reads go through the writer's own connection, which alone may look at that disk.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw
from tests.queue.simulation.disk import Disk, PowerCut

from backstay.core.clock import Clock
from backstay.core.sqlite import Schema, files
from backstay.core.sqlite.database import Database
from backstay.core.sqlite.schema import migrate
from backstay.core.sqlite.writer import Job, Writer, _deliver

T = TypeVar("T")


class SteppedDatabase(Database):
    """`write` only queues; `flush` makes one group commit of everything that waits."""

    def __init__(self, disk: Disk, path: Path, schema: Schema, clock: Clock) -> None:
        super().__init__(path, schema, "power", clock=clock)
        self._disk = disk
        self.waiting: list[Job] = []

    async def open(self) -> None:
        files.make_private(self.path)  # the writer looks whether its file is still in place
        self._connection = self._connect()
        migrate(self._connection, self.path, self._schema)
        self._writer = Writer(self._connection, self.path, self._clock)

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        job = Job(work, loop, loop.create_future())
        self.waiting.append(job)
        result: T = await job.answer
        return result

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        assert self._connection is not None
        return work(self._connection)

    def flush(self) -> int:
        """Commit what waits; gives how many pieces that was."""
        group, self.waiting = self.waiting, []
        if group:
            assert self._writer is not None
            self._writer._commit(group)
            _deliver(group)
            self._writer._checkpoint_if_due()
        return len(group)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        self._writer = None
        if connection is not None:
            files.checkpoint(connection)
            connection.close()

    def die(self) -> None:
        """The process ends here: nothing is written any more."""
        self._disk.powered = False
        for job in self.waiting:
            job.answer.cancel()
        self.waiting = []
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except PowerCut:
                return

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), vfs=self._disk.vfs, statementcachesize=256)
        # No shared memory on this disk: the one user keeps the index of the log in its own.
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "FULL")
        connection.pragma("foreign_keys", True)
        return connection
