"""The JSON that the codeQ routes answer with, in codeQ's field names. What comes in: `bodies`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from backstay.core.clock import rfc3339
from backstay.core.errors import Fault
from backstay.queue.model import Attempt, Page, State, Task

STATUS: Mapping[State, str] = {
    "ready": "PENDING",
    "delayed": "PENDING",
    "leased": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "dead": "FAILED",
    "cancelled": "CANCELLED",
}


class _Out(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    pass


class TaskView(_Out, frozen=True):
    """A task as codeQ shows it: `payload` is a JSON string, `progress` is JSON, empty values are
    left out."""

    id: str
    command: str
    payload: str
    status: str
    created_at: str
    updated_at: str
    priority: int = 0
    worker_id: str = ""
    lease_until: str = ""
    lease_token: str = ""
    attempts: int = 0
    max_attempts: int = 0
    error: str = ""
    tenant_id: str = ""
    idempotency_key: str = ""
    run_at: str = ""
    reply_to: str = ""
    last_known_location: str = ""
    webhook: str = ""
    tags: tuple[str, ...] = ()
    key: str = ""
    progress: Any = None
    claimed_at: str = ""
    result_key: str = ""
    trace_parent: str = ""


class ResultView(_Out, frozen=True):
    """A result as codeQ shows it: `result` is the JSON that was submitted, never looked into on the
    way out."""

    task_id: str
    status: str
    completed_at: str
    result: Any = None
    error: str = ""
    artifacts: list[str] = []


class TaskAndResult(msgspec.Struct, frozen=True):
    task: TaskView
    result: ResultView


class AttemptView(_Out, frozen=True):
    """One delivery; `endedAt` is left out while it runs."""

    number: int
    worker_id: str
    started_at: str
    outcome: str
    ended_at: str = ""
    error: str = ""


class Attempts(msgspec.Struct, frozen=True, rename="camel"):
    task_id: str
    attempts: list[AttemptView]


class Item(_Out, frozen=True):
    """One answer of a batch: what came of it, or `error`, `code` and `status` of a refusal."""

    task_id: str = ""
    task: TaskView | None = None
    result: ResultView | None = None
    ok: bool = False
    lease_until: str = ""
    error: str = ""
    code: str = ""
    status: int = 0


class Items(msgspec.Struct, frozen=True):
    results: list[Item]


class Claimed(msgspec.Struct, frozen=True):
    tasks: list[TaskView]


class Refusal(_Out, frozen=True):
    """Why a result was not taken; `index` is its place in the request."""

    index: int
    task_id: str = ""
    error: str = ""
    code: str = ""
    status: int = 0


class Exchanged(msgspec.Struct, frozen=True):
    """What an exchange gives: the results that were not taken, and new tasks."""

    refused: list[Refusal]
    tasks: list[TaskView]


class Beaten(msgspec.Struct, frozen=True, rename="camel"):
    ok: bool
    lease_until: str


class Returned(msgspec.Struct, frozen=True, rename="camel"):
    """`status` is requeued or dlq; `delaySeconds` until it may be claimed again."""

    status: str
    delay_seconds: float = 0


class Count(_Out, frozen=True, omit_defaults=False):
    """What an operation over many did; `more` says that its limit left some."""

    count: int
    more: bool = False


class Pagination(msgspec.Struct, frozen=True):
    """Pages go by cursor, so nobody counts a total for them."""

    limit: int
    has_next: bool
    next_cursor: str | None = None
    page: None = None
    total: None = None


class TaskPage(msgspec.Struct, frozen=True):
    data: list[TaskView]
    pagination: Pagination


class QueueView(_Out, frozen=True, omit_defaults=False):
    """The depths of one command. Ages are seconds, null when there is nothing to have one;
    `tenantId` is empty over several tenants."""

    command: str
    ready: int
    delayed: int
    in_progress: int
    dlq: int
    oldest_ready_age_seconds: float | None
    last_claim_age_seconds: float | None
    waiting_claims: int
    paused: bool
    tenant_id: str = ""


class QueuePage(msgspec.Struct, frozen=True):
    data: list[QueueView]
    pagination: Pagination


class Cleaned(msgspec.Struct, frozen=True):
    deleted: int
    repaired: int
    before: str
    limit: int
    command: str


class Contradiction(msgspec.Struct, frozen=True):
    kind: str
    id: str
    says: str
    repaired: bool


class Audited(msgspec.Struct, frozen=True):
    inconsistencies: list[Contradiction]
    repaired: int


class BackedUp(msgspec.Struct, frozen=True):
    """`file` is relative to the server's data folder."""

    file: str
    bytes: int


