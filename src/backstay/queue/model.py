"""Nouns and rules of the queue: tasks, operations on them, and what each state allows.

Times are wall epoch seconds where they are stored or shown; leases are decided on the engine's
monotonic clock (decision 6). Everything here is frozen and free of I/O.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.errors import Fault
from backstay.queue.errors import NOT_IN_PROGRESS, NOT_OWNER, STALE_LEASE

State = Literal["ready", "delayed", "leased", "completed", "failed", "dead", "cancelled"]
"""The seven places a task can be in; the codeQ routes show them as PENDING (ready, delayed),
IN_PROGRESS, COMPLETED, FAILED (failed, dead) and CANCELLED."""

ENDED: frozenset[State] = frozenset({"completed", "failed", "dead", "cancelled"})

Event = Literal[
    "claim", "extend", "finish", "nack", "abandon", "cancel", "expire", "due", "redrive"
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
}
"""The whole state machine: which event may happen in which state."""


class Task(msgspec.Struct, frozen=True):
    """One task as stored. `payload` and `result` are JSON texts, never looked into."""

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


# --- operations: what an engine is asked to do -----------------------------------------------


class Create(msgspec.Struct, frozen=True, tag="create"):
    """`due_at` 0 or past means ready at once. The same (tenant, command, idempotency_key) gives the
    first task back; with another `fingerprint` it is refused (QUEUE: idempotency conflict)."""

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


class Claim(msgspec.Struct, frozen=True, tag="claim"):
    """Up to `count` tasks for `worker`. `tenants` empty serves all, by deficit round robin.
    `commands` is in order of preference; empty rotates over all that have work. Nothing to claim
    is no failure: the result is an empty list."""

    worker: str
    tokens: tuple[str, ...]
    lease_seconds: float
    commands: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    count: int = 1


class Extend(msgspec.Struct, frozen=True, tag="extend"):
    tenant: str
    id: str
    worker: str
    token: str
    seconds: float


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
    tenant: str
    id: str


class Purge(msgspec.Struct, frozen=True, tag="purge"):
    """Delete ended tasks of a command (empty: all) that ended before `before`."""

    tenant: str
    command: str
    before: float
    limit: int = 1000


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """The reader of `reply_to` has stored these outcomes; they are not shown to it again."""

    tenant: str
    reply_to: str
    ids: tuple[str, ...]


Op = Create | Claim | Extend | Finish | Nack | Abandon | Cancel | Move | Redrive | Purge | Ack

OpResult = Task | list[Task] | int | Fault
"""Create … Cancel, Redrive give the task as it is now; Claim a list; Move, Purge, Ack a count.
A Fault is that operation's own failure; the others of the batch stand."""


# --- reading ---------------------------------------------------------------------------------

T = TypeVar("T")


class TaskQuery(msgspec.Struct, frozen=True):
    """`after` is a cursor from a former page. `reply_to` asks for unacknowledged outcomes only."""

    tenant: str | None = None
    command: str = ""
    states: tuple[State, ...] = ()
    reply_to: str = ""
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
