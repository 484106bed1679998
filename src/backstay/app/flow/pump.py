"""One turn of the crank: pending steps whose time has come are run, leased, handed to the outbox or
opened for their items.

A database-only step is run right here, so its effect, its fact and the next step are one commit;
several follow each other in the same turn. A call is only leased: the event loop makes it
after the commit. An outside task is a row of the outbox beside the step that waits for it.
"""

from collections.abc import Mapping

import msgspec
import structlog

from backstay.app.flow import machine, model, rows, signals
from backstay.app.flow.errors import PROGRAM_MISSING
from backstay.app.flow.guarded import Refused, inside, scope_at
from backstay.app.flow.model import NEVER, Kind, Outcome
from backstay.app.flow.plans import MOST_ITEMS, EachPlan, StepPlan, WorkflowPlan
from backstay.app.flow.rows import WHOLE, Execution, Step
from backstay.app.flow.turn import Claim, Turn
from backstay.app.flow.work import WorkPlan
from backstay.app.plan.operators import truth
from backstay.app.store.session import RowTrouble, StoreTrouble
from backstay.core.errors import Fault

_HERE: tuple[Kind, ...] = ("do", "task", "signal", "each")
_KINDS: tuple[Kind, ...] = (*_HERE, "call")
BATCH = 32
"""Database-only steps in one commit: a bound on how long other writers wait."""

DEFAULT_CALL_TIMEOUT = 30.0
_PUT_OFF = 60.0

_log = structlog.get_logger("app.flow")


def pump(turn: Turn, calls: int) -> None:
    """Run what is due: at most `BATCH` steps here, and as many calls leased as `calls` allows."""
    done, times = 0, rows.next_times(turn.conn, _KINDS)
    while done < BATCH:
        found: list[Step] = []
        for kind in _HERE:
            if times.get(kind, NEVER) <= turn.now:
                found += rows.due(turn.conn, kind, turn.now, BATCH - done)
        if not found:
            break
        for step in found:
            _safely(turn, step)
        done += len(found)
        times = rows.next_times(turn.conn, _KINDS)
    while len(turn.notes.claims) < calls and times.get("call", NEVER) <= turn.now:
        room = calls - len(turn.notes.claims)
        found = rows.due(turn.conn, "call", turn.now, room)
        for step in found:
            _safely(turn, step)
        times = rows.next_times(turn.conn, _KINDS)
        if len(found) < room:
            break
    if len(turn.notes.claims) >= calls:
        # Without room a due call is no reason to come back: the end of another call is.
        times.pop("call", None)
    turn.notes.next_due = min(times.values(), default=None)


def _safely(turn: Turn, step: Step) -> None:
    """A mistake of ours in one step must not stop the others: it is put off, and logged whole."""
    try:
        with turn.conn.savepoint():
            _run(turn, step)
    except (StoreTrouble, RowTrouble):
        raise
    except Exception as bug:  # noqa: BLE001 - logged, and seen in the step's row
        _log.exception("a step could not be run", execution=step.execution, step=step.name)
        kept = rows.step(turn.conn, step.execution, step.phase, step.position, step.item)
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
    if step.kind != "signal" or step.attempt == 0:
        # Looking for a signal once more is no new try, and its time runs from the first look.
        step.attempt += 1
        step.started_at = turn.now
    forward = plan.steps[step.position] if step.phase == "forward" else None
    try:
        if forward is not None and forward.each is not None and step.item == WHOLE:
            _spread(turn, row, plan, step)
            return
        scope = inside(turn, lambda: scope_at(turn, row, plan, step))
        if forward is not None and not _admitted(turn, row, forward, step, scope):
            machine.skip(turn, row, plan, step)
            return
        if forward is not None and _has_nothing(turn, row, forward, step, scope):
            machine.settle(turn, row, plan, step, Outcome("done", output="null"))
            return
        _work(turn, row, plan, step, scope)
    except Refused as failed:
        machine.settle(turn, row, plan, step, Outcome("failed", error=failed.text))


