"""One turn of the crank: pending steps whose time has come are run, leased or handed to the outbox.

A database-only step is run right here, so its effect, its fact and the next step are one commit;
several follow each other in the same turn. A call is only leased: the event loop makes it
after the commit. An outside task is a row of the outbox beside the step that waits for it.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog

from backstay.app.flow import machine, model, rows
from backstay.app.flow.errors import PROGRAM_MISSING
from backstay.app.flow.model import ON_FAIL, Kind, Outcome
from backstay.app.flow.plans import StepPlan, WorkflowPlan, WorkPlan
from backstay.app.flow.rows import Execution, Step
from backstay.app.flow.turn import Claim, Turn
from backstay.app.store.session import RowTrouble, StoreTrouble
from backstay.core.errors import Fault

T = TypeVar("T")
BATCH = 32
"""Database-only steps in one commit: a bound on how long other writers wait."""

DEFAULT_CALL_TIMEOUT = 30.0
_PUT_OFF = 60.0

_log = structlog.get_logger("app.flow")


def pump(turn: Turn, calls: int) -> None:
    """Run what is due: at most `BATCH` steps here, and as many calls leased as `calls` allows."""
    done = 0
    while done < BATCH:
        found = rows.due(turn.conn, "do", turn.now, BATCH - done)
        found += rows.due(turn.conn, "task", turn.now, BATCH - done)
        for step in found:
            _safely(turn, step)
        done += len(found)
        if not found:
            break
    while len(turn.notes.claims) < calls:
        room = calls - len(turn.notes.claims)
        found = rows.due(turn.conn, "call", turn.now, room)
        for step in found:
            _safely(turn, step)
        if len(found) < room:
            break
    # Without room a due call is no reason to come back: the end of another call is.
    full = len(turn.notes.claims) >= calls
    kinds: tuple[Kind, ...] = ("do", "task") if full else ("do", "task", "call")
    turn.notes.next_due = rows.next_due(turn.conn, kinds)


def scope_of(turn: Turn, row: Execution, plan: WorkflowPlan) -> dict[str, object]:
    """Inputs by name, and `steps` with what finished steps gave."""
    scope: dict[str, object] = dict(plan.parse(row.input))
    scope["steps"] = {step.name: None for step in plan.steps} | rows.outputs(turn.conn, row.id)
    return scope


def _safely(turn: Turn, step: Step) -> None:
    """A mistake of ours in one step must not stop the others: it is put off, and logged whole."""
    try:
        with turn.conn.savepoint():
            _run(turn, step)
    except (StoreTrouble, RowTrouble):
        raise
    except Exception as bug:  # noqa: BLE001 - logged, and seen in the step's row
        _log.exception("a step could not be run", execution=step.execution, step=step.name)
        kept = rows.step(turn.conn, step.execution, step.phase, step.position)
        if kept is not None:
            kept.due_at = turn.now + _PUT_OFF
            kept.error = f"{type(bug).__name__}: {bug}"
            rows.save_step(turn.conn, kept)


def _run(turn: Turn, step: Step) -> None:
    row = rows.execution(turn.conn, step.execution)
    plan = turn.plan(row) if row is not None else None
    if row is None or plan is None:
        _put_off(turn, step, row)
        return
    if row.status == "pending":
        _first(turn, row, plan)
    step.attempt += 1
    step.started_at = turn.now
    forward = plan.steps[step.position] if step.phase == "forward" else None
    try:
        scope = inside(turn, lambda: scope_of(turn, row, plan))
        if forward is not None and step.attempt == 1 and not _wanted(turn, row, forward, scope):
            machine.skip(turn, row, plan, step)
            return
        _work(turn, row, plan, step, scope)
    except Refused as failed:
        machine.settle(turn, row, plan, step, Outcome("failed", error=failed.text))


def _first(turn: Turn, row: Execution, plan: WorkflowPlan) -> None:
    row.status = model.move(row.status, "running")
    row.deadline, row.updated_at = turn.now + plan.timeout, turn.now
    turn.notes.timer = min(turn.notes.timer, row.deadline)
    rows.save_execution(turn.conn, row)


def _put_off(turn: Turn, step: Step, row: Execution | None) -> None:
    program = row.program if row else ""
    fault = Fault(PROGRAM_MISSING, program=program, executions=1)
    _log.error("program of an execution is missing", execution=step.execution, program=program)
    step.due_at, step.error = turn.now + _PUT_OFF, fault.message
    rows.save_step(turn.conn, step)


def work_of(plan: WorkflowPlan, step: Step) -> WorkPlan:
    """The work that a row stands for. Raises LookupError when the plan has none there."""
    if step.phase == "forward":
        return plan.steps[step.position].work
    found = plan.on_fail if step.position == ON_FAIL else plan.steps[step.position].undo
    if found is None:
        raise LookupError(f"{plan.name} has no compensation for {step.name}")
    return found


def _work(
    turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, scope: dict[str, object]
) -> None:
    work = work_of(plan, step)
    if work.block is not None:
        inside(turn, lambda: _block(turn, row, work, scope))
        machine.settle(turn, row, plan, step, Outcome("done"))
        return
    if step.input is None:
        # Once: every try, and a retry after a crash, sends the same bytes under the same key.
        step.input = inside(turn, lambda: _payload(turn, row, work, scope))
    if work.kind == "call":
        _lease(turn, row, plan, step, work)
    else:
        _hand_out(turn, row, plan, step, work)


def _block(turn: Turn, row: Execution, work: WorkPlan, scope: dict[str, object]) -> None:
    if work.block is not None:
        work.block(turn.unit(row.program), scope)


def _payload(turn: Turn, row: Execution, work: WorkPlan, scope: Mapping[str, object]) -> str | None:
    return work.payload(turn.unit(row.program), scope) if work.payload else None


def _wanted(turn: Turn, row: Execution, plan: StepPlan, scope: Mapping[str, object]) -> bool:
    when = plan.when
    return when is None or bool(inside(turn, lambda: when(turn.unit(row.program), scope)))


def _lease(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, work: WorkPlan) -> None:
    ground = turn.ground
    allowed = ground.call_timeouts.get(work.target.partition(".")[0], DEFAULT_CALL_TIMEOUT)
    own = plan.steps[step.position].timeout if step.phase == "forward" else 0.0
    timeout = min(own or allowed, allowed)
    step.state = model.step_move(step.state, "running")
    step.lease_token = ground.ids.new()
    step.lease_owner = ground.owner
    step.lease_seconds = timeout + ground.call_margin
    rows.save_step(turn.conn, step)
    turn.notes.claims.append(
        Claim(
            execution=row.id,
            workflow=row.workflow,
            phase=step.phase,
            position=step.position,
            name=step.name,
            attempt=step.attempt,
            token=step.lease_token,
            key=step.key,
            target=work.target,
            payload=step.input or "{}",
            timeout=timeout,
        )
    )


def _hand_out(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, work: WorkPlan) -> None:
    own = plan.steps[step.position].timeout if step.phase == "forward" else 0.0
    step.state = model.step_move(step.state, "waiting")
    step.due_at = turn.now + (own or plan.timeout)
    turn.notes.timer = min(turn.notes.timer, step.due_at)
    rows.save_step(turn.conn, step)
    key = model.call_key(step.key, step.phase, row.run, step.attempt)
    rows.add_call(turn.conn, key, step, work.target, turn.now)
    turn.notes.outbox = True


class Refused(Exception):  # noqa: N818 - an outcome on its way up, not an error of ours
    """The program's own work failed; it was rolled back. `text` is for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def inside(turn: Turn, work: Callable[[], T]) -> T:
    """Run a piece of the program in a savepoint: what it refuses is the step's failure, what the
    store cannot do is everybody's."""
    try:
        with turn.conn.savepoint():
            made = work()
    except Fault as refused:
        raise Refused(refused.message) from refused
    except StoreTrouble:
        raise
    except RowTrouble as trouble:
        raise Refused(f"database: {trouble}") from trouble
    except Exception as bad:
        raise Refused(f"{type(bad).__name__}: {bad}") from bad
    return made
