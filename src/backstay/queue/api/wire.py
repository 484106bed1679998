"""The JSON of the codeQ routes: what comes in, typed; what goes out, in codeQ's field names."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backstay.core.clock import rfc3339
from backstay.core.errors import Fault, Plain
from backstay.queue.model import State, Task

STATUS: Mapping[State, str] = {
    "ready": "PENDING",
    "delayed": "PENDING",
    "leased": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "dead": "FAILED",
    "cancelled": "CANCELLED",
}


class _In(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A request body. An unknown field is refused: a typo must not be ignored in silence."""


class NewTask(_In, frozen=True):
    """`webhook` is known and refused in this version. Numbers are seconds."""

    command: str
    payload: msgspec.Raw
    priority: int = 0
    webhook: str | None = None
    max_attempts: int = 0
    idempotency_key: str = ""
    run_at: str | None = None
    delay_seconds: float = 0
    reply_to: str = ""


class NewTasks(_In, frozen=True):
    tasks: list[NewTask]


class ClaimBody(_In, frozen=True):
    commands: list[str] = []
    lease_seconds: float = 0
    wait_seconds: float = 0


class ClaimBatchBody(_In, frozen=True):
    count: int
    commands: list[str] = []
    lease_seconds: float = 0


class HeartbeatBody(_In, frozen=True):
    extend_seconds: float = 0
    lease_token: str = ""


class AbandonBody(_In, frozen=True):
    lease_token: str = ""


class NackBody(_In, frozen=True):
    delay_seconds: float = 0
    reason: str = ""
    lease_token: str = ""


class ResultBody(_In, frozen=True):
    """`artifacts` are known and refused in this version."""

    status: str
    result: msgspec.Raw = msgspec.Raw(b"")
    error: str | None = None
    artifacts: list[msgspec.Raw] | None = None
    lease_token: str = ""


class BatchResult(ResultBody, frozen=True, kw_only=True):
    task_id: str


class ResultsBody(_In, frozen=True):
    results: list[BatchResult]


class CancelBody(_In, frozen=True):
    reason: str = ""


class CleanupBody(_In, frozen=True):
    """`before` is RFC 3339; empty: now."""

    command: str = ""
    before: str = ""
    limit: int = 0


class AckBody(_In, frozen=True):
    task_ids: list[str]


class _Out(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    pass


class TaskView(_Out, frozen=True):
    """A task as codeQ shows it: `payload` is a JSON string, empty values are left out."""

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


class ResultView(_Out, frozen=True):
    """A result as codeQ shows it: `result` is the JSON that was submitted, never looked into on the
    way out."""

    task_id: str
    status: str
    completed_at: str
    result: Any = None
    error: str = ""
    artifacts: list[str] = []


class OutcomeView(msgspec.Struct, frozen=True, rename="camel"):
    """The end of a task, for the reader of its `replyTo`. `output` is JSON text."""

    task_id: str
    key: str
    ok: bool
    output: str
    error: str


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
    leased = task.state == "leased"
    return TaskView(
        id=task.id,
        command=task.command,
        payload=task.payload,
        status=STATUS[task.state],
        created_at=rfc3339(task.created_at),
        updated_at=rfc3339(task.updated_at),
        priority=task.priority,
        worker_id=task.worker if leased else "",
        lease_until=rfc3339(task.lease_until) if leased else "",
        lease_token=task.lease_token if with_token else "",
        attempts=task.attempts,
        max_attempts=task.max_attempts,
        error=task.error,
        tenant_id=task.tenant,
        idempotency_key=task.idempotency_key,
        run_at=rfc3339(task.due_at) if task.state == "delayed" else "",
        reply_to=task.reply_to,
        last_known_location=_LOCATION[task.state],
    )


def result_view(task: Task) -> ResultView:
    return ResultView(
        task_id=task.id,
        status=STATUS[task.state],
        completed_at=rfc3339(task.ended_at),
        result=msgspec.Raw(task.result.encode()) if task.result else None,
        error=task.error,
    )


def outcome_view(task: Task) -> OutcomeView:
    return OutcomeView(
        task_id=task.id,
        key=task.idempotency_key,
        ok=task.state == "completed",
        output=task.result,
        error=task.error or ("" if task.state == "completed" else task.state.upper()),
    )


def refused(fault: Fault) -> dict[str, Plain]:
    """One item of a batch that failed alone."""
    return {"error": fault.message, "code": fault.entry.code, "status": fault.entry.status}


def listed(items: Sequence[object], limit: int, next_cursor: str) -> dict[str, object]:
    """The JSON of a page. Pages go by cursor, so nobody counts a total for them."""
    return {
        "data": items,
        "pagination": {
            "limit": limit,
            "page": None,
            "total": None,
            "has_next": bool(next_cursor),
            "next_cursor": next_cursor or None,
        },
    }
