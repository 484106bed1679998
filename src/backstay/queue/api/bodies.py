"""The JSON and the queries that the codeQ routes take. Numbers are seconds, times RFC 3339.

An unknown field is refused: a typo must not be ignored in silence. 0 and empty mean "not said", as
in codeQ; what a value must be beyond its type is judged in `reading`.
"""

from typing import Annotated, Literal

import msgspec

BATCH = 100
PAGE = 200

Given = msgspec.Raw | msgspec.UnsetType
Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE)]
Many = Annotated[int, msgspec.Meta(ge=0, le=10_000, description="0: the most, 10,000")]
Priority = Annotated[
    int, msgspec.Meta(description="9 is served first; above 9 counts as 9, below 0 as 0")
]
Time = Annotated[str, msgspec.Meta(description="RFC 3339, with its zone")]
Wait = Annotated[float, msgspec.Meta(description="seconds, capped at the longest wait")]


class In(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The base of all that comes in."""


# --- producers -------------------------------------------------------------------------------


class NewTask(In, frozen=True):
    """`maxAttempts` 0 or less: the server's default. `runAt` wins over `delaySeconds`."""

    command: str
    payload: msgspec.Raw
    priority: Priority = 0
    webhook: str | None = None
    max_attempts: int = 0
    idempotency_key: str = ""
    run_at: str | None = None
    delay_seconds: float = 0
    reply_to: str = ""
    tags: list[str] = []
    key: str = ""


class NewTasks(In, frozen=True):
    tasks: list[NewTask]


class ResultQuery(In, frozen=True):
    wait_seconds: Wait = 0


class OutcomesQuery(In, frozen=True):
    wait_seconds: Wait = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=BATCH)] = BATCH


class Search(In, frozen=True):
    """`status` in codeQ's words, or READY, DELAYED, DEAD; several with commas. `state` in the finer
    ones of the queue itself. `tenant` counts for those who serve all."""

    status: str = ""
    state: str = ""
    command: str = ""
    tag: str = ""
    key: str = ""
    worker: str = ""
    tenant: str = ""
    created_after: Time = ""
    created_before: Time = ""
    order: Literal["oldest", "newest"] = "oldest"
    cursor: str = ""
    limit: Limit = 50


class CancelBody(In, frozen=True):
    reason: str = ""


class Filter(In, frozen=True):
    """All that is given must hold."""

    command: str = ""
    status: str = ""
    tag: str = ""
    key: str = ""
    worker: str = ""
    created_after: Time = ""
    created_before: Time = ""


class CancelManyBody(Filter, frozen=True):
    """At least one of `command`, `tag`, `key`, `worker` must be given."""

    reason: str = ""
    limit: Many = 0


class RescheduleBody(In, frozen=True):
    """Neither: now."""

    run_at: str | None = None
    delay_seconds: float = 0


class AckBody(In, frozen=True):
    task_ids: list[str]


# --- workers ---------------------------------------------------------------------------------


class ClaimBody(In, frozen=True):
    """`leaseSeconds` 0 or less: the server's default. `waitSeconds` is capped at 30."""

    commands: list[str] = []
    lease_seconds: float = 0
    wait_seconds: float = 0


class ClaimBatchBody(In, frozen=True):
    count: int
    commands: list[str] = []
    lease_seconds: float = 0
    wait_seconds: float = 0


class HeartbeatBody(In, frozen=True):
    """`progress` is any JSON; it replaces what was last told."""

    extend_seconds: float = 0
    lease_token: str = ""
    progress: Given = msgspec.UNSET


class BatchBeat(HeartbeatBody, frozen=True, kw_only=True):
    task_id: str


class HeartbeatsBody(In, frozen=True):
    heartbeats: list[BatchBeat]


class AbandonBody(In, frozen=True):
    lease_token: str = ""


class NackBody(In, frozen=True):
    """`delaySeconds` 0 or less: as the backoff policy says."""

    delay_seconds: float = 0
    reason: str = ""
    lease_token: str = ""


class ResultBody(In, frozen=True):
    """`artifacts` are known and refused in this version."""

    status: str
    result: Given = msgspec.UNSET
    error: str | None = None
    artifacts: list[msgspec.Raw] | None = None
    lease_token: str = ""


class BatchResult(ResultBody, frozen=True, kw_only=True):
    task_id: str


class ResultsBody(In, frozen=True):
    results: list[BatchResult]


class ExchangeBody(In, frozen=True):
    """Results of ended tasks, and a claim of up to `count` that does not wait; either may be
    none."""

    results: list[BatchResult] = []
    count: int = 0
    commands: list[str] = []
    lease_seconds: float = 0


# --- people and machines that look on --------------------------------------------------------


class CleanupBody(In, frozen=True):
    """`before` is RFC 3339; empty: now. `limit` 0 or more than 10,000: that."""

    command: str = ""
    before: str = ""
    limit: int = 0


class PageQuery(In, frozen=True):
    order: Literal["oldest", "newest"] = "oldest"
    cursor: str = ""
    limit: Limit = 50


class RedriveBody(In, frozen=True):
    """Dead letters unless `filter.status` names FAILED or CANCELLED. With `ratePerSecond` they
    become due one after the other; 0: all at once."""

    filter: Filter = Filter()
    rate_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0
    limit: Many = 0


class PurgeBody(In, frozen=True):
    """Ended tasks of `status` (empty: every end) that ended before `before` (empty: now)."""

    status: str = ""
    before: Time = ""
    limit: Many = 0


class AuditBody(In, frozen=True):
    repair: bool = False
    command: str = ""
