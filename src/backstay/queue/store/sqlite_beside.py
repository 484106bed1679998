"""Operations of the SQLite engine on what is kept beside tasks: policies, the calendar,
subscriptions, callbacks."""

from collections.abc import Callable
from typing import Any

import msgspec

from backstay.queue.model import ANY_TENANT, Delivery, Periodic, Subscription, Task
from backstay.queue.operations import (
    Create,
    Fire,
    SetPeriodic,
    SetPolicy,
    SettleDelivery,
    Subscribe,
    TakeDeliveries,
    TakeNotices,
)
from backstay.queue.store.sql import SQL
from backstay.queue.store.sqlite_rows import Queues
from backstay.queue.store.sqlite_step import Step

# As many waiting claims are woken at once when a bound is lifted.
_WOKEN = 10_000


def body(value: msgspec.Struct) -> str:
    """As the small tables keep it."""
    return msgspec.json.encode(value).decode()


# --- policies --------------------------------------------------------------------------------


def set_policy(step: Step, op: SetPolicy) -> int:
    """What the former policy held back is looked at anew."""
    policy = op.policy
    name = (policy.tenant, policy.command)
    if step.bounds.replace(policy):
        step.db.execute(SQL["set_policy"], (*name, body(policy)))
    else:
        step.db.execute(SQL["delete_policy"], name)
    for (tenant, command), queue in list(step.queues.numbers.items()):
        if command == policy.command and policy.tenant in (tenant, ANY_TENANT):
            step.bounds.forget(queue)
            step.db.execute(SQL["bring_all_back"], (queue,))
            ready = step.db.execute(SQL["count_ready_up_to"], (queue, _WOKEN)).get
            if ready:
                step.has_work(queue, tenant, command, ready)
    return 1


# --- the calendar ----------------------------------------------------------------------------


def set_periodic(step: Step, op: SetPeriodic) -> int:
    periodic = op.periodic
    name = (periodic.tenant, periodic.name)
    step.periodics = True
    if op.remove:
        step.db.execute(SQL["delete_periodic"], name)
        return step.db.changes()
    step.db.execute(SQL["set_periodic"], (*name, body(periodic)))
    return 1


def fire(step: Step, op: Fire, create: Callable[[Step, Create], Task]) -> Task | int:
    """The task, if nobody came before. One whose task is refused has not fired."""
    found = step.db.execute(SQL["periodic"], (op.tenant, op.name)).get
    if found is None:
        return 0
    periodic = msgspec.json.decode(found, type=Periodic)
    if periodic.next_at != op.at:
        return 0
    made = create(step, op.task) if op.task is not None else 1
    last_at = periodic.last_at if op.task is None else op.at
    moved = msgspec.structs.replace(periodic, next_at=op.next_at, last_at=last_at)
    step.db.execute(SQL["set_periodic"], (op.tenant, op.name, body(moved)))
    return made


# --- subscriptions ---------------------------------------------------------------------------


def subscribe(step: Step, op: Subscribe) -> int:
    subscription = op.subscription
    name = (subscription.tenant, subscription.id)
    if op.remove:
        step.db.execute(SQL["delete_subscription"], name)
        return step.db.changes()
    step.db.execute(SQL["set_subscription"], (*name, body(subscription)))
    return 1


def take_notices(step: Step, op: TakeNotices) -> list[Subscription]:
    rows: list[Any] = step.db.execute(SQL["subscriptions_of"], (op.tenant,)).fetchall()
    told = []
    for (text,) in rows:
        each = msgspec.json.decode(text, type=Subscription)
        name = (each.tenant, each.id)
        if each.commands and op.command not in each.commands:
            continue
        if each.expires_at <= step.now:
            step.db.execute(SQL["delete_subscription"], name)
        # One that was told "in the future" was told before the wall clock was set back.
        elif not each.notified_at <= step.now < each.notified_at + each.min_interval:
            marked = msgspec.structs.replace(each, notified_at=step.now)
            step.db.execute(SQL["set_subscription"], (*name, body(marked)))
            told.append(marked)
    return told


# --- callbacks -------------------------------------------------------------------------------


def read_delivery(queues: Queues, values: tuple[Any, ...]) -> Delivery:
    """From the columns of a delivery. Its id tells the task and which of its callbacks it is."""
    number, queue, task_id, url, due_at, attempts, error, given_up = values
    return Delivery(
        id=f"{task_id}.{number}",
        tenant=queues.names[queue][0],
        task_id=task_id,
        url=url,
        due_at=due_at,
        attempts=attempts,
        error=error,
        given_up=bool(given_up),
    )


def take_deliveries(step: Step, op: TakeDeliveries) -> list[Delivery]:
    rows = step.db.execute(SQL["due_deliveries"], (step.now, op.limit)).fetchall()
    until = step.now + op.seconds
    taken = []
    for values in rows:
        step.db.execute(SQL["put_off_delivery"], (until, values[0]))
        due = read_delivery(step.queues, values)
        taken.append(msgspec.structs.replace(due, due_at=until))
    return taken


def settle_delivery(step: Step, op: SettleDelivery) -> int:
    kept = _delivery(step, op.id)
    if kept is None:
        return 0
    number = kept.id.rpartition(".")[2]
    if op.due_at is None and not op.error:
        step.db.execute(SQL["delete_delivery"], (number,))
        return 1
    # A time for one that was given up is a person's wish: its tries are forgotten.
    attempts = 0 if kept.given_up and op.due_at is not None else kept.attempts + 1
    due_at = kept.due_at if op.due_at is None else op.due_at
    step.db.execute(
        SQL["settle_delivery"], (due_at, attempts, op.error, int(op.due_at is None), number)
    )
    return 1


def _delivery(step: Step, id: str) -> Delivery | None:
    """The callback with that id, if it is there."""
    number = id.rpartition(".")[2]
    values = step.db.execute(SQL["delivery"], (number,)).fetchone()
    found = read_delivery(step.queues, values) if values else None
    return found if found is not None and found.id == id else None
