"""Answers kept under the client's Idempotency-Key, in the transaction that made them.

They are looked for before that transaction: two of the same key at once meet in `keep`."""

import msgspec

from backstay.app.errors import KEY_REUSED
from backstay.app.store.session import Session
from backstay.app.values import micros
from backstay.core.clock import Clock
from backstay.core.errors import Fault

KEPT = 24 * 3600 * 1_000_000
"""Microseconds for which a repeated request gets the first answer; an endpoint may say less."""


class Slot(msgspec.Struct, frozen=True):
    """Who asked for what. `fingerprint` tells one request from another under the same key; the
    answer counts for `kept` microseconds, KEPT at most."""

    owner: str
    route: str
    key: str
    fingerprint: str
    kept: int = KEPT


class Answer(msgspec.Struct, frozen=True):
    """As it goes out. `replayed` when an earlier request made it."""

    status: int
    body: bytes
    replayed: bool = False


def recall(conn: Session, slot: Slot, clock: Clock) -> Answer | None:
    """The answer of the same request before. Raises APP024 when the key came with another one."""
    now = micros(clock.now())
    found = conn.execute(
        "SELECT fingerprint, status, body FROM backstay_idempotency"
        " WHERE owner = ? AND route = ? AND key = ? AND created_at > ?",
        (slot.owner, slot.route, slot.key, now - slot.kept),
    ).fetchone()
    if found is None:
        return None
    fingerprint, status, body = found
    if fingerprint != slot.fingerprint:
        raise Fault(KEY_REUSED, key=slot.key)
    return Answer(status, bytes(body), replayed=True)


class Taken(Exception):  # noqa: N818 - a turn of events that `recall` then tells
    """The same key was used in the meantime; nothing of this transaction may stand."""


def keep(conn: Session, slot: Slot, answer: Answer, now: int) -> None:
    """Keep an answer. Raises Taken when there is one already.

    Nothing is read for it: what a serializable transaction has looked for, however much of an index
    that was, must not be written by another one.
    """
    conn.execute(
        "INSERT INTO backstay_idempotency"
        " (owner, route, key, fingerprint, status, body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (owner, route, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
        " status = excluded.status, body = excluded.body, created_at = excluded.created_at"
        " WHERE backstay_idempotency.created_at <= ?",
        (*_fields(slot), answer.status, answer.body, now, now - slot.kept),
    )
    if not conn.changes():
        raise Taken


def forget(conn: Session, now: int) -> int:
    """Remove those past their time; how many."""
    conn.execute("DELETE FROM backstay_idempotency WHERE created_at <= ?", (now - KEPT,))
    return conn.changes()


def _fields(slot: Slot) -> tuple[str, str, str, str]:
    return slot.owner, slot.route, slot.key, slot.fingerprint
