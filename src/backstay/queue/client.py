"""The queue from outside: one method per route, typed answers, Faults that name the address.

Belongs to one event loop. It never repeats a request by itself; callers know what may be repeated
(a creation with an idempotency key, a result with its lease token).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from backstay.core.clock import Clock, SystemClock, rfc3339
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Answer, Client
from backstay.core.http_errors import CallFailed, TotalTimeoutError
from backstay.queue.api.wire import OutcomeView, ResultView, TaskView
from backstay.queue.errors import (
    SERVER_REFUSED,
    SERVER_REFUSED_AUTH,
    SERVER_SILENT,
    SERVER_UNREACHABLE,
)

T = TypeVar("T")
Role = Literal["producer", "worker"]

DEFAULT_BASE_URL = "http://localhost:8080"
_PREFIX = "/v1/codeq"


class Refused(Fault):
    """The queue answered, and said no. `code` is its own error code ("" from a foreign server)."""

    def __init__(self, address: str, status: int, code: str, body: str, fix: str) -> None:
        auth = status == 401 or (status == 403 and code != "QUEUE002")
        super().__init__(
            SERVER_REFUSED_AUTH if auth else SERVER_REFUSED,
            address=address,
            status=status,
            code=code,
            body=body,
            advice=fix or "see the answer",
        )
        self.status = status
        self.code = code

    @property
    def lease_over(self) -> bool:
        """Whether the task is no longer ours to work on."""
        return self.code in ("QUEUE001", "QUEUE002", "QUEUE003", "QUEUE004")


class TaskPage(msgspec.Struct, frozen=True):
    """`next` is the cursor of the next page, empty at the end."""

    items: Sequence[TaskView]
    next: str = ""


class Depth(msgspec.Struct, frozen=True, rename="camel"):
    """One command's numbers over the tenants that the caller serves. Ages in seconds."""

    command: str
    ready: int
    delayed: int
    in_progress: int
    dlq: int
    oldest_ready_age_seconds: float | None = None
    last_claim_age_seconds: float | None = None
    waiting_claims: int = 0


class _Pagination(msgspec.Struct):
    next_cursor: str | None = None


class _Listed(msgspec.Struct):
    data: list[TaskView]
    pagination: _Pagination


class _Claimed(msgspec.Struct):
    tasks: list[TaskView]


class _Outcomes(msgspec.Struct):
    outcomes: list[OutcomeView]


class _Resulted(msgspec.Struct):
    task: TaskView
    result: ResultView


class _Created(msgspec.Struct):
    task: TaskView | None = None
    error: str = ""
    code: str = ""
    status: int = 400


class _CreatedList(msgspec.Struct):
    results: list[_Created]


class _Problem(msgspec.Struct):
    error: str = ""
    code: str = ""
    fix: str = ""


