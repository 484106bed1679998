"""The loop that ends by timer what nothing else ends: unanswered calls, dead leases, executions
out of time; it sends outside calls again that the queue may have lost, and prunes the inbox.
"""

import asyncio
from collections.abc import Callable

from backstay.app.flow import rows, undoing
from backstay.app.flow.model import Outcome
from backstay.app.flow.runner import Runner, settle_row
from backstay.app.flow.steady import Steady
from backstay.app.flow.turn import Turn
from backstay.app.store.session import Database, Session
from backstay.core.clock import Clock
from backstay.core.duration import format_duration

PERIOD = 15.0
"""Seconds between sweeps when no timer asks for one earlier."""

INBOX_KEEP = 7 * 86400.0
HISTORY_KEEP = 30 * 86400.0
"""Seconds after which the history of what ended is pruned, unless the settings say otherwise."""

_BATCH = 200
_BREATH = 0.25


class Sweeper:
    """A Loop. `sole` says that no other process can own a lease on this database: then leases of
    a former incarnation end at once, else when this process has watched them long enough."""

    name = "sweeper"

    def __init__(
        self,
        database: Database,
        runner: Runner,
        owner: str,
        clock: Clock,
        steady: Steady,
        *,
        sole: bool,
        keep: float = HISTORY_KEEP,
    ) -> None:
        self._database = database
        self._runner = runner
        self._owner = owner
        self._clock = clock
        self._steady = steady
        self._sole = sole
        self._keep = keep
        self._seen: dict[str, float] = {}
        self._wish = 0.0
        self.wake = asyncio.Event()
        self.on_resend: Callable[[], None] = lambda: None

    def due(self, epoch: float) -> None:
        """A timer was set: sweep then, if that is earlier than planned."""
        tick = self._steady.tick_of(epoch)
        if tick < self._wish:
            self._wish = tick
            self.wake.set()

    async def step(self) -> float | None:
        """Sweep once. Returns the tick of the next timer."""
        self._steady.watch()
        now = self._steady.now()
        if self._wish > self._clock.tick():
            return self._wish
        leased = await self._database.read(_leased)
        dead = self._dead(leased)
        expired = await self._database.read(lambda conn: _expired(conn, now))
        if dead or expired:
            await self._runner.write(lambda turn: _sweep(turn, dead))
        if await self._database.write(lambda conn: _tidy(conn, now)):
            self.on_resend()
        if self._keep and await self._database.read(lambda conn: _old(conn, now - self._keep)):
            await self._database.write(lambda conn: prune(conn, now - self._keep))
        timer = await self._database.read(_next_timer)
        self._wish = self._clock.tick() + PERIOD
        if timer is not None:
            # What is due and cannot be ended now (its program is missing) must not spin.
            soonest = self._clock.tick() + _BREATH
            self._wish = min(self._wish, max(soonest, self._steady.tick_of(timer)))
        if self._seen:
            self._wish = min(self._wish, *self._seen.values())
        return self._wish

    def _dead(self, leased: list[tuple[str, str, float]]) -> list[str]:
        """Tokens of leases whose holder is gone. Each foreign one is given its full length on our
        own monotonic clock from when it was first seen: no wall clock can end it early."""
        tick, flying = self._clock.tick(), self._runner.flying
        ends: dict[str, float] = {}
        dead: list[str] = []
        for token, owner, seconds in leased:
            if owner == self._owner:
                # Ours, but no task flies it: its commit was answered to nobody. A claim of this
                # moment may not have taken off yet, so it has to be seen twice.
                end = self._seen.get(token, tick + 1.0) if token not in flying else None
            else:
                end = tick if self._sole else self._seen.get(token, tick + seconds)
            if end is None:
                continue
            if end <= tick:
                dead.append(token)
            else:
                ends[token] = end
        self._seen = ends
        return dead


def _leased(conn: Session) -> list[tuple[str, str, float]]:
    found = conn.execute(
        "SELECT lease_token, lease_owner, lease_seconds FROM steps WHERE state = 'running'"
    )
    return [(str(token), str(owner), float(seconds or 0)) for token, owner, seconds in found]


