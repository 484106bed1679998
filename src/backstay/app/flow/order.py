"""In which order the steps of an execution are undone: the last stage first, in a stage the step
that ended last; of what has, or may have, an effect.

Once nothing is under way the order cannot change any more. It is made when the execution turns
round and remembered, so that a compensation costs the same in a list of ten items and of ten
thousand. It is only a memory: a process without it makes it again, and every step is looked at in
its row before it is undone.
"""

from backstay.app.flow import rows
from backstay.app.flow.model import Order
from backstay.app.flow.plans import WorkflowPlan
from backstay.app.flow.rows import Execution, Step
from backstay.app.flow.turn import Orders, Turn
from backstay.app.flow.work import WorkPlan

REMEMBERED = 64
"""Executions whose order is kept in memory."""


def missing(
    turn: Turn, row: Execution, plan: WorkflowPlan, after: Step | None
) -> tuple[Step, WorkPlan] | None:
    """The next step to undo, with the work that undoes it; None when all are undone or given up.
    `after` is the compensation that has just ended, None where an execution turns round."""
    orders = turn.ground.orders
    known = orders.get((row.id, row.run)) if after is not None else None
    if known is None:
        # Turning round always makes it anew: what was remembered may be of a commit that failed.
        known = _remember(orders, (row.id, row.run), _ordered(turn, row, plan))
    start = known.index.get((after.position, after.item), len(known.places)) + 1 if after else 0
    for position, item in known.places[start:]:
        if rows.step(turn.conn, row.id, "compensate", position, item) is not None:
            continue
        step = rows.step(turn.conn, row.id, "forward", position, item)
        work = plan.steps[position].undo
        if step is not None and work is not None and (step.state == "done" or step.unknown):
            return step, work
    return None


def _ordered(turn: Turn, row: Execution, plan: WorkflowPlan) -> Order:
    found = rows.touched(turn.conn, row.id)
    aged = [
        (plan.steps[position].stage, ended or 0.0, position, item)
        for position, item, ended in found
        if plan.steps[position].undo is not None
    ]
    aged.sort(reverse=True)
    places = tuple((position, item) for _, _, position, item in aged)
    return Order(places, {place: at for at, place in enumerate(places)})


def _remember(orders: Orders, key: tuple[str, int], made: Order) -> Order:
    orders.pop(key, None)
    orders[key] = made
    while len(orders) > REMEMBERED:
        del orders[next(iter(orders))]
    return made
