"""What a person does with a single execution beyond cancel, retry and compensate: a signal is
brought to it, or it is moved to another program. Functions of an open transaction."""

from collections.abc import Mapping

import msgspec

from backstay.app.flow import rows, signals
from backstay.app.flow.errors import (
    BAD_SIGNAL,
    CANNOT_MIGRATE,
    PROGRAM_MISSING,
    UNKNOWN_EXECUTION,
    UNKNOWN_SIGNAL,
    WRONG_STATE,
)
from backstay.app.flow.model import LIVE
from backstay.app.flow.plans import WorkflowPlan
from backstay.app.flow.turn import Turn
from backstay.core.errors import Fault


def signal(turn: Turn, id: str, name: str, value: object) -> None:
    """Bring a signal to an execution, which may wait for it already or later. Raises APP202 for an
    unknown execution, APP203 for one that has ended, APP216 for a signal that its workflow does not
    know, APP220 for a value of another type."""
    row = rows.execution(turn.conn, id)
    if row is None:
        raise Fault(UNKNOWN_EXECUTION, id=id)
    plan = turn.plan(row)
    if plan is None:
        raise Fault(PROGRAM_MISSING, program=row.program, executions=1)
    if row.status not in LIVE:
        reason = "it has ended, and nothing waits for a signal any more"
        raise Fault(WRONG_STATE, command="signal", id=id, status=row.status, reason=reason)
    _check(plan, name, value)
    signals.bring(turn.conn, turn.ground.ids, id, name, _text(value), turn.now)
    turn.notes.pending = True


def _check(plan: WorkflowPlan, name: str, value: object) -> None:
    parse = plan.signals.get(name)
    if parse is None and name not in plan.awaits:
        known = ", ".join((*plan.signals, *sorted(plan.awaits))) or "none"
        raise Fault(UNKNOWN_SIGNAL, workflow=plan.name, name=name, known=known)
    if parse is not None:
        try:
            parse(value)
        except ValueError as bad:
            raise Fault(BAD_SIGNAL, name=name, reason=str(bad)) from bad


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def migrate(turn: Turn, id: str, to: str) -> None:
    """Let an execution go on by another program. Raises APP219 unless its workflow is there and
    every step that has begun is the same in both."""
    row = rows.execution(turn.conn, id)
    if row is None:
        raise Fault(UNKNOWN_EXECUTION, id=id)
    new, old = turn.ground.catalog.workflow(to, row.workflow), turn.plan(row)
    if new is None:
        reason = f"there is no workflow {row.workflow} in it, or the program is not stored"
        raise Fault(CANNOT_MIGRATE, id=id, to=to, reason=reason)
    if row.status not in LIVE:
        reason = f"it has ended: it is {row.status}"
        raise Fault(CANNOT_MIGRATE, id=id, to=to, reason=reason)
    begun = {step.position for step in rows.steps(turn.conn, "WHERE execution = ?", (id,))}
    reason = _differs(old, new, max(begun, default=-1), msgspec.json.decode(row.input))
    if reason:
        raise Fault(CANNOT_MIGRATE, id=id, to=to, reason=reason)
    row.program, row.updated_at = to, turn.now
    rows.pin(turn.conn, row)
    turn.notes.pending = True


def _differs(
    old: WorkflowPlan | None, new: WorkflowPlan, last: int, given: Mapping[str, object]
) -> str:
    """Why the new plan does not fit what has begun; empty when it does. A stage that has begun must
    be whole: a step beside others that are under way would never get its turn."""
    for field in new.input.fields:
        if field.required and field.name not in given:
            return f"its input has no '{field.name}', which the workflow requires there"
    if last < 0:
        return ""
    if old is None:
        return "its own program is not stored, so that its steps cannot be compared"
    if last >= len(new.steps):
        return f"step {old.steps[last].name} has begun, and is not in it"
    stage = old.steps[last].stage
    if old.stages[: stage + 1] != new.stages[: stage + 1]:
        return "steps were added or taken away before the place where it stands"
    for before, after in zip(old.steps, new.steps[: old.stages[stage][1] + 1], strict=False):
        same = (before.name, before.work.says, before.each is None)
        if same != (after.name, after.work.says, after.each is None):
            return f"step {before.name} ({before.work.says}) is {after.name} ({after.work.says})"
    return ""
