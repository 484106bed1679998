"""How an execution is turned round: what is under way is waited for, what was done or may have been
is undone, the last to end first; then on_fail, then the end, or the whole once more.
"""

from backstay.app.flow import items, job_runs, machine, model, order, rows
from backstay.app.flow.model import ON_FAIL, Reason, StepState
from backstay.app.flow.plans import WorkflowPlan
from backstay.app.flow.rows import WHOLE, Execution, Step
from backstay.app.flow.turn import Ended, Turn
from backstay.app.flow.work import WorkPlan


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


def undo_next(turn: Turn, row: Execution, plan: WorkflowPlan, after: Step | None = None) -> None:
    """Make the newest compensation that is missing pending, then on_fail, then end. `after` is the
    step, or the compensation, that has just ended."""
    undone = after is not None and after.phase == "compensate"
    # Beside a compensation nothing is under way: the first one waited for that.
    if not undone and rows.anything_open(turn.conn, row.id):
        return
    found = order.missing(turn, row, plan, after if undone else None)
    if found is not None:
        _add(turn, _compensation(row, *found, turn.now))
        return
    done, lost = rows.undone(turn.conn, row.id)
    if _once_more(row, plan, lost):
        again(turn, row, plan, plan.again.backoff.delay(row.run, turn.ground.dice))
        return
    on_fail = rows.step(turn.conn, row.id, "compensate", ON_FAIL)
    if plan.on_fail is not None and on_fail is None:
        _add(turn, _on_fail(row, plan.on_fail, turn.now))
        return
    end(turn, row, model.ending(row.reason, undone=done, lost=lost))


def _once_more(row: Execution, plan: WorkflowPlan, lost: int) -> bool:
    """Whether the workflow's own retry runs it again; never over an effect that stayed."""
    return row.reason == "failed" and not lost and row.run < plan.again.times


def retry(turn: Turn, row: Execution, plan: WorkflowPlan) -> None:
    """Run an ended execution again, by a person's decision."""
    again(turn, row, plan, 0.0)


def again(turn: Turn, row: Execution, plan: WorkflowPlan, delay: float) -> None:
    """Run the execution again after `delay` seconds. What was undone is done anew under new keys;
    what stayed done stays; what failed or is doubtful keeps its key, so that a target which did
    take the first attempt knows it again."""
    found = list(rows.steps(turn.conn, "WHERE execution = ?", (row.id,)))
    undone = {(s.position, s.item) for s in found if s.phase == "compensate" and s.state == "done"}
    emptied = {position for position, item in undone if item != WHOLE}
    for step in found:
        if step.attempt:
            rows.archive(turn.conn, step, row.run, step.state)
        stale = step.item == WHOLE and step.kind == "each" and step.position in emptied
        if step.phase == "compensate" or (step.position, step.item) in undone or stale:
            _drop(turn, step)
        elif step.state != "done":
            _set_aside(turn, step)
    row.status = model.move(row.status, "running")
    row.run += 1
    row.reason, row.error = "", ""
    begins = turn.now + delay
    row.updated_at, row.deadline = turn.now, begins + plan.timeout
    turn.notes.timer = min(turn.notes.timer, row.deadline)
    rows.save_execution(turn.conn, row)
    job_runs.follow(turn, row)
    machine.advance(turn, row, plan, 0, begins)


def _set_aside(turn: Turn, step: Step) -> None:
    if step.state != "skipped":
        step.state = model.step_move(step.state, "skipped")
    if step.item != WHOLE:
        step.attempt = 0  # what tells it from an item that the new run skips by its `when`
    rows.save_step(turn.conn, step)


def _drop(turn: Turn, step: Step) -> None:
    """Forget a row of an earlier run; the list of a for_each whose items were not all undone is
    what their places mean, so that row is only opened again."""
    if step.kind == "each" and items.last(turn.conn, step.execution, step.position) != WHOLE:
        step.state = "skipped"
        step.output = None
        rows.save_step(turn.conn, step)
    else:
        rows.drop_step(turn.conn, step)


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


def end(turn: Turn, row: Execution, status: model.ExecutionStatus) -> None:
    """The execution has ended."""
    row.status = model.move(row.status, status)
    row.deadline, row.updated_at = None, turn.now
    rows.save_execution(turn.conn, row)
    took = max(0.0, turn.now - row.created_at)
    job_runs.follow(turn, row)
    turn.notes.ended.append(Ended(row.workflow, row.id, status, row.error, took))


def _compensation(row: Execution, step: Step, work: WorkPlan, now: float) -> Step:
    return _row(row, step.position, step.item, step.name, work, now, step.key)


def _on_fail(row: Execution, work: WorkPlan, now: float) -> Step:
    key = model.step_key(row.id, "on_fail", row.run)
    return _row(row, ON_FAIL, WHOLE, "on_fail", work, now, key)


def _row(
    row: Execution, position: int, item: int, name: str, work: WorkPlan, now: float, key: str
) -> Step:
    return Step(
        execution=row.id,
        phase="compensate",
        position=position,
        item=item,
        name=name,
        workflow=row.workflow,
        kind=work.kind,
        state="pending",
        attempt=0,
        due_at=now,
        key=key,
    )


def _add(turn: Turn, step: Step) -> None:
    rows.add_step(turn.conn, step)
    turn.notes.pending = True


def _abandon(turn: Turn, step: Step, reason: Reason) -> None:
    """A step that nobody is working on here: an outside worker may still be at it."""
    waited = step.state == "waiting" and step.kind == "task"
    begun = step.attempt > 0 or waited
    state: StepState = "failed" if begun else "skipped"
    if waited or step.unknown:
        state, step.unknown = "unknown", 1
    if waited:
        turn.notes.outbox |= rows.drop_calls(turn.conn, step)
    step.state = model.step_move(step.state, state)
    step.error = step.error or {"timeout": "the workflow ran out of time"}.get(reason, reason)
    step.ended_at = turn.now
    rows.save_step(turn.conn, step)
