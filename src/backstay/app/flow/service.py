"""What a person or another room may do with workflows and jobs: one function per use case.

All run inside a write transaction of the app's database.
"""

from collections.abc import Callable, Mapping

from backstay.app.flow import machine, model, rows, undoing
from backstay.app.flow.errors import (
    JOB_RUN_ENDED,
    PROGRAM_MISSING,
    UNKNOWN_EXECUTION,
    UNKNOWN_JOB_RUN,
    WRONG_STATE,
)
from backstay.app.flow.model import Command
from backstay.app.flow.plans import ProgramPlan, WorkflowPlan
from backstay.app.flow.turn import Turn
from backstay.app.plan.unit import Unit
from backstay.app.store.session import Session
from backstay.core.errors import Fault

RUN_ENDS = ("done", "failed", "cancelled", "missed")
"""Statuses of a job run that will not change any more."""


def start(
    unit: Unit, program: ProgramPlan, workflow: str, input: Mapping[str, object], now: float
) -> str:
    """Insert an execution with its first steps: it exists if and only if the transaction commits.
    Its id.

    `input` holds Python values; defaults are filled in. Raises APP201 for a workflow that the
    program does not have.
    """
    plan = program.workflow(workflow)
    given = dict(input)
    plan.input.fill(unit, given)
    row, steps = machine.begin(plan, unit.ids.new(), program.hash, plan.input.shape(given), now)
    rows.add_execution(unit.conn, row)
    for step in steps:
        rows.add_step(unit.conn, step)
    return row.id


def sync_workflows(conn: Session, program: ProgramPlan, now: float) -> None:
    """Store the workflows of the program being served; those it no longer has are `retired`."""
    conn.execute(
        "UPDATE workflows SET status = 'retired', updated_at = ? WHERE status = 'active'", (now,)
    )
    conn.executemany(
        "INSERT INTO workflows (id, name, program, status, description, steps, timeout,"
        " created_at, updated_at) VALUES (?,?,?,'active',?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
        " program = excluded.program, status = 'active', description = excluded.description,"
        " steps = excluded.steps, timeout = excluded.timeout, updated_at = excluded.updated_at",
        [
            (p.name, p.name, program.hash, p.description, len(p.steps), p.timeout, now, now)
            for p in program.workflows.values()
        ],
    )


def pinned(conn: Session, id: str) -> str | None:
    """The hash of the program that an execution runs by; None when there is no execution."""
    found: str | None = conn.execute("SELECT program FROM executions WHERE id = ?", (id,)).get
    return found


def programs_alive(conn: Session) -> dict[str, int]:
    """Hashes of the programs that living executions are pinned to, with how many there are."""
    found: dict[str, int] = {}
    for status in model.LIVE:
        sql = "SELECT program, count(*) FROM executions WHERE status = ? GROUP BY 1"
        for program, count in conn.execute(sql, (status,)):
            found[str(program)] = found.get(str(program), 0) + int(count or 0)
    return found


def obey(turn: Turn, id: str, order: Command) -> None:
    """Cancel, retry or compensate an execution (C27). Raises APP202 for an unknown id, APP203 with
    the reason for a state that the order does not fit, APP204 without its program."""
    row = rows.execution(turn.conn, id)
    if row is None:
        raise Fault(UNKNOWN_EXECUTION, id=id)
    why = model.refusal(order, row.status)
    if why:
        raise Fault(WRONG_STATE, command=order, id=id, status=row.status, reason=why)
    plan = turn.plan(row)
    if plan is None:
        raise Fault(PROGRAM_MISSING, program=row.program, executions=1)
    _ORDERS[order](turn, row, plan)


def _cancel(turn: Turn, row: rows.Execution, plan: WorkflowPlan) -> None:
    undoing.undo(turn, row, plan, "cancelled", "cancelled by a person")


def _compensate(turn: Turn, row: rows.Execution, plan: WorkflowPlan) -> None:
    if row.status == "compensation_failed":
        undoing.undo_again(turn, row, plan)
    else:
        undoing.undo(turn, row, plan, "requested", "compensated by a person's decision")


_ORDERS: Mapping[Command, Callable[[Turn, rows.Execution, WorkflowPlan], None]] = {
    "cancel": _cancel,
    "retry": undoing.retry,
    "compensate": _compensate,
}


def cancel_run(conn: Session, id: str, now: float) -> None:
    """A job run that has not begun never will. Raises APP206 or APP207."""
    found = conn.execute("SELECT job, status FROM job_runs WHERE id = ?", (id,)).fetchone()
    if found is None:
        raise Fault(UNKNOWN_JOB_RUN, id=id)
    job, status = found
    if status != "pending":
        raise Fault(JOB_RUN_ENDED, id=id, job=job, status=status)
    conn.execute("UPDATE job_runs SET status = 'cancelled', ended_at = ? WHERE id = ?", (now, id))


def purge_runs(conn: Session, status: str, before: float) -> int:
    """Remove runs of `status` whose fire time and end lie before `before`; how many."""
    # A cancelled run of the future has to stay: its row is what keeps the job from firing.
    conn.execute(
        "DELETE FROM job_runs WHERE status = ? AND fire_at < ? AND ended_at < ?",
        (status, before, before),
    )
    return conn.changes()
