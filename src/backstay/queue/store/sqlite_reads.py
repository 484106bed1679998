"""Questions to the SQLite store that change nothing: pages, depths, contradictions."""

from collections.abc import Mapping
from typing import get_args

import apsw

from backstay.core.errors import Fault
from backstay.queue.errors import BAD_QUERY
from backstay.queue.model import Inconsistency, Page, QueueStats, State, Task, TaskQuery
from backstay.queue.store.sql import COLUMNS, SQL
from backstay.queue.store.sqlite_operations import Row, read_row

_FROM = (
    f"SELECT {COLUMNS} FROM task t CROSS JOIN payload p USING (seq)"  # noqa: S608 - a constant
    " LEFT JOIN result r USING (seq) WHERE "
)
_STATES = frozenset(get_args(State))

_COUNTS = ("ready", "delayed", "leased", "dead")

_AUDITS: Mapping[str, str] = {
    "audit_no_payload": "the task has no payload",
    "audit_orphan_payload": "a payload without a task",
    "audit_orphan_result": "a result without a task",
    "audit_ended_state": "state and time of ending contradict each other",
    "audit_leaseless": "the task is in progress without a lease",
}
_REPAIRS: Mapping[str, tuple[str, ...]] = {
    "audit_no_payload": ("delete_task", "delete_result"),
    "audit_orphan_payload": ("delete_payload",),
    "audit_orphan_result": ("delete_result",),
}


def read_page(db: apsw.Connection, query: TaskQuery) -> Page[Task]:
    """Raises QUEUE018 for a cursor that no page gave."""
    conditions, values = _conditions(query)
    order = "t.ended_at, t.seq" if query.reply_to else "t.seq"
    sql = f"{_FROM}{' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
    rows = [read_row(found) for found in db.execute(sql, (*values, query.limit + 1))]
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    return Page([row.task for row in shown], _cursor(query, shown[-1]) if more else "")


def _conditions(query: TaskQuery) -> tuple[list[str], list[str | int | float]]:
    conditions, values = ["t.seq > 0"], list[str | int | float]()
    if query.reply_to:
        # Written out, not bound: a partial index is only used for its own literal condition.
        conditions += ["t.unacked = 1", "t.reply_to = ?"]
        values.append(query.reply_to)
    if query.tenant is not None:
        conditions.append("t.tenant = ?")
        values.append(query.tenant)
    if query.command:
        conditions.append("t.command = ?")
        values.append(query.command)
    if query.states:
        named = ", ".join(f"'{state}'" for state in query.states if state in _STATES)
        conditions.append(f"t.state IN ({named})")
    if query.after:
        condition, after = _after(query)
        conditions.append(condition)
        values += after
    return conditions, values


def _after(query: TaskQuery) -> tuple[str, list[str | int | float]]:
    try:
        if query.reply_to:
            ended, _, seq = query.after.partition(":")
            return "(t.ended_at, t.seq) > (?, ?)", [float(ended), _seq(seq)]
        return "t.seq > ?", [_seq(query.after)]
    except ValueError as bad:
        raise Fault(
            BAD_QUERY, name="cursor", value=query.after[:40], rule="the next_cursor of another page"
        ) from bad


def _seq(text: str) -> int:
    seq = int(text)
    if not 0 <= seq < 2**63:
        raise ValueError(text)
    return seq


def _cursor(query: TaskQuery, row: Row) -> str:
    return f"{row.task.ended_at!r}:{row.seq}" if query.reply_to else str(row.seq)


def read_stats(
    db: apsw.Connection, command: str | None, polled: Mapping[str, float]
) -> list[QueueStats]:
    """Counted from the indexes, never kept beside them: a count cannot be wrong."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    oldest: dict[tuple[str, str], float] = {}
    for state in _COUNTS:
        rows = db.execute(SQL[f"count_{state}"], {"command": command or ""})
        for tenant, name, count, since in rows:
            found.setdefault((tenant, name), {})[state] = count
            if state == "ready":
                oldest[tenant, name] = since
    return [
        QueueStats(
            tenant=tenant,
            command=name,
            ready=counts.get("ready", 0),
            delayed=counts.get("delayed", 0),
            in_progress=counts.get("leased", 0),
            dead=counts.get("dead", 0),
            oldest_ready_at=oldest.get((tenant, name), 0.0),
            last_claim_at=polled.get(name, 0.0),
        )
        for (tenant, name), counts in sorted(found.items())
    ]


def audit(db: apsw.Connection, now: float, *, repair: bool) -> list[Inconsistency]:
    """What contradicts itself. A task without a lease is left to the next start, which gives it
    one that has ended."""
    found: list[Inconsistency] = []
    for kind, says in _AUDITS.items():
        for seq, task_id in db.execute(SQL[kind]).fetchall():
            if repair:
                for statement in _REPAIRS.get(kind, ()):
                    db.execute(SQL[statement], (seq,))
                if kind == "audit_ended_state":
                    db.execute(SQL["repair_ended"], {"now": now, "seq": seq})
            mended = repair and kind != "audit_leaseless"
            found.append(
                Inconsistency(kind.removeprefix("audit_"), str(task_id or seq), says, mended)
            )
    return found
