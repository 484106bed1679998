"""Nouns and rules of the queue: tasks, operations on them, and what each state allows.

Times are wall epoch seconds where they are stored or shown; leases are decided on the engine's
monotonic clock (decision 6). Everything here is frozen and free of I/O.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import Dice
from backstay.core.errors import Fault
from backstay.queue.errors import NOT_IN_PROGRESS, NOT_OWNER, STALE_LEASE

State = Literal["ready", "delayed", "leased", "completed", "failed", "dead", "cancelled"]
"""The seven places a task can be in; the codeQ routes show them as PENDING (ready, delayed),
IN_PROGRESS, COMPLETED, FAILED (failed, dead) and CANCELLED."""

ENDED: frozenset[State] = frozenset({"completed", "failed", "dead", "cancelled"})

Event = Literal[
    "claim",
    "extend",
    "finish",
    "nack",
    "abandon",
    "cancel",
    "expire",
    "due",
    "redrive",
    "reschedule",
]

ANY_TENANT = "*"
"""In place of a tenant: whoever asks serves all of them (decision 3)."""

ALLOWED: Mapping[Event, frozenset[State]] = {
    "claim": frozenset({"ready"}),
    "extend": frozenset({"leased"}),
    "finish": frozenset({"leased"}),
    "nack": frozenset({"leased"}),
    "abandon": frozenset({"leased"}),
    "cancel": frozenset({"ready", "delayed", "leased"}),
    "expire": frozenset({"leased"}),
    "due": frozenset({"delayed"}),
    "redrive": frozenset({"dead", "failed", "cancelled"}),
    "reschedule": frozenset({"ready", "delayed"}),
}
"""The whole state machine: which event may happen in which state."""


class Task(msgspec.Struct, frozen=True):
    """One task as stored. `payload`, `result` and `progress` are JSON texts, never looked into.

    `tags` are for finding it. `key` names what it works on: a queue's policy can bound how many
    tasks of one key run at once. `trace` is the W3C traceparent of whoever created it.
    `claimed_at` is the start of the current or last delivery.
    """

    id: str
    tenant: str
    command: str
    payload: str
    state: State
    created_at: float
    updated_at: float
    priority: int = 0
    attempts: int = 0
    max_attempts: int = 5
    due_at: float = 0.0
    worker: str = ""
    lease_token: str = ""
    lease_until: float = 0.0
    idempotency_key: str = ""
    reply_to: str = ""
    webhook: str = ""
    result: str = ""
    error: str = ""
    ended_at: float = 0.0
    claimed_at: float = 0.0
    tags: tuple[str, ...] = ()
    key: str = ""
    progress: str = ""
    trace: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """One delivery of a task. `ended_at` 0 while it runs; `outcome` is then `leased`.

    The task's row is the history of its last delivery; engines keep entries of their own only for
    those that did not end the task (decision 15).
    """

    number: int
    worker: str
    started_at: float
    ended_at: float
    outcome: Literal["leased", "completed", "failed", "nacked", "abandoned", "expired", "cancelled"]
    error: str = ""


# --- operations: what an engine is asked to do -----------------------------------------------


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
    empty list."""

    worker: str
    tokens: tuple[str, ...]
    lease_seconds: float
    commands: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    count: int = 1


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


# --- what is kept beside tasks ---------------------------------------------------------------


class Policy(msgspec.Struct, frozen=True):
    """The bounds of one queue, a (tenant, command). Tenant `*` speaks for every tenant's queue of
    that command. Where both bound something the tighter one holds. 0 means no bound.

    `concurrency` bounds leased tasks, `rate` claims a second (with `burst` at once, at least 1);
    the `key_` bounds hold for each `Task.key` alone, and do not touch tasks without a key.
    """

    tenant: str
    command: str
    paused: bool = False
    concurrency: int = 0
    rate: float = 0.0
    burst: int = 1
    key_concurrency: int = 0
    key_rate: float = 0.0
    updated_at: float = 0.0

    @property
    def bounds(self) -> bool:
        """Whether it holds anything back."""
        return bool(
            self.paused or self.concurrency or self.rate or self.key_concurrency or self.key_rate
        )

    def within(self, shared: "Policy") -> "Policy":
        """This queue's policy as far as `shared`, that of every tenant, lets it: the tighter of
        each bound. `lua/head.lua` does the same."""
        rated = [one.burst for one in (self, shared) if one.rate or one.key_rate]
        return msgspec.structs.replace(
            self,
            paused=self.paused or shared.paused,
            concurrency=_tighter(self.concurrency, shared.concurrency),
            rate=_tighter(self.rate, shared.rate),
            burst=min(rated, default=self.burst),
            key_concurrency=_tighter(self.key_concurrency, shared.key_concurrency),
            key_rate=_tighter(self.key_rate, shared.key_rate),
        )


_Bound = TypeVar("_Bound", int, float)


def _tighter(one: _Bound, other: _Bound) -> _Bound:
    return min(one, other) if one and other else one or other


class SetPolicy(msgspec.Struct, frozen=True, tag="set_policy"):
    """Replaces the queue's policy; one that bounds nothing removes it. Gives 1."""

    policy: Policy


