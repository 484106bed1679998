"""How an execution moves: forward step by step, and backward when it has to be undone.

Every function runs inside one write transaction (a Turn). Going forward there is at most one step
row that is pending, running or waiting; going backward there is at most one compensation.
"""

import msgspec

from backstay.app.flow import model, rows
from backstay.app.flow.model import ON_FAIL, Kind, Outcome, Phase, Reason, StepState
from backstay.app.flow.plans import StepPlan, WorkflowPlan, WorkPlan
from backstay.app.flow.rows import Execution, Step
from backstay.app.flow.turn import Attempted, Ended, Turn

_OPEN = ("pending", "running", "waiting")


def begin(
    plan: WorkflowPlan, id: str, program: str, text: str, now: float
) -> tuple[Execution, Step | None]:
    """The rows of a new execution; no step when the workflow has none."""
    row = Execution(id, plan.name, program, "pending", "", 1, text, "", now, now, None)
    if not plan.steps:
        row.status = "completed"
        return row, None
    return row, _forward(row, 0, plan.steps[0], now)


def advance(turn: Turn, row: Execution, plan: WorkflowPlan, position: int) -> None:
    """Make the step at `position` or after it pending, or complete the execution.

    In a run that a person asked for, steps that were done and not undone stay done.
    """
    for place in range(position, len(plan.steps)):
        ahead = rows.step(turn.conn, row.id, "forward", place) if row.run > 1 else None
        if ahead is not None and ahead.state == "done":
            continue
        if ahead is None:
            rows.add_step(turn.conn, _forward(row, place, plan.steps[place], turn.now))
        else:
            ahead.state = model.step_move(ahead.state, "pending")
            ahead.attempt, ahead.due_at, ahead.error = 0, turn.now, None
            if not ahead.unknown:
                ahead.input = None  # computed anew; a doubtful attempt has to send the same again
            rows.save_step(turn.conn, ahead)
        turn.notes.pending = True
        return
    _end(turn, row, "completed")


def settle(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, outcome: Outcome) -> None:
    """An attempt of `step` has ended: store what it means, and what comes next."""
    # What an open breaker refused never left: it is no try. Success need not count.
    refused = 0 if outcome.kind == "done" else rows.refusals(turn.conn, step, row.run)
    verdict = model.judge(
        outcome,
        step.attempt - refused,
        _tries(row, plan, step),
        turn.ground.dice,
        unknown=bool(step.unknown),
    )
    _note(turn, step, outcome)
    step.state = model.step_move(step.state, verdict.state)
    step.unknown = int(verdict.unknown)
    step.output = outcome.output or None
    step.error = outcome.error or None
    step.ended_at = turn.now
    step.lease_token = step.lease_owner = step.lease_seconds = None
    step.due_at = turn.now + verdict.delay
    if outcome.kind != "done":
        said = rows.REFUSED if outcome.refused else outcome.kind
        rows.archive(turn.conn, step, row.run, said)
    rows.save_step(turn.conn, step)
    if verdict.again:
        turn.notes.pending = True
    else:
        _go_on(turn, row, plan, step)


