"""The loop that takes outside calls from the outbox to the queue, and takes back what nobody wants.

A call is marked as sent only after the queue has it; a crash in between sends it again under the
same key, which the queue takes as one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from backstay.app.flow.steady import Steady
from backstay.app.ports import OutsideCall, TaskQueue
from backstay.app.store.session import Database, Session
from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, Dice

T = TypeVar("T")
BATCH = 200
RESEND_AFTER = 60.0
"""Seconds without an answer after which a call is sent again; doubled each time up to 32 times."""

_PAUSES_SQL = " ".join(f"WHEN {sent} THEN {RESEND_AFTER * 2**sent}" for sent in range(5))
_MARK_SENT = (
    "UPDATE outbox SET state = 'sent', sends = sends + 1, resend_at = ? +"  # noqa: S608 - numbers
    f" CASE sends {_PAUSES_SQL} ELSE {RESEND_AFTER * 32} END WHERE key = ? AND state = 'new'"
)
_log = structlog.get_logger("app.flow")
PAUSES = Backoff("exp_equal_jitter", base=0.25, cap=15.0)


class CarrierDown(Exception):  # noqa: N818 - a state of the way, not an error of ours
    """The queue did not do what it was asked; the text is its own."""


async def carried(work: Awaitable[T]) -> T:
    """What the queue answers. Raises CarrierDown, so that its failures are not taken for those of
    our own database."""
    try:
        return await work
    except Exception as trouble:
        raise CarrierDown(str(trouble) or type(trouble).__name__) from trouble


class Relay:
    """A Loop over the outbox."""

    name = "outbox-relay"

    def __init__(
        self, database: Database, queue: TaskQueue, clock: Clock, steady: Steady, dice: Dice
    ) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock
        self._steady = steady
        self._dice = dice
        self._failures = 0
        self.wake = asyncio.Event()
        self.on_sent: Callable[[], None] = lambda: None

    async def step(self) -> float | None:
        """Send what is unsent. Returns the tick of the next try after a failure."""
        try:
            while await self._batch():
                pass
        except CarrierDown as trouble:
            self._failures += 1
            _log.warning("the queue does not take outside calls", error=str(trouble))
            return self._clock.tick() + PAUSES.delay(self._failures, self._dice)
        self._failures = 0
        return None

    async def _batch(self) -> bool:
        calls, dropped = await self._database.read(_unsent)
        if calls:
            await carried(self._queue.send(calls))
            now = self._steady.now()
            await self._database.write(lambda conn: _mark(conn, calls, now))
            self.on_sent()
        if dropped:
            await carried(self._queue.cancel(dropped))
            await self._database.write(lambda conn: _forget(conn, dropped))
        return bool(calls or dropped)


def _unsent(conn: Session) -> tuple[list[OutsideCall], list[str]]:
    found = conn.execute(
        "SELECT key, command, payload, expires_at, priority, state FROM outbox"
        " WHERE state <> 'sent' ORDER BY created_at LIMIT ?",
        (BATCH,),
    ).fetchall()
    calls = [
        OutsideCall(
            str(key), str(command), str(payload), float(expires_at or 0), int(priority or 0)
        )
        for key, command, payload, expires_at, priority, state in found
        if state == "new"
    ]
    return calls, [str(row[0]) for row in found if row[5] == "cancel"]


def _mark(conn: Session, calls: list[OutsideCall], now: float) -> None:
    # Only what is still wanted: it may have been cancelled or answered while it was sent.
    conn.executemany(_MARK_SENT, [(now, call.key) for call in calls])


def _forget(conn: Session, keys: list[str]) -> None:
    conn.executemany("DELETE FROM outbox WHERE key = ?", [(key,) for key in keys])