class QueueClient:
    """`base_url` is `http://host:port` or `unix:/path`. `timeout` (seconds) is for everything but
    waiting, which comes on top of it."""

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        producer_token: str = "",
        worker_token: str = "",
        timeout: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        self.address = base_url.rstrip("/")
        self._tokens: Mapping[Role, str] = {"producer": producer_token, "worker": worker_token}
        self._timeout = timeout
        unix = self.address.startswith("unix:")
        self._base = "http://localhost" if unix else self.address
        self._http = Client(
            clock or SystemClock(),
            EgressRules(allow=("loopback", "private")),
            unix=Path(self.address.removeprefix("unix:")) if unix else None,
        )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "QueueClient":
        """CODEQ_BASE_URL, CODEQ_PRODUCER_TOKEN, CODEQ_WORKER_TOKEN."""
        given = os.environ if env is None else env
        return cls(
            given.get("CODEQ_BASE_URL") or DEFAULT_BASE_URL,
            producer_token=given.get("CODEQ_PRODUCER_TOKEN", ""),
            worker_token=given.get("CODEQ_WORKER_TOKEN", ""),
        )

    async def close(self) -> None:
        """Idempotent."""
        await self._http.close()

    # --- producers ---------------------------------------------------------------------------

    async def create(
        self,
        command: str,
        payload: Any,
        *,
        priority: int = 0,
        max_attempts: int = 0,
        idempotency_key: str = "",
        run_at: float | None = None,
        delay_seconds: float = 0,
        reply_to: str = "",
    ) -> TaskView:
        """Durable on return. `run_at` is epoch seconds; `payload` is what JSON can hold."""
        body = new_task(
            command,
            payload,
            priority=priority,
            max_attempts=max_attempts,
            idempotency_key=idempotency_key,
            run_at=run_at,
            delay_seconds=delay_seconds,
            reply_to=reply_to,
        )
        return _decode(await self._post("/tasks", body), TaskView)

    async def create_many(self, tasks: Sequence[Mapping[str, Any]]) -> Sequence[TaskView | Refused]:
        """Up to 100 of `new_task`, in one commit; each stands or fails alone."""
        answer = await self._post("/tasks/batch", {"tasks": tasks})
        return [
            item.task or Refused(self.address, item.status, item.code, item.error, "")
            for item in _decode(answer, _CreatedList).results
        ]

    async def get(self, id: str) -> TaskView:
        return _decode(await self._get(f"/tasks/{quote(id)}"), TaskView)

    async def result(self, id: str, wait: float = 0) -> ResultView:
        """The result, waiting up to `wait` seconds for it."""
        answer = await self._get(f"/tasks/{quote(id)}/result", {"waitSeconds": wait}, wait)
        return _decode(answer, _Resulted).result

    async def list(
        self,
        *,
        command: str = "",
        status: str = "",
        state: str = "",
        cursor: str = "",
        limit: int = 50,
    ) -> TaskPage:
        """Tasks in the order of their arrival."""
        query = {"command": command, "status": status, "state": state, "cursor": cursor}
        answer = await self._get("/tasks", {**query, "limit": limit})
        page = _decode(answer, _Listed)
        return TaskPage(page.data, page.pagination.next_cursor or "")

    async def cancel(self, id: str, reason: str = "") -> TaskView:
        return _decode(await self._post(f"/tasks/{quote(id)}/cancel", {"reason": reason}), TaskView)

    async def replies(self, name: str, wait: float = 0) -> Sequence[OutcomeView]:
        """Ends of tasks with `reply_to=name` that were not acknowledged yet."""
        path = f"/replies/{quote(name, safe='')}"
        answer = await self._get(path, {"waitSeconds": wait}, wait)
        return _decode(answer, _Outcomes).outcomes

    async def ack(self, name: str, ids: Sequence[str]) -> None:
        await self._post(f"/replies/{quote(name, safe='')}/ack", {"taskIds": [*ids]})

    async def inspect(self, command: str) -> Depth:
        return _decode(await self._get(f"/admin/queues/{quote(command, safe='')}"), Depth)

    async def cleanup(self, command: str = "", before: str = "") -> Mapping[str, Any]:
        """Delete ended tasks; gives `deleted` and `repaired`."""
        body = {"command": command, "before": before}
        return _decode(await self._post("/admin/tasks/cleanup", body), dict[str, Any])

    # --- workers -----------------------------------------------------------------------------

    async def claim(
        self, commands: Sequence[str] = (), *, lease_seconds: float = 0, wait: float = 0
    ) -> TaskView | None:
        """One task under a lease, or None after `wait` seconds."""
        body = {
            "commands": [*commands],
            "leaseSeconds": lease_seconds,
            "waitSeconds": wait,
        }
        answer = await self._post("/tasks/claim", body, "worker", wait)
        return None if answer.status == 204 else _decode(answer, TaskView)

    async def claim_many(
        self, count: int, commands: Sequence[str] = (), *, lease_seconds: float = 0
    ) -> Sequence[TaskView]:
        """Up to `count` (10 at most) that are ready now."""
        body = {"count": count, "commands": [*commands], "leaseSeconds": lease_seconds}
        answer = await self._post("/tasks/claim/batch", body, "worker")
        return [] if answer.status == 204 else _decode(answer, _Claimed).tasks

    async def heartbeat(self, id: str, token: str, extend_seconds: float = 0) -> None:
        body = {"extendSeconds": extend_seconds, "leaseToken": token}
        await self._post(f"/tasks/{quote(id)}/heartbeat", body, "worker")

    async def abandon(self, id: str, token: str) -> None:
        await self._post(f"/tasks/{quote(id)}/abandon", {"leaseToken": token}, "worker")

    async def nack(self, id: str, token: str, reason: str, delay_seconds: float = 0) -> str:
        """`requeued`, or `dlq` after the last delivery. Delay 0 is the server's policy."""
        body = {"delaySeconds": delay_seconds, "reason": reason, "leaseToken": token}
        answer = await self._post(f"/tasks/{quote(id)}/nack", body, "worker")
        return str(_decode(answer, dict[str, Any])["status"])

    async def complete(self, id: str, token: str, result: Mapping[str, Any]) -> ResultView:
        """Idempotent with the same token and the same result."""
        body = {"status": "COMPLETED", "result": result, "leaseToken": token}
        return _decode(await self._post(f"/tasks/{quote(id)}/result", body, "worker"), ResultView)

    async def fail(self, id: str, token: str, error: str) -> ResultView:
        """FAILED for good: no retry, no dead letter."""
        body = {"status": "FAILED", "error": error, "leaseToken": token}
        return _decode(await self._post(f"/tasks/{quote(id)}/result", body, "worker"), ResultView)

    # --- inside ------------------------------------------------------------------------------

    async def _get(
        self, path: str, query: Mapping[str, str | float] | None = None, wait: float = 0
    ) -> Answer:
        given = {key: value for key, value in (query or {}).items() if value not in ("", 0)}
        tail = f"?{urlencode(given)}" if given else ""
        return await self._send("GET", path + tail, b"", "producer", wait)

    async def _post(self, path: str, body: Any, role: Role = "producer", wait: float = 0) -> Answer:
        return await self._send("POST", path, msgspec.json.encode(body), role, wait)

    async def _send(self, method: str, path: str, body: bytes, role: Role, wait: float) -> Answer:
        headers = {"Content-Type": "application/json"} if body else {}
        token = self._tokens[role] or next(filter(None, self._tokens.values()), "")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        seconds = self._timeout + wait
        try:
            url = f"{self._base}{_PREFIX}{path}"
            answer = await self._http.request(method, url, headers, body, seconds)
        except TotalTimeoutError as late:
            raise Fault(SERVER_SILENT, address=self.address, seconds=seconds) from late
        except CallFailed as failed:
            raise Fault(SERVER_UNREACHABLE, address=self.address, reason=failed.reason) from failed
        if answer.status >= 400:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: Answer) -> Refused:
        try:
            problem = msgspec.json.decode(answer.body, type=_Problem)
        except msgspec.MsgspecError:
            problem = _Problem()
        text = problem.error or answer.body[:300].decode(errors="replace")
        return Refused(self.address, answer.status, problem.code, text, problem.fix)


def new_task(
    command: str,
    payload: Any,
    *,
    priority: int = 0,
    max_attempts: int = 0,
    idempotency_key: str = "",
    run_at: float | None = None,
    delay_seconds: float = 0,
    reply_to: str = "",
) -> dict[str, Any]:
    """The body of one creation; what is not given is left out."""
    body: dict[str, Any] = {"command": command, "payload": payload}
    given = {
        "priority": priority,
        "maxAttempts": max_attempts,
        "idempotencyKey": idempotency_key,
        "runAt": rfc3339(run_at) if run_at is not None else "",
        "delaySeconds": delay_seconds,
        "replyTo": reply_to,
    }
    return body | {key: value for key, value in given.items() if value}


def _decode(answer: Answer, kind: type[T]) -> T:
    return msgspec.json.decode(answer.body, type=kind)