def _admitted(
    turn: Turn, row: Execution, plan: StepPlan, step: Step, scope: Mapping[str, object]
) -> bool:
    """Whether the step is wanted at all; a check that does not hold is its failure."""
    if step.attempt == 1 and not _wanted(turn, row, plan, scope):
        return False
    check = plan.check
    if check is not None:
        unit = turn.unit(row.program)
        if not inside(turn, lambda: truth(check.holds(unit, scope))):
            raise Refused(inside(turn, lambda: check.message(unit, scope)))
    return True


def _has_nothing(
    turn: Turn, row: Execution, plan: StepPlan, step: Step, scope: Mapping[str, object]
) -> bool:
    """Whether the step has empty data to work on. Its first try decided that for all of them."""
    data = plan.on_empty.before if plan.on_empty is not None else None
    if data is None or step.attempt > 1:
        return False
    unit = turn.unit(row.program)
    return not inside(turn, lambda: data(unit, scope))


def _spread(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    """A step for each item of a list: keep the list, once, and begin the first items."""
    each = plan.steps[step.position].each
    if each is None:
        raise LookupError(f"{step.name} walks no list")
    if step.input is None:
        scope = inside(turn, lambda: scope_at(turn, row, plan, step))
        step.input = inside(turn, lambda: _listed(each, turn, row, scope))
    step.state = model.step_move(step.state, "waiting")
    step.due_at = NEVER
    rows.save_step(turn.conn, step)
    machine.first_items(turn, row, plan, step.position)


def _listed(each: EachPlan, turn: Turn, row: Execution, scope: Mapping[str, object]) -> str:
    found = each.items(turn.unit(row.program), scope)
    items = list(found) if isinstance(found, list | tuple) else []
    if found is not None and not isinstance(found, list | tuple):
        raise Refused("for_each walks a list, and this is none")
    if len(items) > MOST_ITEMS:
        raise Refused(f"the list has {len(items)} items; for_each walks at most {MOST_ITEMS}")
    return msgspec.json.encode(each.shape(items)).decode()


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


def _work(
    turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, scope: dict[str, object]
) -> None:
    work = plan.work_at(step.phase, step.position)
    if work.kind == "signal":
        _listen(turn, row, plan, step, work)
        return
    if work.kind == "do":
        output = inside(turn, lambda: _done(turn, row, work, scope))
        machine.settle(turn, row, plan, step, Outcome("done", output=output))
        return
    if step.input is None:
        # Once: every try, and a retry after a crash, sends the same bytes under the same key.
        step.input = inside(turn, lambda: _payload(turn, row, work, scope))
    if work.kind == "call":
        _lease(turn, row, plan, step, work)
    else:
        _hand_out(turn, row, plan, step, work)


def _done(turn: Turn, row: Execution, work: WorkPlan, scope: dict[str, object]) -> str:
    unit = turn.unit(row.program, row.id)
    if work.block is not None:
        work.block(unit, scope)
    return work.answer(unit, scope) if work.answer is not None else ""


def _listen(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, work: WorkPlan) -> None:
    """Take the signal if it has come, or wait for it until the step's time is over."""
    came = signals.take(turn.conn, row.id, work.target)
    if came is not None:
        machine.settle(turn, row, plan, step, Outcome("done", output=came.payload))
        return
    own = plan.steps[step.position].timeout
    step.state = model.step_move(step.state, "waiting")
    step.due_at = (step.started_at or turn.now) + (own or plan.timeout)
    turn.notes.timer = min(turn.notes.timer, step.due_at)
    rows.save_step(turn.conn, step)


def _payload(turn: Turn, row: Execution, work: WorkPlan, scope: Mapping[str, object]) -> str | None:
    return work.payload(turn.unit(row.program, row.id), scope) if work.payload else None


def _wanted(turn: Turn, row: Execution, plan: StepPlan, scope: Mapping[str, object]) -> bool:
    when = plan.when
    return when is None or truth(inside(turn, lambda: when(turn.unit(row.program), scope)))


def _lease(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, work: WorkPlan) -> None:
    ground = turn.ground
    allowed = ground.call_timeouts.get(work.target, DEFAULT_CALL_TIMEOUT)
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
            item=step.item,
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
    rows.add_call(turn.conn, key, step, work.target, plan.priority, turn.now)
    turn.notes.outbox = True
