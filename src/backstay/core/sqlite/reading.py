"""Reading: connections that cannot write, and reads so short that whoever asks does them at once.

A hop to a reader's thread and back takes longer than a row by its key, and each step of a statement
there lets go of the interpreter and has to win it back from the event loop. So work that calls
itself brief runs where it is asked for. It is held to that: what takes many steps, waits for a
slow disk or a lock, or meets a large value is broken off, and a reader's thread does it from its
beginning.

A single step can still be long: `count(*)` of a whole table, or a search inside of a text. Whoever
calls work brief keeps those out of it.
"""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw

from backstay.core.clock import Clock

T = TypeVar("T")

BRIEF_STEPS = 10_000
"""Instructions of SQLite's machine that brief work may take: half a millisecond."""
BRIEF_SECONDS = 0.005
"""How long it may take; only a disk that has to be waited for makes so few steps so long. Much
less, and a loaded machine would do its work twice for being loaded."""
BRIEF_BYTES = 4_096
"""The longest text that it may read or bring along."""
STATEMENTS = 256
"""Prepared statements that a connection keeps."""
_LOOK = 100
"""Steps between two looks at what was used up."""


class LongerError(Exception):
    """The work cannot be done at once; nothing of it is left."""


def connect(path: Path, busy_millis: int) -> apsw.Connection:
    """A connection that only reads, and waits so long for a lock. Raises what apsw raises."""
    connection = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENTS
    )
    settle(connection, busy_millis)
    return connection


def settle(connection: apsw.Connection, busy_millis: int) -> None:
    """What holds for every connection, whether it writes or not."""
    connection.set_busy_timeout(busy_millis)
    # A plan depends on its statement alone. Otherwise SQLite looks whether bound values allow a
    # partial index, and to be able to, prepares the statement anew each time it is executed.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def within(connection: apsw.Connection, work: Callable[[apsw.Connection], T]) -> T:
    """Run `work` in one snapshot."""
    try:
        connection.execute("BEGIN")
        return work(connection)
    finally:
        # Ends the snapshot: an open one would keep the writer's checkpoints from finishing.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class Brief:
    """One connection for brief work, from any thread, one at a time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._one = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._closed = False
        self._looks, self._until = BRIEF_STEPS // _LOOK, math.inf

    def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Its result, or LongerError."""
        if not self._one.acquire(blocking=False):
            raise LongerError
        try:
            if self._closed:
                raise LongerError
            return within(self._connection or self._open(), lambda conn: self._held(conn, work))
        except (apsw.InterruptError, apsw.BusyError, apsw.TooBigError) as failure:
            raise LongerError from failure
        finally:
            self._one.release()

    def close(self) -> None:
        """Wait for what runs, close for good."""
        with self._one:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _held(self, connection: apsw.Connection, work: Callable[[apsw.Connection], T]) -> T:
        self._looks = BRIEF_STEPS // _LOOK
        self._until = self._clock.tick() + BRIEF_SECONDS
        try:
            return work(connection)
        finally:
            # Whatever it used up, its snapshot is ended: nobody breaks that off.
            self._looks, self._until = BRIEF_STEPS // _LOOK, math.inf

    def _open(self) -> apsw.Connection:
        connection = connect(self._path, 0)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, BRIEF_BYTES)
        connection.set_progress_handler(self._enough, _LOOK)
        self._connection = connection
        return connection

    def _enough(self) -> bool:
        self._looks -= 1
        return self._looks < 0 or self._clock.tick() > self._until
