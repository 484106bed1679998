"""Deliveries of events as rows: claimed, settled, shown. Functions of an open transaction."""

import msgspec

from backstay.app.flow.model import Outcome, Verdict
from backstay.app.store.session import Session

_DELIVERY = (
    "SELECT d.id, d.event, e.event, d.target, d.attempt, e.payload, e.created_at"
    " FROM backstay_deliveries AS d JOIN events AS e ON e.id = d.event"
)


class Delivery(msgspec.Struct, frozen=True):
    """An event on its way out. `attempt` is the number of this try; `payload` is JSON text."""

    id: str
    event: str
    name: str
    target: str
    attempt: int
    payload: str
    created_at: float


def next_due(conn: Session) -> float | None:
    """When the next delivery wants to leave, or a lease ends."""
    found = conn.execute(
        "SELECT (SELECT min(due_at) FROM backstay_deliveries WHERE state = 'pending'),"
        " (SELECT min(due_at) FROM backstay_deliveries WHERE state = 'running')"
    ).fetchone()
    return min((time for time in found or () if time is not None), default=None)


def claim(conn: Session, owner: str, now: float, until: float, room: int) -> list[Delivery]:
    """Take up to `room` deliveries whose time has come; they are this process's until `until`."""
    where = " WHERE d.state = 'pending' AND d.due_at <= ? ORDER BY d.due_at, d.id LIMIT ?"
    found = [Delivery(*row) for row in conn.execute(_DELIVERY + where, (now, room))]
    conn.executemany(
        "UPDATE backstay_deliveries SET state = 'running', attempt = attempt + 1, lease_owner = ?,"
        " due_at = ? WHERE id = ?",
        [(owner, until, each.id) for each in found],
    )
    return [msgspec.structs.replace(each, attempt=each.attempt + 1) for each in found]


def reclaim(conn: Session, owner: str, now: float, *, sole: bool) -> int:
    """Deliveries whose process is gone are to be tried again. `sole`: nobody else can hold one."""
    dead, values = "due_at <= ?", [now]
    sql = (
        "UPDATE backstay_deliveries SET state = 'pending', due_at = ?, error = ?"
        " WHERE state = 'running' AND "
    )
    text = "the process that made the call ended before it saw the answer"
    if sole:
        conn.execute(f"{sql} lease_owner <> ?", (now, text, owner))
    else:
        conn.execute(f"{sql} {dead}", (now, text, *values))
    return conn.changes()


def settle(
    conn: Session, delivery: Delivery, outcome: Outcome, verdict: Verdict, began: float, now: float
) -> bool:
    """One try has ended; whether it is the one that counts. What another try has taken over
    meanwhile is left alone."""
    refused = outcome.refused
    state = {"done": "done", "pending": "pending"}.get(verdict.state, "failed")
    conn.execute(
        "UPDATE backstay_deliveries SET state = ?, attempt = ?, due_at = ?, error = ?,"
        " ended_at = ? WHERE id = ? AND state = 'running' AND attempt = ?",
        (
            state,
            # What an open breaker refused never left: it is no try.
            delivery.attempt - 1 if refused else delivery.attempt,
            now + verdict.delay,
            outcome.error,
            None if state == "pending" else now,
            delivery.id,
            delivery.attempt,
        ),
    )
    counts = conn.changes() > 0
    if not refused:
        conn.execute(
            "INSERT INTO backstay_delivery_attempts (delivery, attempt, outcome, error,"
            " started_at, took) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (delivery.id, delivery.attempt, outcome.kind, outcome.error, began, now - began),
        )
    return counts


def waiting(conn: Session, now: float) -> list[dict[str, object]]:
    """Deliveries that are under way or were given up, per target; `oldest` is how long, in seconds,
    one of them has been that."""
    sql = (
        "SELECT target, state, count(*), max(? - created_at), max(error) FROM backstay_deliveries"
        " WHERE state <> 'done' GROUP BY target, state ORDER BY target, state LIMIT 200"
    )
    return [
        {
            "target": target,
            "state": state,
            "count": count,
            "oldest": round(max(0.0, oldest), 3),
            "last_error": error,
        }
        for target, state, count, oldest, error in conn.execute(sql, (now,))
    ]
