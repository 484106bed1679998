"""Nouns and rules of the queue: tasks, what is kept beside them, and what each state allows.

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
