"""Questions to the SQLite store that change nothing: pages, depths, histories."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import apsw
import msgspec

from backstay.core.errors import Fault
from backstay.queue.errors import BAD_QUERY
from backstay.queue.model import (
    ANY_TENANT,
    Attempt,
    Delivery,
    Page,
    Periodic,
    Policy,
    QueueStats,
    State,
    Subscription,
    Task,
    TaskQuery,
)
from backstay.queue.store.sql import COLUMNS, SQL
from backstay.queue.store.sqlite_beside import read_delivery
from backstay.queue.store.sqlite_operations import last_outcome
from backstay.queue.store.sqlite_rows import CODES, STATES, Queues, Row

Values = list[str | int | float]

_COUNTS = ("ready", "aside", "delayed", "leased", "dead")


# --- tasks -----------------------------------------------------------------------------------


def read_task(db: apsw.Connection, queues: Queues, tenant: str, id: str) -> Row | None:
    """One task of that tenant, or of any for `ANY_TENANT`."""
    values = db.execute(SQL["by_id"], (id,)).fetchone()
    row = queues.read(values) if values else None
    return row if row and tenant in (ANY_TENANT, row.task.tenant) else None


def read_attempts(db: apsw.Connection, queues: Queues, tenant: str, id: str) -> list[Attempt]:
    """The history, and the delivery that the task's own row tells of."""
    row = read_task(db, queues, tenant, id)
    if row is None:
        return []
    past = [Attempt(*values) for values in db.execute(SQL["attempts_of"], (row.seq,))]
    task, outcome = row.task, last_outcome(row.task)
    if outcome is None:
        return past
    # While it runs, the row still shows the error of the delivery before.
    error = "" if outcome == "leased" else task.error
    number = past[-1].number + 1 if past else 1
    return [*past, Attempt(number, task.worker, task.claimed_at, task.ended_at, outcome, error)]


def read_page(db: apsw.Connection, queues: Queues, query: TaskQuery) -> Page[Task]:
    """Raises QUEUE018 for a cursor that no page gave."""
    sql, values = page_sql(query)
    rows = [queues.read(found) for found in db.execute(sql, values)]
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    return Page([row.task for row in shown], _cursor(query, shown[-1]) if more else "")


class _Where(NamedTuple):
    conditions: list[str]
    values: Values

    def add(self, condition: str, *values: str | float) -> None:
        self.conditions.append(condition)
        self.values.extend(values)


def page_sql(query: TaskQuery) -> tuple[str, Values]:
    """The statement of a page, and what is bound to it."""
    where = _Where([], [])
    source = "task t"
    if query.tag:
        source = "tag g CROSS JOIN task t USING (seq)"
        where.add("g.name = ?", query.tag)
    _of_queue(where, query)
    _of_task(where, query)
    _after(where, query)
    place = ("t.ended_at", "t.seq") if query.reply_to else ("g.seq" if query.tag else "t.seq",)
    down = " DESC" if query.newest_first else ""
    order = ", ".join(column + down for column in place)
    # Every part is a constant of this file; what somebody sent is bound.
    sql = (
        f"SELECT {COLUMNS} FROM {source} WHERE {' AND '.join(where.conditions or ['t.seq > 0'])}"  # noqa: S608
        f" ORDER BY {order} LIMIT ?"
    )
    return sql, [*where.values, query.limit + 1]


def _of_queue(where: _Where, query: TaskQuery) -> None:
    if query.tenant is not None and query.command:
        where.add(
            "t.queue = (SELECT q.id FROM queue q WHERE q.command = ? AND q.tenant = ?)",
            query.command,
            query.tenant,
        )
    elif query.command:
        where.add("t.queue IN (SELECT q.id FROM queue q WHERE q.command = ?)", query.command)
    elif query.tenant is not None:
        where.add("t.queue IN (SELECT q.id FROM queue q WHERE q.tenant = ?)", query.tenant)


