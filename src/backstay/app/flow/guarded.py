"""Pieces of a program run inside a turn: what they refuse is the step's failure, what the store
cannot do is everybody's."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from backstay.app.flow import rows
from backstay.app.flow.plans import StepPlan, WorkflowPlan
from backstay.app.flow.rows import WHOLE, Execution, Step
from backstay.app.flow.turn import Turn
from backstay.app.store.session import RowTrouble, StoreTrouble
from backstay.core.errors import Fault
from backstay.lang.query.errors import QueryError

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - an outcome on its way up, not an error of ours
    """The program's own work failed; it was rolled back. `text` is for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def inside(turn: Turn, work: Callable[[], T]) -> T:
    """Run a piece of the program in a savepoint. Raises Refused with the program's failure."""
    try:
        with turn.conn.savepoint():
            made = work()
    except QueryError as refused:
        raise Refused(refused.said) from refused
    except Fault as refused:
        raise Refused(refused.message) from refused
    except StoreTrouble:
        raise
    except RowTrouble as trouble:
        raise Refused(f"database: {trouble}") from trouble
    except Exception as bad:
        raise Refused(f"{type(bad).__name__}: {bad}") from bad
    return made


def scope_of(turn: Turn, row: Execution, plan: WorkflowPlan) -> dict[str, object]:
    """Inputs by name, `steps` with what finished steps gave, and the names they gave it."""
    scope: dict[str, object] = dict(plan.input.parse(row.input))
    given = rows.outputs(turn.conn, row.id, len(plan.steps))
    scope["steps"] = {own.name: None for own in plan.steps} | given
    for name, step in plan.named:
        scope[name] = given.get(step)
    return scope


def scope_at(turn: Turn, row: Execution, plan: WorkflowPlan, step: Step) -> dict[str, object]:
    """The scope of a step; that of one of many knows its item and its place."""
    scope = scope_of(turn, row, plan)
    if step.item == WHOLE:
        return scope
    own = plan.steps[step.position]
    return {**scope, **item_scope(turn, row, own, step)}


def item_scope(turn: Turn, row: Execution, own: StepPlan, step: Step) -> Mapping[str, object]:
    """`item`, `index` and the name that `as` gave, from the list that the for_each keeps."""
    if own.each is None:
        raise LookupError(f"{own.name} walks no list")
    item = own.each.item(turn.items_of(row, step.position), step.item)
    return {name: step.item if name == "index" else item for name in own.each.names}