class Periodic(msgspec.Struct, frozen=True):
    """A task that is created by the calendar: `cron` in `timezone` (IANA name). `next_at` is the
    fire time to come, `last_at` the last one that made a task (0: none yet). One per
    (tenant, name)."""

    tenant: str
    name: str
    command: str
    payload: str
    cron: str
    timezone: str = "UTC"
    priority: int = 0
    max_attempts: int = 5
    tags: tuple[str, ...] = ()
    key: str = ""
    webhook: str = ""
    paused: bool = False
    next_at: float = 0.0
    last_at: float = 0.0


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


class Subscription(msgspec.Struct, frozen=True):
    """Somebody wants a call to `url` when a task of one of `commands` (empty: of any) becomes
    ready; at most one each `min_interval` seconds. Tenant `*` hears of every tenant's queues. It
    ends at `expires_at` unless renewed."""

    tenant: str
    id: str
    url: str
    commands: tuple[str, ...]
    expires_at: float
    min_interval: float = 5.0
    notified_at: float = 0.0


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


class Delivery(msgspec.Struct, frozen=True):
    """A result callback that is still to be made. It is stored by the commit that ended its task,
    so it outlives the process. `attempts` counts finished tries; `error` is that of the last.
    `given_up` ones are kept for people until retention."""

    id: str
    tenant: str
    task_id: str
    url: str
    due_at: float
    attempts: int = 0
    error: str = ""
    given_up: bool = False


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

OpResult = Task | list[Task] | list[Subscription] | list[Delivery] | int | Fault
"""Create … Cancel, Redrive, Reschedule and Fire (that came first) give the task as it is now;
Claim, TakeNotices, TakeDeliveries a list; the others a count. A Fault is that operation's own
failure; the others of the batch stand."""


# --- reading ---------------------------------------------------------------------------------

T = TypeVar("T")


class TaskQuery(msgspec.Struct, frozen=True):
    """`after` is a cursor from a former page. `reply_to` asks for unacknowledged outcomes only.
    `created_before`, `created_after` are epoch seconds (0: any); all that is given must hold."""

    tenant: str | None = None
    command: str = ""
    states: tuple[State, ...] = ()
    reply_to: str = ""
    tag: str = ""
    key: str = ""
    worker: str = ""
    created_after: float = 0.0
    created_before: float = 0.0
    newest_first: bool = False
    after: str = ""
    limit: int = 50


class Page(msgspec.Struct, Generic[T], frozen=True):
    """`next` is the cursor of the next page, empty at the end."""

    items: Sequence[T]
    next: str = ""


class QueueStats(msgspec.Struct, frozen=True):
    """`oldest_ready_at` 0 means none is ready. `last_claim_at` 0 means nobody ever polled."""

    tenant: str
    command: str
    ready: int
    delayed: int
    in_progress: int
    dead: int
    oldest_ready_at: float = 0.0
    last_claim_at: float = 0.0
    paused: bool = False


class Inconsistency(msgspec.Struct, frozen=True):
    """An entry of the store that contradicts another; `repaired` says whether it was mended."""

    kind: str
    id: str
    says: str
    repaired: bool


class Rules(msgspec.Struct, frozen=True):
    """What an engine needs to know to apply operations. Times in seconds."""

    backoff: Backoff = Backoff()
    retention: float = 86400.0
    abandon_delay: float = 1.0


# --- rules -----------------------------------------------------------------------------------


class Holder(msgspec.Struct, frozen=True):
    """What a worker shows of itself with an operation on its lease."""

    id: str
    worker: str
    token: str
    event: Event


def refusal(holder: Holder, task: Task, *, living: bool) -> Fault | None:
    """Why this worker may not act on this task now; None when it may (decisions 1 and 2).

    With its token a worker may act until the task has moved, even after the lease ended; without
    one (older clients) only as the owner of the `living` lease.
    """
    if task.state not in ALLOWED[holder.event]:
        return Fault(NOT_IN_PROGRESS, id=task.id, state=task.state, event=holder.event)
    if task.worker != holder.worker:
        return Fault(NOT_OWNER, id=task.id)
    if (holder.token == task.lease_token) if holder.token else living:
        return None
    return Fault(STALE_LEASE, id=task.id, event=holder.event)


def same_result(op: Finish, task: Task) -> bool:
    """Whether `op` is the result that ended `task`, sent again because its answer was lost."""
    return (
        bool(op.token)
        and op.token == task.lease_token
        and op.worker == task.worker
        and task.state == ("completed" if op.ok else "failed")
        and (op.result, op.error) == (task.result, task.error)
    )


def tries_left(task: Task) -> bool:
    """`max_attempts` counts deliveries (decision 1)."""
    return task.attempts < task.max_attempts


def expiry_delay(task: Task, backoff: Backoff, dice: Dice) -> float | None:
    """Seconds until a task whose lease ended is ready again; None: at once. `lua/upkeep.lua` does
    the same.

    That a lease ended says nothing about the task, so its first delivery costs it no wait. From the
    second on the backoff holds as after a failure: one that kills its workers must not spin.
    """
    return backoff.delay(task.attempts, dice) if task.attempts > 1 else None
