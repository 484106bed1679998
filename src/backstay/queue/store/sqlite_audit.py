"""What contradicts itself in a SQLite store, and how it is mended."""

from collections.abc import Mapping
from typing import Any

import apsw

from backstay.queue.model import Inconsistency
from backstay.queue.store.sql import SQL

_SAYS: Mapping[str, str] = {
    "no_payload": "the task has no payload",
    "orphan_payload": "a payload without a task",
    "orphan_result": "a result without a task",
    "orphan_attempt": "a history without a task",
    "orphan_delivery": "a callback without a task",
    "orphan_tag": "a tag without a task",
    "ended_state": "state and time of ending contradict each other",
    "aside": "the task is set aside for a key it does not have",
    "leaseless": "the task is in progress without a lease",
}
_REPAIRS: Mapping[str, tuple[str, ...]] = {
    "no_payload": (
        "delete_task",
        "delete_result",
        "delete_attempts",
        "delete_deliveries",
        "repair_tags",
    ),
    "orphan_payload": ("delete_payload",),
    "orphan_result": ("delete_result",),
    "orphan_attempt": ("delete_attempts",),
    "orphan_delivery": ("delete_deliveries",),
    "orphan_tag": ("repair_tags",),
    "aside": ("back_to_ready",),
}


def audit(db: apsw.Connection, now: float, command: str, *, repair: bool) -> list[Inconsistency]:
    """Of one command, or of all; what belongs to no task belongs to no command and is always told.
    A task without a lease is left to the next start, which gives it one that has ended."""
    found: list[Inconsistency] = []
    for kind, says in _SAYS.items():
        rows: list[Any] = db.execute(SQL[f"audit_{kind}"], {"command": command}).fetchall()
        for seq, task_id in rows:
            if repair:
                _mend(db, kind, seq, now)
            mended = repair and kind != "leaseless"
            found.append(Inconsistency(kind, str(task_id or seq), says, mended))
    return found


def _mend(db: apsw.Connection, kind: str, seq: int, now: float) -> None:
    for statement in _REPAIRS.get(kind, ()):
        db.execute(SQL[statement], (seq,))
    if kind == "ended_state":
        db.execute(SQL["repair_ended"], {"now": now, "seq": seq})
