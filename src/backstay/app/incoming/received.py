"""The marks of what was received, kept for a month."""

from collections.abc import Sequence

from backstay.app.store.session import Session
from backstay.lang.program import Incoming

KEPT = 30 * 86400 * 1_000_000
"""Microseconds; senders try again for days, and a signature with a time is stale after minutes."""


def fresh(conn: Session, hook: Incoming, marks: Sequence[str], now: int) -> bool:
    """Note the delivery; whether it is here for the first time."""
    # The signature first: who repeats one must not use up ids, which stand unsigned beside it.
    for mark in reversed(marks):
        conn.execute(
            "INSERT INTO backstay_received (hook, mark, event, received_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (hook.name, mark, hook.event, now),
        )
        if not conn.changes():
            return False
    return True


def forget(conn: Session, now: int) -> None:
    """Marks that no honest sender comes back with."""
    conn.execute("DELETE FROM backstay_received WHERE received_at < ?", (now - KEPT,))
