"""What an engine is asked to do, and its answers: operations on tasks and on what is kept beside
them. Frozen and free of I/O; each engine does them in its own way.
"""

from collections.abc import Mapping, Sequence

import msgspec

from backstay.core.errors import Fault
from backstay.queue.model import Delivery, Periodic, Policy, State, Subscription, Task

# --- on tasks --------------------------------------------------------------------------------


class Create(msgspec.Struct, frozen=True, tag="create"):
    """`due_at` 0 or past means ready at once. The same (tenant, command, idempotency_key) gives the
    first task back; with another `fingerprint` it is refused (QUEUE005). An engine may extend `id`
    so that the place of the task can be read from it (decision 4)."""

    id: str
    tenant: str
    command: str
    payload: str
    priority: int = 0
    max_attempts: int = 5
    due_at: float = 0.0
    idempotency_key: str = ""
    fingerprint: str = ""
    reply_to: str = ""
    webhook: str = ""
    tags: tuple[str, ...] = ()
    key: str = ""
    trace: str = ""


class Claim(msgspec.Struct, frozen=True, tag="claim"):
    """Up to `count` tasks for `worker`. `tenants` empty serves all, by deficit round robin.
    `commands` is in order of preference; empty rotates over all that have work. Paused queues and
    those at a bound of their policy have no work. Nothing to claim is no failure: the result is an
    empty list. `shown`: an engine that can may answer with `Leased` in place of tasks."""

    worker: str
    tokens: tuple[str, ...]
    lease_seconds: float
    commands: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    count: int = 1
    shown: bool = False


class Extend(msgspec.Struct, frozen=True, tag="extend"):
    """A heartbeat. `progress` (JSON text) replaces what was last told; empty keeps it."""

    tenant: str
    id: str
    worker: str
    token: str
    seconds: float
    progress: str = ""


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """A result. `ok` false is FAILED: terminal, and no dead letter (decision 5)."""

    tenant: str
    id: str
    worker: str
    token: str
    ok: bool
    result: str = ""
    error: str = ""


class Nack(msgspec.Struct, frozen=True, tag="nack"):
    """The attempt failed. `delay` None means the policy's; at the last attempt it goes dead."""

    tenant: str
    id: str
    worker: str
    token: str
    reason: str
    delay: float | None = None


class Abandon(msgspec.Struct, frozen=True, tag="abandon"):
    """Handed back unworked: gives the delivery back; ready again after 1 s or more (decision 1)."""

    tenant: str
    id: str
    worker: str
    token: str


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    tenant: str
    id: str
    reason: str = ""


class Move(msgspec.Struct, frozen=True, tag="move"):
    """Time passes: due delayed tasks become ready, ended leases are retried or go dead, finished
    tasks past retention go. At most `limit` rows of each; the result is how many moved."""

    limit: int = 500


class Redrive(msgspec.Struct, frozen=True, tag="redrive"):
    """Once more from the beginning, its tries uncounted. `due_at` spreads many over time."""

    tenant: str
    id: str
    due_at: float = 0.0


class Reschedule(msgspec.Struct, frozen=True, tag="reschedule"):
    """A waiting task becomes due at `due_at`; 0 or past: now. Its tries stay counted."""

    tenant: str
    id: str
    due_at: float = 0.0


class Purge(msgspec.Struct, frozen=True, tag="purge"):
    """Delete ended tasks of a command (empty: all) that ended before `before`, with their results,
    histories and idempotency entries. `states` empty means every ended state."""

    tenant: str
    command: str
    before: float
    limit: int = 1000
    states: tuple[State, ...] = ()


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """The reader of `reply_to` has stored these outcomes; they are not shown to it again."""

    tenant: str
    reply_to: str
    ids: tuple[str, ...]


class FinishAll(msgspec.Struct, frozen=True, tag="finish_all"):
    """Results of one worker of one tenant, each judged as it would be alone, in their order."""

    items: tuple[Finish, ...]


