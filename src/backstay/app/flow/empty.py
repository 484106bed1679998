"""`on_empty`: what follows when there is nothing to do: a list to walk has no items, `data` to send
is empty, a query finds no rows, a call or a task gave nothing.

`skip` leaves the steps behind it out: the workflow completes, `on_complete` included. That it does
is read from the rows of the stage that ended: nothing besides the step's own commit remembers it.
"""

from backstay.app.errors import UNFIT
from backstay.app.flow import rows
from backstay.app.flow.guarded import Refused, inside, scope_at
from backstay.app.flow.model import Outcome
from backstay.app.flow.plans import EmptyPlan, WorkflowPlan
from backstay.app.flow.rows import WHOLE, Execution
from backstay.app.flow.rows import Step as StepRow
from backstay.app.flow.turn import Turn
from backstay.app.flow.work import compile_said, message_of
from backstay.app.plan.acts import Offer
from backstay.app.plan.expressions import compile_expr
from backstay.core.errors import Fault
from backstay.lang.program import Act, Program, Step

_NOTHING = ("[]", "null", '{"changed":0}')
_SAID = "it found nothing"


def compile_empty(program: Program, step: Step, offer: Offer, where: str) -> EmptyPlan | None:
    """Raises APP005 for what is no answer to an empty list."""
    said = step.on_empty
    if said is None:
        return None
    data = dict(step.options).get("data")
    before = compile_expr(program, data) if data is not None else None
    name = said.name if isinstance(said, Act) else ""
    if name == "skip":
        return EmptyPlan(before=before, leaves=True)
    named = compile_said(program, said, offer, where)
    if name == "rollback":
        return EmptyPlan(before=before, message=message_of(program, None, _SAID))
    if named.message is None and named.deed is None:
        problem = f"'{name}' is no answer to an empty list"
        instead = 'write skip, reject("…"), rollback, emit(E), start(W) or log_warning("…")'
        raise Fault(UNFIT, where=where, problem=problem, instead=instead)
    return EmptyPlan(before=before, deed=named.deed, message=named.message)


def nothing(text: str) -> bool:
    """Whether a step gave what a list without items gives, a query without rows, or a change that
    met none."""
    return text in _NOTHING


def judged(
    turn: Turn, row: Execution, plan: WorkflowPlan, step: StepRow, outcome: Outcome
) -> Outcome:
    """The outcome of a step that worked, by what it says about finding nothing."""
    said = plan.steps[step.position].on_empty if step.phase == "forward" else None
    if said is None or outcome.kind != "done" or not _whole(plan, step):
        return outcome
    if not nothing(outcome.output):
        return outcome
    unit = turn.unit(row.program, row.id)
    deed, message = said.deed, said.message
    try:
        scope = scope_at(turn, row, plan, step)
        if deed is not None:
            inside(turn, lambda: deed(unit, scope))
        if message is not None:
            error = inside(turn, lambda: message(unit, scope))
            # A call that gave nothing was made all the same, and may have to be undone.
            made = step.kind in ("call", "task") and step.input is not None
            return Outcome("unknown" if made else "failed", error=error, final=True)
    except Refused as failed:
        return Outcome("unknown", error=f"on_empty: {failed.text}", final=True)
    return outcome


def left_out(turn: Turn, row: Execution, plan: WorkflowPlan, stage: int) -> bool:
    """Whether a step of this stage, which has ended, leaves the stages behind it out."""
    first, last = plan.stages[stage]
    for place in range(first, last + 1):
        said = plan.steps[place].on_empty
        if said is None or not said.leaves:
            continue
        step = rows.step(turn.conn, row.id, "forward", place)
        if step is not None and step.state == "done" and nothing(step.output or ""):
            return True
    return False


def _whole(plan: WorkflowPlan, step: StepRow) -> bool:
    """Of a step for each item the list counts, not what one item gave."""
    return step.item == WHOLE and (plan.steps[step.position].each is None or step.kind == "each")
