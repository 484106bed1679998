"""How an execution moves: forward stage by stage, and backward when it has to be undone.

Every function runs inside one write transaction (a Turn). Going forward the open step rows are
those of one stage; going backward there is at most one compensation.
"""

import msgspec

from backstay.app.flow import dead_letters, empty, items, model, rows, undoing
from backstay.app.flow.guarded import Refused, inside, scope_at
from backstay.app.flow.model import Outcome
from backstay.app.flow.plans import StepPlan, WorkflowPlan
from backstay.app.flow.rows import WHOLE, Execution, Step
from backstay.app.flow.turn import Attempted, Turn


def begin(
    plan: WorkflowPlan, id: str, program: str, text: str, now: float
) -> tuple[Execution, list[Step]]:
    """The rows of a new execution; no steps when the workflow has none."""
    row = Execution(id, plan.name, program, "pending", "", 1, text, "", now, now, None)
    if not plan.stages:
        row.status = "completed"
        return row, []
    first, last = plan.stages[0]
    return row, [forward(row, at, plan.steps[at], now) for at in range(first, last + 1)]


def advance(
    turn: Turn, row: Execution, plan: WorkflowPlan, stage: int, due_at: float | None = None
) -> None:
    """Make the steps of `stage`, or of the next one that has any to run, pending, or complete the
    execution. `due_at` is when they may run, now if not given.

    In a run that follows another, steps that were done and not undone stay done.
    """
    when = turn.now if due_at is None else due_at
    while stage < len(plan.stages):
        if 0 < stage < plan.closing and empty.left_out(turn, row, plan, stage - 1):
            stage = plan.closing
            continue
        first, last = plan.stages[stage]
        begun = [_open(turn, row, plan, place, when) for place in range(first, last + 1)]
        if any(begun):
            turn.notes.pending = True
            return
        stage += 1
    undoing.end(turn, row, "completed")


def _open(turn: Turn, row: Execution, plan: WorkflowPlan, place: int, when: float) -> bool:
    ahead = rows.step(turn.conn, row.id, "forward", place) if row.run > 1 else None
    if ahead is None:
        rows.add_step(turn.conn, forward(row, place, plan.steps[place], when))
        return True
    if ahead.state == "done":
        return False
    reopen(turn, ahead, when)
    return True


def reopen(turn: Turn, step: Step, when: float) -> None:
    """A step that an earlier run set aside gets its turn."""
    step.state = model.step_move(step.state, "pending")
    step.attempt, step.due_at, step.error = 0, when, None
    if not step.unknown and not (step.kind == "each" and _walked(turn, step)):
        step.input = None  # computed anew; a doubtful attempt has to send the same again
    rows.save_step(turn.conn, step)


def _walked(turn: Turn, step: Step) -> bool:
    """Whether items of a list are done: then it stays the list that it is."""
    return items.last(turn.conn, step.execution, step.position) != WHOLE


def settle(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step, outcome: Outcome) -> None:
    """An attempt of `step` has ended: store what it means, and what comes next."""
    outcome = empty.judged(turn, row, plan, step, outcome)
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
    if step.kind == "call" and step.state in ("failed", "unknown"):
        dead_letters.of_step(turn, row, plan, step)
    if verdict.again:
        turn.notes.pending = True
    else:
        _go_on(turn, row, plan, step)