class Healthy(_Out, frozen=True):
    status: str
    checks: dict[str, str]
    error: str = ""


class OutcomeView(msgspec.Struct, frozen=True, rename="camel"):
    """The end of a task, for the reader of its `replyTo`. `output` is JSON text."""

    task_id: str
    key: str
    ok: bool
    output: str
    error: str


class Outcomes(msgspec.Struct, frozen=True):
    outcomes: list[OutcomeView]


class Acknowledged(msgspec.Struct, frozen=True):
    acknowledged: int


_LOCATION: Mapping[State, str] = {
    "ready": "PENDING_LIST",
    "delayed": "DELAYED_ZSET",
    "leased": "INPROG_SET",
    "dead": "DLQ_SET",
    "completed": "NONE",
    "failed": "NONE",
    "cancelled": "NONE",
}


def task_view(task: Task, *, with_token: bool = False) -> TaskView:
    """`with_token` only for the worker whose claim made the lease."""
    state = task.state
    leased = state == "leased"
    return TaskView(
        task.id,
        task.command,
        task.payload,
        STATUS[state],
        rfc3339(task.created_at),
        rfc3339(task.updated_at),
        task.priority,
        task.worker if leased else "",
        rfc3339(task.lease_until) if leased else "",
        task.lease_token if with_token else "",
        task.attempts,
        task.max_attempts,
        task.error,
        task.tenant,
        task.idempotency_key,
        rfc3339(task.due_at) if state == "delayed" else "",
        task.reply_to,
        _LOCATION[state],
        task.webhook,
        task.tags,
        task.key,
        msgspec.Raw(task.progress.encode()) if task.progress else None,
        rfc3339(task.claimed_at) if task.claimed_at else "",
        # codeQ's clients read from it that there is a result; it names codeQ's hash of them.
        "codeq:results" if state in ("completed", "failed") else "",
        task.trace,
    )


def lease_until(task: Task) -> str:
    return rfc3339(task.lease_until)


def result_view(task: Task) -> ResultView:
    return ResultView(
        task.id,
        STATUS[task.state],
        rfc3339(task.ended_at),
        msgspec.Raw(task.result.encode()) if task.result else None,
        task.error,
    )


def attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt.number,
        attempt.worker,
        rfc3339(attempt.started_at),
        attempt.outcome,
        rfc3339(attempt.ended_at) if attempt.ended_at else "",
        attempt.error,
    )


def outcome_view(task: Task) -> OutcomeView:
    return OutcomeView(
        task_id=task.id,
        key=task.idempotency_key,
        ok=task.state == "completed",
        output=task.result,
        error=task.error or ("" if task.state == "completed" else task.state.upper()),
    )


def refused(fault: Fault, task_id: str = "") -> Item:
    """One item of a batch that failed alone."""
    entry = fault.entry
    return Item(task_id, error=fault.message, code=entry.code, status=entry.status)


def pagination(limit: int, next_cursor: str) -> Pagination:
    return Pagination(limit, bool(next_cursor), next_cursor or None)


def task_page(page: Page[Task], limit: int) -> TaskPage:
    return TaskPage([task_view(task) for task in page.items], pagination(limit, page.next))
