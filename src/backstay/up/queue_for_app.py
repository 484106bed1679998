"""The queue as the app wants it: `app.ports.TaskQueue` over the HTTP face of codeq-server.

A call becomes a task with the call's key as idempotency key, one delivery (the workflow step owns
the retries, decision 15) and `replyTo` the app; outcomes come by long poll and stay until acked.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import msgspec

from backstay.app.ports import OutsideCall, OutsideResult
from backstay.core.clock import Clock
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Answer, Client
from backstay.up.errors import QUEUE_REFUSED

_PREFIX = "/v1/codeq"
_BATCH = 100
_SECONDS = 10.0
_REMEMBERED = 20_000
_TRY_AGAIN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class _Task(msgspec.Struct, frozen=True):
    id: str


class _Item(msgspec.Struct, frozen=True):
    """One of a batch: the task, or why it was not taken."""

    task: _Task | None = None
    error: str = ""
    status: int = 200


class _Items(msgspec.Struct, frozen=True):
    results: list[_Item]


class _Outcome(msgspec.Struct, frozen=True, rename="camel"):
    task_id: str
    key: str
    ok: bool
    output: str = ""
    error: str = ""


class _Outcomes(msgspec.Struct, frozen=True):
    outcomes: list[_Outcome]


class QueueForApp:
    """`base_url` is `unix:/path` or `http://host:port`; `token` is sent where one is needed.

    Failures of the way raise core.http's faults: the caller tries again. A call that the queue
    refuses for good (too large, no command of that name) becomes a failed outcome, so that its
    workflow hears of it instead of being sent for ever.
    """

    def __init__(self, base_url: str, clock: Clock, name: str = "app", token: str = "") -> None:
        socket = Path(base_url.removeprefix("unix:")) if base_url.startswith("unix:") else None
        self._base = ("http://queue" if socket else base_url.rstrip("/")) + _PREFIX
        # The address is the operator's own setting, not something a program could choose.
        self._client = Client(clock, EgressRules(("loopback", "private")), unix=socket)
        self._name = quote(name, safe="")
        self._reply_to = name
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._refused: dict[str, OutsideResult] = {}
        self._refusal = asyncio.Event()

    async def send(self, calls: Sequence[OutsideCall]) -> None:
        """Durable with the queue on return; the same key twice is one task."""
        for start in range(0, len(calls), _BATCH):
            await self._send(calls[start : start + _BATCH])

    async def outcomes(self, wait: float) -> list[OutsideResult]:
        """Ended calls not yet acknowledged; waits up to `wait` seconds for the first."""
        if self._refused:
            return list(self._refused.values())
        poll = asyncio.ensure_future(self._poll(wait))
        refusal = asyncio.ensure_future(self._refusal.wait())
        try:
            await asyncio.wait([poll, refusal], return_when=asyncio.FIRST_COMPLETED)
            # A poll that is given up loses nothing: what it would have brought comes again.
            return await poll if poll.done() else list(self._refused.values())
        finally:
            poll.cancel()
            refusal.cancel()

    async def ack(self, keys: Sequence[str]) -> None:
        """These are stored; those that were never seen here come again."""
        for key in keys:
            self._refused.pop(key, None)
        if not self._refused:
            self._refusal.clear()
        ids = [self._ids[key] for key in keys if key in self._ids]
        if ids:
            await self._call("POST", f"/replies/{self._name}/ack", {"taskIds": ids})

    async def cancel(self, keys: Sequence[str]) -> None:
        """Best effort: a task whose id was forgotten with a restart runs in vain."""
        for key in keys:
            task_id = self._ids.get(key)
            if task_id is None:
                continue
            path = f"/tasks/{quote(task_id, safe='')}/cancel"
            answer = await self._answer("POST", path, b'{"reason":"nobody waits for it"}')
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _refusal(key, "-", answer)

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._client.close()

    async def _send(self, calls: Sequence[OutsideCall]) -> None:
        tasks = [
            {
                "command": call.command,
                "payload": msgspec.Raw(call.payload.encode()),
                "maxAttempts": 1,
                "idempotencyKey": call.key,
                "replyTo": self._reply_to,
            }
            for call in calls
        ]
        body = await self._call("POST", "/tasks/batch", {"tasks": tasks})
        items = msgspec.json.decode(body, type=_Items).results
        for call, item in zip(calls, items, strict=True):
            self._note(call, item)

    def _note(self, call: OutsideCall, item: _Item) -> None:
        if item.task is not None:
            self._remember(call.key, item.task.id)
        elif item.status >= HTTPStatus.INTERNAL_SERVER_ERROR or item.status in _TRY_AGAIN:
            raise Fault(QUEUE_REFUSED, key=call.key, command=call.command, reason=item.error)
        else:
            self._refused[call.key] = OutsideResult(call.key, ok=False, error=item.error)
            self._refusal.set()

    async def _poll(self, wait: float) -> list[OutsideResult]:
        path = f"/replies/{self._name}?waitSeconds={wait:g}"
        body = await self._call("GET", path, None, wait + _SECONDS)
        found = msgspec.json.decode(body, type=_Outcomes).outcomes
        for outcome in found:
            self._remember(outcome.key, outcome.task_id)
        return [OutsideResult(each.key, each.ok, each.output, each.error) for each in found]

    async def _call(
        self, method: str, path: str, value: object, seconds: float = _SECONDS
    ) -> bytes:
        body = b"" if value is None else msgspec.json.encode(value)
        answer = await self._answer(method, path, body, seconds)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal("-", "-", answer)
        return answer.body

    async def _answer(
        self, method: str, path: str, body: bytes, seconds: float = _SECONDS
    ) -> Answer:
        url = f"{self._base}{path}"
        return await self._client.request(method, url, self._headers, body, seconds)

    def _remember(self, key: str, task_id: str) -> None:
        self._ids[key] = task_id
        self._ids.move_to_end(key)
        while len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)


def _refusal(key: str, command: str, answer: Answer) -> Fault:
    reason = f"status {answer.status}: {answer.body[:300].decode(errors='replace')}"
    return Fault(QUEUE_REFUSED, key=key, command=command, reason=reason)