def skip(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    """The step's `when` is false: it counts as neither done nor failed."""
    step.state = model.step_move(step.state, "skipped")
    step.started_at = step.ended_at = turn.now
    rows.save_step(turn.conn, step)
    _ended(turn, row, plan, step)


def _go_on(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    if row.status == "compensating":
        undoing.undo_next(turn, row, plan, step)
        return
    own = plan.steps[step.position]
    if step.state == "done":
        # Of a for_each it is each item that succeeds.
        trouble = _then(turn, row, plan, step) if own.on_success and step.kind != "each" else ""
        if not trouble:
            _ended(turn, row, plan, step)
            return
        said = f"after step {step.name}: {trouble}"
    else:
        spared, said = _reacted(turn, row, plan, step)
        if spared:
            _ended(turn, row, plan, step)
            return
    undoing.undo(turn, row, plan, "failed", said)


def _then(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> str:
    """Do what the step says about its success; why that could not be done."""
    deed = plan.steps[step.position].on_success
    try:
        if deed is not None:
            scope = scope_at(turn, row, plan, step)
            inside(turn, lambda: deed(turn.unit(row.program, row.id), scope))
    except Refused as failed:
        return failed.text
    return ""


def _reacted(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> tuple[bool, str]:
    """Whether the workflow goes on although the step failed, and what its error is if not."""
    said = f"step {step.name} failed: {step.error}"
    reaction = plan.steps[step.position].on_fail
    if reaction is None:
        return False, said
    try:
        scope = scope_at(turn, row, plan, step) | {"error": step.error}
        unit = turn.unit(row.program, row.id)
        deed, message = reaction.deed, reaction.message
        if deed is not None:
            inside(turn, lambda: deed(unit, scope))
        if message is not None:
            said = inside(turn, lambda: message(unit, scope))
    except Refused as failed:
        return False, f"{said}; and on_fail: {failed.text}"
    return reaction.goes_on, said


def _ended(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> None:
    """A step has ended and the workflow goes on: the next item, or the next stage."""
    own = plan.steps[step.position]
    if step.item != WHOLE:
        _more(turn, row, plan, step.position, 1, after=step.item)
        return
    first, last = plan.stages[own.stage]
    if first < last and rows.any_open(turn.conn, row.id, first, last):
        return
    advance(turn, row, plan, own.stage + 1)


def first_items(turn: Turn, row: Execution, plan: WorkflowPlan, position: int) -> None:
    """Begin as many items of a for_each as may be under way, or end it if there are none."""
    own = plan.steps[position]
    if row.run > 1:
        for place in items.holes(turn.conn, row.id, position):
            missing = forward(row, position, own, turn.now, place)
            missing.state = "skipped"
            rows.add_step(turn.conn, missing)
    _more(turn, row, plan, position, own.each.width if own.each else 0, after=WHOLE)


def _more(
    turn: Turn, row: Execution, plan: WorkflowPlan, position: int, room: int, *, after: int
) -> None:
    """Begin up to `room` more items, or end the for_each once all of them have ended. What was
    begun in this run lies before what was not, so the next one lies behind the item `after`."""
    own = plan.steps[position]
    count = own.each.count(turn.items_of(row, position)) if own.each is not None else 0
    for _ in range(room):
        known = items.set_aside(turn.conn, row.id, position, after) if row.run > 1 else None
        place = items.last(turn.conn, row.id, position) + 1
        if known is not None:
            reopen(turn, known, turn.now)
        elif place < count:
            rows.add_step(turn.conn, forward(row, position, own, turn.now, place))
        else:
            break
        turn.notes.pending = True
    else:
        return
    whole = rows.step(turn.conn, row.id, "forward", position)
    if whole is not None and not items.any_open(turn.conn, row.id, position):
        output = items.given(turn.conn, row.id, position, count)
        settle(turn, row, plan, whole, Outcome("done", output=output))


def _tries(row: Execution, plan: WorkflowPlan, step: Step) -> model.Tries:
    if step.phase == "compensate":
        return model.FOR_COMPENSATIONS
    tries = plan.steps[step.position].tries
    # Cancelled or out of time while this attempt ran: it was the last one.
    return msgspec.structs.replace(tries, times=0) if row.status == "compensating" else tries


def forward(row: Execution, position: int, plan: StepPlan, now: float, item: int = WHOLE) -> Step:
    """The row of a step that waits for its turn, or of one item of it."""
    whole = plan.each is not None and item == WHOLE
    return Step(
        execution=row.id,
        phase="forward",
        position=position,
        item=item,
        name=plan.name,
        workflow=row.workflow,
        kind="each" if whole else plan.work.kind,
        state="pending",
        attempt=0,
        due_at=now,
        key=model.step_key(row.id, plan.name, row.run, item),
        compensation=plan.undo.says if plan.undo and not whole else "",
    )


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
