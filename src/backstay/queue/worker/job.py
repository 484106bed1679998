"""What a task function may know and say beside its payload."""

import logging
import threading
from contextvars import ContextVar
from typing import Any

import msgspec

from backstay.queue.api.wire import TaskView

_CURRENT: ContextVar["Job"] = ContextVar("backstay-job")
_LOG = logging.getLogger("backstay.task")


class Job:
    """One delivery of a task. `request_id` is that of the claim, as the server's log has it;
    `traceparent` that of whoever created the task."""

    __slots__ = (
        "_event",
        "_told",
        "attempt",
        "command",
        "id",
        "lost",
        "max_attempts",
        "request_id",
        "task",
    )

    def __init__(self, task: TaskView, request_id: str) -> None:
        self.task = task
        self.id = task.id
        self.command = task.command
        self.attempt = task.attempts
        self.max_attempts = task.max_attempts
        self.request_id = request_id
        self.lost = False
        self._event: threading.Event | None = None
        self._told: msgspec.Raw | None = None

    @property
    def gone(self) -> threading.Event:
        """Set when the lease is lost or the worker's patience has ended: stop soon. A coroutine is
        cancelled as well; a plain function in its thread has to look."""
        event = self._event
        if event is None:  # most functions never ask, and an event is not cheap
            event = self._event = threading.Event()
        if self.lost:
            event.set()
        return event

    def give_up(self) -> None:
        """Nobody waits for its outcome any more. For the worker."""
        self.lost = True
        if self._event is not None:
            self._event.set()

    @property
    def traceparent(self) -> str:
        return self.task.trace_parent

    @property
    def last_try(self) -> bool:
        """Whether a failure now makes it a dead letter."""
        return self.attempt >= self.max_attempts

    @property
    def context(self) -> dict[str, Any]:
        """What belongs into each log line."""
        found = {
            "task_id": self.id,
            "command": self.command,
            "attempt": self.attempt,
            "request_id": self.request_id,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in found.items() if value}

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger whose records carry `context` as attributes."""
        return logging.LoggerAdapter(_LOG, self.context)

    def progress(self, value: Any) -> None:
        """Tell how far it is; who looks at the task sees it within about a second. The last word
        counts. Raises TypeError for what JSON cannot hold."""
        self._told = msgspec.Raw(msgspec.json.encode(value))

    def take_progress(self) -> msgspec.Raw | None:
        """What was told since the last time; None for nothing. For the heart."""
        told, self._told = self._told, None
        return told


def current_job() -> Job:
    """The job that this code runs for. Raises LookupError outside of one."""
    return _CURRENT.get()


def enter(job: Job) -> None:
    """Make it the current one, in this context and its threads; structlog's too, where used."""
    import sys

    _CURRENT.set(job)
    if "structlog" in sys.modules:  # only then may somebody read it
        from structlog.contextvars import bind_contextvars

        bind_contextvars(**job.context)