class Leased(msgspec.Struct, frozen=True):
    """`count` tasks of one queue that a claim leased: their JSON objects as the worker is shown
    them (`api.wire.TaskView`), with commas between, and since when each could be claimed."""

    tenant: str
    command: str
    count: int
    tasks: bytes
    since: Sequence[float]


class Finished(msgspec.Struct, frozen=True):
    """What came of a `FinishAll`. Those of `items` that are not among `others`, by their position,
    were completed `at` this time, and nothing else is to be said of them; `created` tells per
    command when they had been."""

    at: float = 0.0
    created: Mapping[str, Sequence[float]] = {}
    others: Mapping[int, "Task | Fault"] = {}


def same_result(op: Finish, task: Task) -> bool:
    """Whether `op` is the result that ended `task`, sent again because its answer was lost."""
    return (
        bool(op.token)
        and op.token == task.lease_token
        and op.worker == task.worker
        and task.state == ("completed" if op.ok else "failed")
        and (op.result, op.error) == (task.result, task.error)
    )


# --- on what is kept beside them -----------------------------------------------------------------


class SetPolicy(msgspec.Struct, frozen=True, tag="set_policy"):
    """Replaces the queue's policy; one that bounds nothing removes it. Gives 1."""

    policy: Policy


class SetPeriodic(msgspec.Struct, frozen=True, tag="set_periodic"):
    """Create or replace it; gives 1. `remove` deletes it and gives how many there were."""

    periodic: Periodic
    remove: bool = False


class Fire(msgspec.Struct, frozen=True, tag="fire"):
    """The periodic task's time `at` has come: store `task` and move it on to `next_at`, in one
    step, and only if its `next_at` is still `at`. Whoever comes second gets 0 (decision 10).
    Without a task it is only moved on (its `last_at` stays), which gives 1: a clock that jumped
    has left it too far in the future, or several fire times were missed."""

    tenant: str
    name: str
    at: float
    next_at: float
    task: Create | None


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe"):
    """Create or replace; gives 1. `remove` deletes it and gives how many there were."""

    subscription: Subscription
    remove: bool = False


class TakeNotices(msgspec.Struct, frozen=True, tag="take_notices"):
    """Living subscriptions of this queue that may be told now; they are marked as told, so that of
    several servers one tells. Those of tenant `*` are among them. One that was told in the future
    (the clock was set back) may be told now. Ended ones are deleted."""

    tenant: str
    command: str


class TakeDeliveries(msgspec.Struct, frozen=True, tag="take_deliveries"):
    """Due ones, put off by `seconds` in the same step: of several servers one calls, and a crash
    of it is made good after that time."""

    seconds: float
    limit: int = 50


class SettleDelivery(msgspec.Struct, frozen=True, tag="settle_delivery"):
    """What became of a try: `due_at` None and no `error` means done (it is deleted), None with an
    `error` given up, a time the next try (one more is counted). A time for one that was given up
    is a person's wish: it waits again, its tries uncounted. Gives 1, or 0 for one that is not
    there."""

    id: str
    error: str = ""
    due_at: float | None = None


Op = (
    Create
    | Claim
    | Extend
    | Finish
    | FinishAll
    | Nack
    | Abandon
    | Cancel
    | Move
    | Redrive
    | Reschedule
    | Purge
    | Ack
    | SetPolicy
    | SetPeriodic
    | Fire
    | Subscribe
    | TakeNotices
    | TakeDeliveries
    | SettleDelivery
)

OpResult = (
    Task
    | list[Task]
    | list[Task | Leased]
    | list[Subscription]
    | list[Delivery]
    | Finished
    | int
    | Fault
)
"""Create … Cancel, Redrive, Reschedule and Fire (that came first) give the task as it is now;
Claim, TakeNotices, TakeDeliveries a list; FinishAll a Finished; the others a count. A Fault is that
operation's own failure; the others of the batch stand."""