def _expired(conn: Session, now: float) -> bool:
    return bool(
        conn.execute(
            "SELECT exists (SELECT 1 FROM steps WHERE state = 'waiting' AND due_at <= ?) OR"
            " exists (SELECT 1 FROM executions WHERE status = 'running' AND deadline <= ?)",
            (now, now),
        ).get
    )


def _next_timer(conn: Session) -> float | None:
    found = conn.execute(
        "SELECT (SELECT min(due_at) FROM steps WHERE state = 'waiting'),"
        " (SELECT min(deadline) FROM executions WHERE status = 'running' AND deadline IS NOT NULL),"
        " (SELECT min(resend_at) FROM outbox WHERE state = 'sent')"
    ).fetchone()
    return min((time for time in found or () if time is not None), default=None)


def _sweep(turn: Turn, dead: list[str]) -> None:
    for token in dead:
        where = "WHERE state = 'running' AND lease_token = ?"
        for step in rows.steps(turn.conn, where, (token,)):
            lost = "the process that made the call ended before it saw the answer"
            settle_row(turn, step, Outcome("unknown", error=lost))
    late = "WHERE status = 'running' AND deadline <= ? ORDER BY deadline LIMIT ?"
    for row in rows.executions(turn.conn, late, (turn.now, _BATCH)):
        plan = turn.plan(row)
        if plan is not None:
            text = f"not finished within {format_duration(plan.timeout)}"
            undoing.undo(turn, row, plan, "timeout", text)
    waiting = "WHERE state = 'waiting' AND due_at <= ? ORDER BY due_at LIMIT ?"
    for step in rows.steps(turn.conn, waiting, (turn.now, _BATCH)):
        took = format_duration(round(turn.now - (step.started_at or turn.now), 3))
        if step.kind == "signal":
            settle_row(turn, step, Outcome("failed", error=f"no signal came within {took}"))
            continue
        turn.notes.outbox |= rows.drop_calls(turn.conn, step)
        settle_row(turn, step, Outcome("unknown", error=f"no worker answered within {took}"))


_PRUNED = "('completed', 'failed', 'compensated', 'cancelled')"
# Begun before then is what an index knows; ended before then is what counts.
_ENDED = f"status IN {_PRUNED} AND created_at < ? AND updated_at < ?"
_DELIVERED = (
    "created_at < ? AND NOT EXISTS (SELECT 1 FROM backstay_deliveries AS d"
    " WHERE d.event = events.id AND d.state IN ('pending', 'running'))"
)
_RAN = "status IN ('done', 'failed', 'cancelled', 'missed') AND fire_at < ? AND ended_at < ?"


def _old(conn: Session, before: float) -> bool:
    sql = (
        f"SELECT EXISTS (SELECT 1 FROM executions WHERE {_ENDED}) OR"  # noqa: S608
        f" EXISTS (SELECT 1 FROM events WHERE {_DELIVERED}) OR"
        f" EXISTS (SELECT 1 FROM job_runs WHERE {_RAN})"
    )
    return bool(conn.execute(sql, (before,) * 5).get)


def prune(conn: Session, before: float) -> None:
    """Remove histories of what ended before `before`, a bite at a time: executions with their steps
    and attempts, events with their deliveries, runs of jobs. What a person still has to look at
    (a compensation that was given up) stays."""
    for table, where, values in (
        ("executions", _ENDED, (before, before)),
        ("events", _DELIVERED, (before,)),
        ("job_runs", _RAN, (before, before)),
    ):
        some = f"SELECT id FROM {table} WHERE {where} LIMIT ?"  # noqa: S608
        conn.execute(f"DELETE FROM {table} WHERE id IN ({some})", (*values, _BATCH))  # noqa: S608


def _tidy(conn: Session, now: float) -> bool:
    """Whether calls are to be sent again: they may be lost, or only waiting; the key tells."""
    conn.execute("DELETE FROM inbox WHERE received_at < ?", (now - INBOX_KEEP,))
    conn.execute("UPDATE outbox SET state = 'new' WHERE state = 'sent' AND resend_at <= ?", (now,))
    return conn.changes() > 0
