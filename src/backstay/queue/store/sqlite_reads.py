"""Questions to the SQLite store that change nothing: a task, histories, depths, small tables."""

from typing import Any, TypeVar

import apsw
import msgspec

from backstay.queue.model import (
    ANY_TENANT,
    Attempt,
    Delivery,
    Periodic,
    Policy,
    QueueStats,
    Subscription,
)
from backstay.queue.store.polls import Polls
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite_beside import read_delivery
from backstay.queue.store.sqlite_operations import last_outcome
from backstay.queue.store.sqlite_rows import Queues, Row

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


# --- queues ----------------------------------------------------------------------------------


def read_stats(
    db: apsw.Connection, queues: Queues, command: str | None, polls: Polls
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
            last_claim_at=polls.last(*name),
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