def skip(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    """The step's `when` is false: it counts as neither done nor failed."""
    step.state = model.step_move(step.state, "skipped")
    step.started_at = step.ended_at = turn.now
    rows.save_step(turn.conn, step)
    advance(turn, row, plan, step.position + 1)


def undo(turn: Turn, row: Execution, plan: WorkflowPlan, reason: Reason, error: str) -> None:
    """Turn the execution round. A call that is under way is waited for: its end decides whether it
    has to be compensated, and its target must not meet the undoing before the doing."""
    for step in rows.steps(turn.conn, "WHERE execution = ? AND phase = 'forward'", (row.id,)):
        if step.state in ("pending", "waiting"):
            _abandon(turn, step, reason)
    row.status = model.move(row.status, "compensating")
    row.reason, row.error = reason, error
    row.deadline, row.updated_at = None, turn.now
    rows.save_execution(turn.conn, row)
    undo_next(turn, row, plan)


def undo_next(turn: Turn, row: Execution, plan: WorkflowPlan) -> None:
    """Make the newest compensation that is missing pending, then on_fail, then end."""
    found = list(rows.steps(turn.conn, "WHERE execution = ?", (row.id,)))
    if any(step.state in _OPEN for step in found):
        return
    begun = {step.position for step in found if step.phase == "compensate"}
    forward = [step for step in found if step.phase == "forward"]
    for step in sorted(forward, key=lambda step: step.position, reverse=True):
        work = plan.steps[step.position].undo
        touched = step.state == "done" or step.unknown
        if work is not None and touched and step.position not in begun:
            _add_undo(turn, row, step.position, step.name, step.key, work)
            return
    if plan.on_fail is not None and ON_FAIL not in begun:
        key = model.step_key(row.id, "on_fail", row.run)
        _add_undo(turn, row, ON_FAIL, "on_fail", key, plan.on_fail)
        return
    undone = sum(s.phase == "compensate" and s.state == "done" and s.position >= 0 for s in found)
    lost = sum(s.phase == "compensate" and s.state != "done" for s in found)
    _end(turn, row, model.ending(row.reason, undone=undone, lost=lost))


def retry(turn: Turn, row: Execution, plan: WorkflowPlan) -> None:
    """Run an ended execution again, by a person's decision. What was undone is done anew under new
    keys; what stayed done stays; what failed or is doubtful keeps its key, so that a target
    which did take the first attempt knows it again."""
    found = list(rows.steps(turn.conn, "WHERE execution = ?", (row.id,)))
    undone = {s.position for s in found if s.phase == "compensate" and s.state == "done"}
    for step in found:
        if step.attempt:
            rows.archive(turn.conn, step, row.run, step.state)
        if step.phase == "compensate" or step.position in undone:
            rows.drop_step(turn.conn, step)
        elif step.state not in ("done", "skipped"):
            step.state = model.step_move(step.state, "skipped")
            rows.save_step(turn.conn, step)
    row.status = model.move(row.status, "running")
    row.run += 1
    row.reason, row.error = "", ""
    row.updated_at, row.deadline = turn.now, turn.now + plan.timeout
    turn.notes.timer = min(turn.notes.timer, row.deadline)
    rows.save_execution(turn.conn, row)
    advance(turn, row, plan, 0)


def undo_again(turn: Turn, row: Execution, plan: WorkflowPlan) -> None:
    """Try the compensations that were lost once more, with the same keys."""
    where = "WHERE execution = ? AND phase = 'compensate' AND state <> 'done'"
    for step in rows.steps(turn.conn, where, (row.id,)):
        rows.archive(turn.conn, step, row.run, step.state)
        rows.drop_step(turn.conn, step)
    row.run += 1
    row.status = model.move(row.status, "compensating")
    row.updated_at = turn.now
    rows.save_execution(turn.conn, row)
    undo_next(turn, row, plan)


def _go_on(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    if row.status == "compensating":
        undo_next(turn, row, plan)
    elif step.state == "done":
        advance(turn, row, plan, step.position + 1)
    else:
        undo(turn, row, plan, "failed", f"step {step.name} failed: {step.error}")


def _tries(row: Execution, plan: WorkflowPlan, step: Step) -> model.Tries:
    if step.phase == "compensate":
        return model.FOR_COMPENSATIONS
    tries = plan.steps[step.position].tries
    # Cancelled or out of time while this attempt ran: it was the last one.
    return msgspec.structs.replace(tries, times=0) if row.status == "compensating" else tries


def _forward(row: Execution, position: int, plan: StepPlan, now: float) -> Step:
    return _row(
        row,
        "forward",
        position,
        plan.name,
        plan.work.kind,
        now,
        model.step_key(row.id, plan.name, row.run),
        plan.undo.says if plan.undo else "",
    )


def _row(
    row: Execution,
    phase: Phase,
    position: int,
    name: str,
    kind: Kind,
    now: float,
    key: str,
    compensation: str = "",
) -> Step:
    return Step(
        execution=row.id,
        phase=phase,
        position=position,
        name=name,
        workflow=row.workflow,
        kind=kind,
        state="pending",
        attempt=0,
        due_at=now,
        key=key,
        compensation=compensation,
    )


def _add_undo(
    turn: Turn, row: Execution, position: int, name: str, key: str, work: WorkPlan
) -> None:
    rows.add_step(turn.conn, _row(row, "compensate", position, name, work.kind, turn.now, key))
    turn.notes.pending = True


def _abandon(turn: Turn, step: Step, reason: Reason) -> None:
    """A step that nobody is working on here: an outside worker may still be at it."""
    waited = step.state == "waiting"
    state: StepState = "skipped" if step.attempt == 0 and not waited else "failed"
    if waited or step.unknown:
        state, step.unknown = "unknown", 1
    if waited:
        turn.notes.outbox |= rows.drop_calls(turn.conn, step)
    step.state = model.step_move(step.state, state)
    step.error = step.error or {"timeout": "the workflow ran out of time"}.get(reason, reason)
    step.ended_at = turn.now
    rows.save_step(turn.conn, step)


def _note(turn: Turn, step: Step, outcome: Outcome) -> None:
    turn.notes.attempted.append(
        Attempted(
            workflow=step.workflow,
            execution=step.execution,
            step=step.name,
            phase=step.phase,
            attempt=step.attempt,
            outcome=outcome.kind,
            error=outcome.error,
            took=max(0.0, turn.now - (step.started_at or turn.now)),
        )
    )


def _end(turn: Turn, row: Execution, status: model.ExecutionStatus) -> None:
    row.status = model.move(row.status, status)
    row.deadline, row.updated_at = None, turn.now
    rows.save_execution(turn.conn, row)
    took = max(0.0, turn.now - row.created_at)
    turn.notes.ended.append(Ended(row.workflow, row.id, status, row.error, took))
