"""What the client hands out beside tasks and results, and how bodies are made for the way in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from backstay.core.clock import rfc3339
from backstay.queue.api.wire import TaskView

Time = float | datetime
"""Epoch seconds, or a datetime that knows its zone."""


class _View(msgspec.Struct, frozen=True, rename="camel"):
    """Fields that the client does not know are passed over, so that a newer server may add some."""


class TaskPage(msgspec.Struct, frozen=True):
    """`next` is the cursor of the next page, empty at the end."""

    items: Sequence[TaskView]
    next: str = ""


class PolicyView(_View, frozen=True):
    """What bounds a queue; 0 is no bound. `rate` is claims a second, `burst` of them at once; the
    `key_` bounds hold for each key alone. `tenant_id` `*` is the policy of every tenant's queue."""

    command: str
    tenant_id: str = ""
    paused: bool = False
    concurrency: int = 0
    rate: float = 0.0
    burst: int = 1
    key_concurrency: int = 0
    key_rate: float = 0.0
    inherited: bool = False
    paused_for_all: bool = False


class PeriodicView(_View, frozen=True):
    """A task that is created by the calendar. Times are RFC 3339; `last_fire` None: not yet."""

    name: str
    command: str
    cron: str
    timezone: str = "UTC"
    tenant_id: str = ""
    payload: Any = None
    priority: int = 0
    max_attempts: int = 0
    tags: Sequence[str] = ()
    key: str = ""
    webhook: str = ""
    paused: bool = False
    last_fire: str | None = None
    next_fires: Sequence[str] = ()


class SubscriptionView(_View, frozen=True):
    """Somebody who is called when work is ready. What a call of creation answers has the first two
    fields only."""

    subscription_id: str
    expires_at: str
    tenant_id: str = ""
    callback_url: str = ""
    event_types: Sequence[str] = ()
    min_interval_seconds: float = 0.0
    notified_at: str | None = None


class DeliveryView(_View, frozen=True):
    """A result callback that is still to be made, or was given up (`next_try` None)."""

    delivery_id: str
    task_id: str
    url: str
    attempts: int = 0
    error: str = ""
    given_up: bool = False
    next_try: str | None = None
    tenant_id: str = ""


class Beat(msgspec.Struct, frozen=True):
    """One heartbeat: the lease ends `seconds` from now (0: the server's default). `progress` is
    what JSON can hold; None keeps what was told last."""

    id: str
    token: str
    seconds: float = 0.0
    progress: Any = None


class Ended(msgspec.Struct, frozen=True):
    """One result: COMPLETED, or FAILED where `error` is given. `result` becomes a JSON object."""

    id: str
    token: str
    result: Any = None
    error: str = ""


def new_task(
    command: str,
    payload: Any,
    *,
    priority: int = 0,
    max_attempts: int = 0,
    idempotency_key: str = "",
    run_at: Time | None = None,
    delay_seconds: float = 0,
    webhook: str = "",
    reply_to: str = "",
    tags: Sequence[str] = (),
    key: str = "",
) -> dict[str, Any]:
    """The body of one creation; what is not given is left out."""
    return {"command": command, "payload": payload} | given(
        priority=priority,
        max_attempts=max_attempts,
        idempotency_key=idempotency_key,
        run_at=time_text(run_at),
        delay_seconds=delay_seconds,
        webhook=webhook,
        reply_to=reply_to,
        tags=[*tags],
        key=key,
    )


def given(**fields: Any) -> dict[str, Any]:
    """What is not empty, in camel case. True and False are always something."""
    kept = {name: value for name, value in fields.items() if isinstance(value, bool) or value}
    return {camel(name): value for name, value in kept.items()}


def camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def time_text(time: Time | None) -> str:
    """RFC 3339, empty for None. Raises ValueError for a datetime without a zone."""
    if time is None:
        return ""
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(f"{time.isoformat()} has no time zone")
        return rfc3339(time.timestamp())
    return rfc3339(time)
