"""The loop that takes answers of outside workers from the queue into the database.

The answer and what it means for its step are one commit; only then the queue may forget it.
An answer that comes twice finds its inbox row and changes nothing.
"""

import asyncio

import msgspec
import structlog

from backstay.app.flow import rows
from backstay.app.flow.model import Outcome, call_key
from backstay.app.flow.relay import PAUSES, CarrierDown, carried
from backstay.app.flow.runner import Runner, settle_row
from backstay.app.flow.turn import Turn
from backstay.app.ports import OutsideResult, TaskQueue
from backstay.app.store.session import Database, Session
from backstay.core.clock import Clock, Dice

WAIT = 20.0
"""Seconds of one long poll."""

_log = structlog.get_logger("app.flow")
_BREATH = 0.05


class Inbox:
    """A Loop over the queue's outcomes. `wait` 0 polls once, for tests on virtual time."""

    name = "inbox"

    def __init__(
        self,
        database: Database,
        queue: TaskQueue,
        runner: Runner,
        clock: Clock,
        dice: Dice,
        wait: float = WAIT,
    ) -> None:
        self._database = database
        self._queue = queue
        self._runner = runner
        self._clock = clock
        self._dice = dice
        self._wait = wait
        self._failures = 0
        # The first poll comes anyway: a crash may have come between a commit and its ack.
        self._begun = False
        self.wake = asyncio.Event()

    async def step(self) -> float | None:
        """Take one batch of answers. With nothing outside there is nothing to ask for."""
        if self._begun and not await self._database.read(_anything_outside):
            return None
        try:
            results = await carried(self._queue.outcomes(self._wait))
            if results:
                await carried(self._queue.ack(await self.take(results)))
        except CarrierDown as trouble:
            self._failures += 1
            _log.warning("the queue gives no answers", error=str(trouble))
            return self._clock.tick() + PAUSES.delay(self._failures, self._dice)
        self._failures = 0
        self._begun = True
        return self._clock.tick() + (0.0 if results else _BREATH) if self._wait else None

    async def take(self, results: list[OutsideResult]) -> list[str]:
        """Store the answers and move their executions on, in one commit. Gives the keys that are
        settled here and need not come again."""
        kept: list[str] = []

        def take(turn: Turn) -> None:
            kept.clear()
            kept.extend(_take(turn, results))

        await self._runner.write(take)
        return kept


def _anything_outside(conn: Session) -> bool:
    return bool(conn.execute("SELECT exists (SELECT 1 FROM outbox)").get)


def _take(turn: Turn, results: list[OutsideResult]) -> list[str]:
    kept = []
    for result in results:
        if not _known(turn, result):
            row = rows.execution(turn.conn, result.key.partition("/")[0])
            if row is not None and turn.plan(row) is None:
                continue  # its program is missing: the answer has to come again
            used = _apply(turn, result, row)
            turn.conn.execute(
                "INSERT INTO inbox (key, ok, output, error, used, received_at)"
                " VALUES (?,?,?,?,?,?)",
                (result.key, result.ok, result.output, result.error, used, turn.now),
            )
        kept.append(result.key)
    return kept


def _known(turn: Turn, result: OutsideResult) -> bool:
    stored = "SELECT exists (SELECT 1 FROM inbox WHERE key = ?)"
    return bool(turn.conn.execute(stored, (result.key,)).get)


def _apply(turn: Turn, result: OutsideResult, row: rows.Execution | None) -> bool:
    """Settle the step that waits for this answer. A success of an earlier attempt counts, too:
    the work is done, and the later call is taken back."""
    turn.conn.execute("DELETE FROM outbox WHERE key = ?", (result.key,))
    if result.key.endswith(rows.ALONE):
        return True
    step, current = _waiting(turn, result.key, row) if row is not None else (None, False)
    if step is None or not (result.ok or current):
        _log.warning("an answer came that nobody waits for", key=result.key, ok=result.ok)
        return False
    turn.notes.outbox |= rows.drop_calls(turn.conn, step)
    settle_row(turn, step, _outcome(result))
    return True


def _waiting(turn: Turn, key: str, row: rows.Execution) -> tuple[rows.Step | None, bool]:
    """The unfinished step that a call's key belongs to, and whether it is its last attempt.

    Found by the key itself: the call may have been given up and gone from the outbox.
    """
    stem = key.rpartition("/")[0]
    where = "WHERE execution = ? AND kind = 'task' AND state IN ('waiting', 'pending')"
    for step in rows.steps(turn.conn, where, (row.id,)):
        last = call_key(step.key, step.phase, row.run, step.attempt)
        if stem == last.rpartition("/")[0]:
            return step, step.state == "waiting" and key == last
    return None, False


def _outcome(result: OutsideResult) -> Outcome:
    if not result.ok:
        # A worker may fail, or vanish, after half of its work: only a success is certain.
        return Outcome("unknown", error=result.error or "the worker reported a failure")
    text = result.output or "null"
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        # A worker may answer in plain text: the step's output is then that text.
        text = msgspec.json.encode(text).decode()
    return Outcome("done", output=text)