def _of_task(where: _Where, query: TaskQuery) -> None:
    # Literals, where a partial index must be recognised.
    if query.reply_to:
        where.add("t.unacked = 1 AND t.reply_to = ?", query.reply_to)
    if query.states:
        where.add(_in_states(query.states))
    if query.key:
        where.add("t.key = ? AND t.key <> ''", query.key)
    if query.worker:
        where.add("t.worker = ?", query.worker)
    if query.created_after:
        where.add("t.created_at > ?", query.created_after)
    if query.created_before:
        where.add("t.created_at < ?", query.created_before)


def _in_states(states: tuple[State, ...]) -> str:
    codes = sorted(code for code, state in enumerate(STATES) if state in states)
    if codes == [CODES["dead"]]:
        return f"t.state = {codes[0]}"
    return f"t.state IN ({', '.join(map(str, codes))})"


def _after(where: _Where, query: TaskQuery) -> None:
    if not query.after:
        return
    then = "<" if query.newest_first else ">"
    try:
        if query.reply_to:
            ended, _, seq = query.after.partition(":")
            where.add(f"(t.ended_at, t.seq) {then} (?, ?)", float(ended), _seq(seq))
        else:
            where.add(f"{'g' if query.tag else 't'}.seq {then} ?", _seq(query.after))
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


# --- queues ----------------------------------------------------------------------------------


def read_stats(
    db: apsw.Connection, queues: Queues, command: str | None, polled: Mapping[str, float]
) -> list[QueueStats]:
    """Counted from the indexes, never kept beside them: a count cannot be wrong."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    oldest: dict[tuple[str, str], float] = {}
    for state in _COUNTS:
        for queue, count, since in db.execute(SQL[f"count_{state}"]):
            name = queues.names[queue]
            if command not in (None, name[1]):
                continue
            counts = found.setdefault(name, dict.fromkeys(_COUNTS, 0))
            counts[state] = count
            if state in ("ready", "aside"):
                oldest[name] = min(oldest.get(name, since), since)
    held = _paused(read_all(db, "all_policies", Policy, None))
    return [
        QueueStats(
            tenant=name[0],
            command=name[1],
            ready=counts["ready"] + counts["aside"],
            delayed=counts["delayed"],
            in_progress=counts["leased"],
            dead=counts["dead"],
            oldest_ready_at=oldest.get(name, 0.0),
            last_claim_at=polled.get(name[1], 0.0),
            paused=name in held or (ANY_TENANT, name[1]) in held,
        )
        for name, counts in sorted(found.items())
    ]


def _paused(policies: list[Policy]) -> set[tuple[str, str]]:
    return {(policy.tenant, policy.command) for policy in policies if policy.paused}


# --- what is kept beside tasks ---------------------------------------------------------------

T = TypeVar("T", Policy, Periodic, Subscription)


def read_all(db: apsw.Connection, table: str, kind: type[T], tenant: str | None) -> list[T]:
    """All of a small table, or one tenant's; in the order of their names."""
    found: list[T] = [msgspec.json.decode(body, type=kind) for (body,) in db.execute(SQL[table])]
    return [each for each in found if tenant in (None, each.tenant)]


def read_policies(db: apsw.Connection, tenant: str | None) -> list[Policy]:
    """One tenant's and those that hold for every tenant."""
    found = read_all(db, "all_policies", Policy, None)
    return [each for each in found if tenant is None or each.tenant in (tenant, ANY_TENANT)]


def read_periodics(db: apsw.Connection, tenant: str | None) -> list[Periodic]:
    found = read_all(db, "all_periodics", Periodic, tenant)
    return sorted(found, key=lambda each: (each.name, each.tenant))


def read_deliveries(
    db: apsw.Connection, queues: Queues, tenant: str | None, *, given_up: bool, limit: int
) -> list[Delivery]:
    named: dict[str, Any] = {
        "tenant": ANY_TENANT if tenant is None else tenant,
        "given_up": int(given_up),
        "limit": limit,
    }
    return [read_delivery(queues, values) for values in db.execute(SQL["deliveries"], named)]
