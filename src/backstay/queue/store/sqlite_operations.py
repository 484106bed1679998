"""What the SQLite engine does for each operation on a task; `sqlite_beside` has the others."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from backstay.core.errors import Fault
from backstay.queue.errors import IDEMPOTENCY_CONFLICT
from backstay.queue.model import Task, expiry_delay, tries_left
from backstay.queue.operations import (
    Abandon,
    Ack,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    FinishAll,
    Fire,
    Move,
    Nack,
    Op,
    OpResult,
    Purge,
    Redrive,
    Reschedule,
    SetPeriodic,
    SetPolicy,
    SettleDelivery,
    Subscribe,
    TakeDeliveries,
    TakeNotices,
    same_result,
)
from backstay.queue.store import Expired
from backstay.queue.store import sqlite_beside as beside
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite_claims import claim
from backstay.queue.store.sqlite_finishing import finish_all
from backstay.queue.store.sqlite_rows import CODES, INLINE, Row, tags_text
from backstay.queue.store.sqlite_step import Step

LEASE_EXPIRED = "LEASE_EXPIRED"
MAX_ATTEMPTS = "MAX_ATTEMPTS"


def apply(step: Step, op: Op) -> OpResult:
    """Its result, or its own Fault."""
    try:
        return _RUN[type(op)](step, op)
    except Fault as refused:
        return refused


# --- arriving --------------------------------------------------------------------------------


def create(step: Step, op: Create) -> Task:
    """The new task, or the first of its idempotency key. Raises QUEUE005."""
    queue = step.queues.number(step.db, op.tenant, op.command)
    if op.idempotency_key:
        known = step.db.execute(SQL["by_key"], (queue, op.idempotency_key)).fetchone()
        if known is not None:
            return _again(step, op, *known)
    state, due_at = step.when(op.due_at)
    task = Task(
        op.id,
        op.tenant,
        op.command,
        op.payload,
        state,
        step.now,
        step.now,
        priority=op.priority,
        max_attempts=op.max_attempts,
        due_at=due_at,
        idempotency_key=op.idempotency_key,
        reply_to=op.reply_to,
        webhook=op.webhook,
        tags=op.tags,
        key=op.key,
        trace=op.trace,
    )
    _insert(step, queue, task, op.fingerprint)
    step.waits(queue, task)
    return task


def _again(step: Step, op: Create, fingerprint: str, id: str) -> Task:
    if fingerprint != op.fingerprint:
        raise Fault(IDEMPOTENCY_CONFLICT, key=op.idempotency_key, command=op.command, id=id)
    return step.row(op.tenant, id).task


def _insert(step: Step, queue: int, task: Task, fingerprint: str) -> None:
    db = step.db
    large = len(task.payload) > INLINE
    db.execute(
        SQL["insert"],
        (
            queue,
            CODES[task.state],
            step.now,
            task.due_at,
            None if large else task.payload,
            task.id,
            task.priority,
            task.max_attempts,
            step.now,
            task.idempotency_key,
            fingerprint,
            task.reply_to,
            task.webhook,
            tags_text(task.tags),
            task.key,
            task.trace,
        ),
    )
    if large or task.tags:
        seq = db.last_insert_rowid()
        if large:
            db.execute(SQL["insert_payload"], (seq, task.payload))
        for name in task.tags:
            db.execute(SQL["insert_tag"], (name, seq))


# --- under a lease ---------------------------------------------------------------------------


def extend(step: Step, op: Extend) -> Task:
    row = step.held(op, "extend")
    until = step.now + op.seconds
    progress = op.progress or row.task.progress
    step.db.execute(
        SQL["extend"],
        (until, op.seconds, step.tick + op.seconds, progress, step.now, row.seq),
    )
    step.wish(until)
    return msgspec.structs.replace(
        row.task, lease_until=until, progress=progress, updated_at=step.now
    )


def finish(step: Step, op: Finish) -> Task:
    row = step.row(op.tenant, op.id)
    if same_result(op, row.task):
        return row.task
    step.held(op, "finish", row)
    return step.end(row, "completed" if op.ok else "failed", op.error, op.result)


def nack(step: Step, op: Nack) -> Task:
    row = step.held(op, "nack")
    if not tries_left(row.task):
        return step.end(row, "dead", op.reason or MAX_ATTEMPTS)
    step.remember(row, "nacked", op.reason)
    delay = op.delay
    if delay is None:
        delay = step.rules.backoff.delay(row.task.attempts, step.dice)
    return step.put_off(row, delay, row.task.attempts, op.reason)


def abandon(step: Step, op: Abandon) -> Task:
    row = step.held(op, "abandon")
    step.remember(row, "abandoned")
    given_back = max(0, row.task.attempts - 1)
    return step.put_off(row, step.rules.abandon_delay, given_back, row.task.error)


# --- from outside ----------------------------------------------------------------------------


def cancel(step: Step, op: Cancel) -> Task:
    row = step.row(op.tenant, op.id)
    if row.task.state == "cancelled":
        return row.task
    step.expect(row.task, "cancel")
    return step.end(row, "cancelled", op.reason)


def redrive(step: Step, op: Redrive) -> Task:
    row = step.row(op.tenant, op.id)
    step.expect(row.task, "redrive")
    last = last_outcome(row.task)
    if last is not None:
        step.remember(row, last, row.task.error, row.task.ended_at)
    state, due_at = step.when(op.due_at)
    step.db.execute(SQL["delete_result"], (row.seq,))
    step.db.execute(
        SQL["redrive"],
        {"state": CODES[state], "due_at": due_at, "now": step.now, "seq": row.seq},
    )
    task = step.row(op.tenant, op.id).task
    step.waits(row.queue, task)
    return task


def last_outcome(task: Task) -> Any:
    """How the delivery ended that the task's own row tells of; None when it tells of none: a task
    that waits again was let go."""
    if not task.worker or task.state in ("ready", "delayed"):
        return None
    if task.state == "dead":
        return "expired" if task.error == LEASE_EXPIRED else "nacked"
    return task.state


def reschedule(step: Step, op: Reschedule) -> Task:
    row = step.row(op.tenant, op.id)
    step.expect(row.task, "reschedule")
    state, due_at = step.when(op.due_at)
    step.db.execute(
        SQL["wait_until"],
        {"state": CODES[state], "due_at": due_at, "now": step.now, "seq": row.seq},
    )
    task = msgspec.structs.replace(row.task, state=state, due_at=due_at, updated_at=step.now)
    # One that was ready and is ready again stands behind others of its key now.
    step.left(row.queue, row.task, row.task.state)
    if state != row.task.state:
        step.waits(row.queue, task)
    return task


def purge(step: Step, op: Purge) -> int:
    chosen = step.db.execute(
        SQL["purgeable"],
        {
            "before": op.before,
            "tenant": op.tenant,
            "command": op.command,
            "states": sum(1 << CODES[state] for state in set(op.states)),
            "limit": op.limit,
        },
    )
    return step.delete(chosen.fetchall())


def ack(step: Step, op: Ack) -> int:
    count = 0
    named = {"now": step.now, "reply_to": op.reply_to, "tenant": op.tenant}
    for task_id in op.ids:
        step.db.execute(SQL["ack"], {**named, "id": task_id})
        count += step.db.changes()
    return count


# --- time ------------------------------------------------------------------------------------


def move(step: Step, op: Move) -> int:
    due = step.db.execute(SQL["due_tasks"], (step.now, op.limit)).fetchall()
    for values in due:
        row = step.queues.read(values)
        step.db.execute(SQL["make_ready"], (step.now, row.seq))
        step.has_work(row.queue, row.task.tenant, row.task.command, key=row.task.key)
    late = step.db.execute(SQL["ended_leases"], (step.tick, op.limit)).fetchall()
    for values in late:
        _expire(step, step.queues.read(values))
    before = step.now - step.rules.retention
    old = step.db.execute(SQL["past_retention"], (before, op.limit)).fetchall()
    return len(due) + len(late) + step.open_gates() + step.delete(old)


def _expire(step: Step, row: Row) -> None:
    task = row.task
    if not tries_left(task):
        became = step.end(row, "dead", LEASE_EXPIRED)
    else:
        step.remember(row, "expired", LEASE_EXPIRED)
        delay = expiry_delay(task, step.rules.backoff, step.dice)
        became = step.put_off(row, delay, task.attempts, LEASE_EXPIRED)
    step.expired(Expired(task.id, task.command, task.worker, task.attempts, became.state))


_RUN: Mapping[type, Callable[[Step, Any], OpResult]] = {
    Create: create,
    Claim: claim,
    Extend: extend,
    Finish: finish,
    FinishAll: lambda step, op: finish_all(step, op, finish),
    Nack: nack,
    Abandon: abandon,
    Cancel: cancel,
    Move: move,
    Redrive: redrive,
    Reschedule: reschedule,
    Purge: purge,
    Ack: ack,
    SetPolicy: beside.set_policy,
    SetPeriodic: beside.set_periodic,
    Fire: lambda step, op: beside.fire(step, op, create),
    Subscribe: beside.subscribe,
    TakeNotices: beside.take_notices,
    TakeDeliveries: beside.take_deliveries,
    SettleDelivery: beside.settle_delivery,
}
