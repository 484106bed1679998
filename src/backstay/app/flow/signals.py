"""Signals: what an execution waits for in a step, and may get before it waits.

A signal is a row. A step that waits looks for it when it begins, and again when one comes, because
the transaction that brings it makes the waiting step pending. An event that a step waits for is a
signal to each execution with whose input it agrees in every name they share.
"""

from collections.abc import Iterator, Mapping

import msgspec

from backstay.app.flow.plans import Catalog, WorkflowPlan
from backstay.app.store.session import Session
from backstay.core.clock import Ids


class Signal(msgspec.Struct, frozen=True):
    """A signal that came; `payload` is JSON text."""

    id: str
    payload: str


def bring(conn: Session, ids: Ids, execution: str, name: str, payload: str, now: float) -> None:
    """Keep a signal for an execution, and let its waiting steps look again."""
    conn.execute(
        "INSERT INTO backstay_signals (id, execution, name, payload, created_at)"
        " VALUES (?,?,?,?,?)",
        (ids.new(), execution, name, payload, now),
    )
    conn.execute(
        "UPDATE steps SET state = 'pending', due_at = ? WHERE execution = ? AND kind = 'signal'"
        " AND state = 'waiting'",
        (now, execution),
    )


def take(conn: Session, execution: str, name: str) -> Signal | None:
    """The oldest signal of this name that no step has used; it is used by this."""
    found = conn.execute(
        "SELECT id, payload FROM backstay_signals WHERE execution = ? AND name = ? AND used = 0"
        " ORDER BY id LIMIT 1",
        (execution, name),
    ).fetchone()
    if found is None:
        return None
    conn.execute("UPDATE backstay_signals SET used = 1 WHERE id = ?", (found[0],))
    return Signal(str(found[0]), str(found[1]))


def heard(conn: Session, catalog: Catalog, ids: Ids, event: str, payload: str, now: float) -> bool:
    """Bring an event to the executions that wait, or will wait, for it; whether there were any."""
    values: dict[str, object] = msgspec.json.decode(payload)
    found = [
        execution
        for execution, program, workflow, given in _living(conn, catalog.waiting_for(event))
        if _concerns(catalog.workflow(program, workflow), event, given, values)
    ]
    for execution in found:
        bring(conn, ids, execution, event, payload, now)
    return bool(found)


def _living(conn: Session, workflows: frozenset[str]) -> Iterator[tuple[str, str, str, str]]:
    if not workflows:
        return
    sql = (
        "SELECT id, program, workflow_id, input FROM executions"
        " WHERE status IN ('pending', 'running') ORDER BY created_at, id"
    )
    for execution, program, workflow, given in conn.execute(sql).fetchall():
        if workflow in workflows:
            yield str(execution), str(program), str(workflow), str(given)


def _concerns(
    plan: WorkflowPlan | None, event: str, text: str, values: Mapping[str, object]
) -> bool:
    if plan is None or event not in plan.awaits:
        return False
    given: dict[str, object] = msgspec.json.decode(text)
    return all(given[name] == value for name, value in values.items() if name in given)
