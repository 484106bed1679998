"""Ways to break the SQLite engine, one promise at a time, and the rules that must notice each."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.queue.simulation.running import Spoil

from backstay.queue.model import Holder, Policy, Task, refusal
from backstay.queue.store import sqlite_beside, sqlite_operations, sqlite_step
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite import SqliteEngine
from backstay.queue.store.sqlite_bounds import Bounds
from backstay.queue.store.sqlite_step import Step

Breaks = Callable[[pytest.MonkeyPatch], Spoil | None]
MUTATIONS: dict[str, tuple[Breaks, frozenset[str]]] = {}


def mutation(*rules: str) -> Callable[[Breaks], Breaks]:
    def add(breaks: Breaks) -> Breaks:
        MUTATIONS[breaks.__name__] = (breaks, frozenset(rules))
        return breaks

    return add


def rewrite(patch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    assert old in SQL[name], f"{name} no longer says {old!r}"
    patch.setitem(SQL, name, SQL[name].replace(old, new))


# --- leases and results ----------------------------------------------------------------------


@mutation("lease")
def a_lease_is_given_twice(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "lease", "state = 2", "state = 0")


@mutation("result")
def the_token_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Nor the owner, nor the state: whoever comes with a result is believed."""

    def lenient(holder: Holder, task: Task, *, living: bool) -> Any:
        if holder.event == "finish" and task.state in ("leased", "completed", "failed"):
            return None
        return refusal(holder, task, living=living)

    patch.setattr(sqlite_step, "refusal", lenient)


@mutation("lease")
def a_heartbeat_prolongs_nothing(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "extend", "lease_tick = ?", "lease_tick = lease_tick + 0 * ?")


@mutation("lease")
def all_leases_end_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "recompute_leases", "max(lease_until - :now, 0)", "0 * :now")


@mutation("result")
def an_accepted_result_is_delivered_again(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "end", "SET state = ?", "SET state = iif(? = 3, 0, 4)")


# --- the fate of tasks -----------------------------------------------------------------------


@mutation("fate")
def retention_takes_what_never_ran(patch: pytest.MonkeyPatch) -> None:
    rewrite(
        patch,
        "past_retention",
        "state BETWEEN 3 AND 6 AND unacked = 0 AND ended_at",
        "unacked = 0 AND created_at",
    )


@mutation("fate", "result")
def a_purge_takes_what_runs(patch: pytest.MonkeyPatch) -> None:
    rewrite(
        patch,
        "purgeable",
        "t.state BETWEEN 3 AND 6 AND t.unacked = 0 AND t.ended_at < :before",
        "t.created_at < :before",
    )


@mutation("fate")
def a_late_task_is_put_where_nobody_looks(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "put_off", "state = :state", "state = 2")
    rewrite(patch, "put_off", "lease_tick = 0", "lease_tick = 1e12")


@mutation("fate", "result")
def the_disk_is_not_waited_for(patch: pytest.MonkeyPatch) -> Spoil:
    def spoil(engine: SqliteEngine) -> None:
        engine._db._connection.pragma("synchronous", "OFF")

    return spoil


@mutation("attempts")
def an_abandon_gives_two_deliveries_back(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "put_off", "attempts = :attempts", "attempts = max(0, :attempts - 1)")


@mutation("attempts")
def the_last_delivery_is_not_the_last(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqlite_operations, "tries_left", lambda task: True)


@mutation("fate")
def the_last_delivery_comes_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        sqlite_operations, "tries_left", lambda task: task.attempts + 1 < task.max_attempts
    )


# --- order and time --------------------------------------------------------------------------


@mutation("order")
def priorities_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "pick", "t.priority DESC, ", "")


@mutation("order")
def the_newest_is_served_first(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "pick", "t.due_at, t.seq", "t.due_at DESC, t.seq DESC")


@mutation("order")
def of_one_moment_the_last_is_served_first(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "pick", "t.due_at, t.seq", "t.due_at, t.seq DESC")


@mutation("due")
def tasks_come_before_their_time(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "due_tasks", "t.due_at <= ?", "t.due_at <= ? + 1000")


# --- tenants and keys ------------------------------------------------------------------------


@mutation("tenant")
def an_id_opens_every_tenants_task(patch: pytest.MonkeyPatch) -> None:
    asked = Step.row
    patch.setattr(Step, "row", lambda step, tenant, task: asked(step, "*", task))


@mutation("tenant")
def a_key_is_everybodys(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "by_key", "queue = ?", "queue > 0 * ?")
    patch.setattr(
        sqlite_operations,
        "_again",
        lambda step, op, fingerprint, task: step.row("*", task).task,
    )


@mutation("once")
def a_body_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        sqlite_operations,
        "_again",
        lambda step, op, fingerprint, task: step.row(op.tenant, task).task,
    )


# --- bounds ----------------------------------------------------------------------------------


@mutation("bounds")
def a_pause_pauses_nothing(patch: pytest.MonkeyPatch) -> None:
    asked = Bounds.policy

    def running(bounds: Bounds, tenant: str, command: str) -> Policy | None:
        found = asked(bounds, tenant, command)
        return msgspec.structs.replace(found, paused=False) if found else None

    patch.setattr(Bounds, "policy", running)


@mutation("bounds")
def one_more_runs_than_may(patch: pytest.MonkeyPatch) -> None:
    asked = Bounds.leased
    patch.setattr(Bounds, "leased", lambda bounds, db, queue: asked(bounds, db, queue) - 1)


@mutation("bounds")
def claims_cost_no_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Bounds, "spend", lambda *_: None)


@mutation("bounds")
def a_keys_leases_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, "leased_of_key", "count(*)", "0 * count(*)")


# --- beside tasks ----------------------------------------------------------------------------


@mutation("fire", "model")
def a_fire_time_is_not_crossed_out(patch: pytest.MonkeyPatch) -> None:
    asked = sqlite_beside.fire

    def again(step: Step, op: Any, create: Any) -> Any:
        made = asked(step, op, create)
        if made:
            step.db.execute("UPDATE periodic SET body = json_set(body, '$.next_at', ?)", (op.at,))
        return made

    patch.setattr(sqlite_beside, "fire", again)


@mutation("callback")
def the_outbox_row_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(SQL, "insert_delivery", "SELECT ?, ?, ?")


@mutation("callback")
def a_cancelled_task_tells_nobody(patch: pytest.MonkeyPatch) -> None:
    ends = Step.end

    def quiet(step: Step, row: Any, state: Any, error: str, result: str = "") -> Task:
        if state == "cancelled":
            row = row._replace(task=msgspec.structs.replace(row.task, webhook=""))
        return ends(step, row, state, error, result)

    patch.setattr(Step, "end", quiet)
