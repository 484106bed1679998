"""The client's part for those who create tasks and want to know what became of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from backstay.core.errors import Fault
from backstay.queue.api.wire import (
    Attempts,
    AttemptView,
    Count,
    Items,
    Outcomes,
    OutcomeView,
    ResultView,
    TaskAndResult,
    TaskView,
)
from backstay.queue.api.wire import TaskPage as Listed
from backstay.queue.client.base import Part, segment
from backstay.queue.client.transport import Refused
from backstay.queue.client.views import TaskPage, Time, given, new_task, time_text
from backstay.queue.errors import RESULT_NOT_FOUND

_LONGEST_WAIT = 60.0


class Producing(Part):
    """Needs a token with `codeq:produce`; some methods take `codeq:admin` instead."""

    async def create_task(
        self,
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
    ) -> TaskView:
        """Durable on return. `payload` is what JSON can hold; `run_at` wins over `delay_seconds`.
        With an idempotency key a lost answer is asked for again, and twice is one task."""
        body = new_task(
            command,
            payload,
            priority=priority,
            max_attempts=max_attempts,
            idempotency_key=idempotency_key,
            run_at=run_at,
            delay_seconds=delay_seconds,
            webhook=webhook,
            reply_to=reply_to,
            tags=tags,
            key=key,
        )
        return self._decode(await self._post("/tasks", body, safe=bool(idempotency_key)), TaskView)

    async def batch_create_tasks(
        self, tasks: Sequence[Mapping[str, Any]]
    ) -> Sequence[TaskView | Refused]:
        """Up to 100 of `new_task`, in one commit; each stands or fails alone."""
        safe = all(task.get("idempotencyKey") for task in tasks)
        answer = await self._post("/tasks/batch", {"tasks": tasks}, safe=safe)
        return [item.task or self._refusal(item) for item in self._decode(answer, Items).results]

    async def get_task(self, id: str) -> TaskView:
        return self._decode(await self._get(f"/tasks/{segment(id)}"), TaskView)

    async def get_result(self, id: str, wait: float = 0) -> ResultView:
        """The result, waiting up to `wait` seconds (60 at most) for it. Refused (404) while there
        is none."""
        path = f"/tasks/{segment(id)}/result"
        answer = await self._get(path, {"waitSeconds": wait}, wait=wait)
        return self._decode(answer, TaskAndResult).result

    async def wait_for_result(self, id: str, timeout: float = 300.0) -> ResultView:  # noqa: ASYNC109 - the name that callers of codeQ know
        """The result, however many long polls it takes within `timeout` seconds; then the last
        refusal. A task that ended without a result (dead, cancelled) is refused at once."""
        until = self._transport.now() + timeout
        while True:
            left = until - self._transport.now()
            try:
                return await self.get_result(id, min(max(0.0, left), _LONGEST_WAIT))
            except Refused as refused:
                if refused.code != RESULT_NOT_FOUND.code or left <= _LONGEST_WAIT:
                    raise
            if (await self.get_task(id)).status not in ("PENDING", "IN_PROGRESS"):
                raise Fault(RESULT_NOT_FOUND, id=id, state="ended")

    async def list_tasks(
        self,
        *,
        command: str = "",
        status: str = "",
        state: str = "",
        tag: str = "",
        key: str = "",
        worker: str = "",
        tenant: str = "",
        created_after: Time | None = None,
        created_before: Time | None = None,
        newest_first: bool = False,
        cursor: str = "",
        limit: int = 50,
    ) -> TaskPage:
        """Tasks in the order of their arrival, of those that fit all that is given. `status` also
        takes READY, DELAYED and DEAD."""
        query = {
            "command": command,
            "status": status,
            "state": state,
            "tag": tag,
            "key": key,
            "worker": worker,
            "tenant": tenant,
            "createdAfter": time_text(created_after),
            "createdBefore": time_text(created_before),
            "order": "newest" if newest_first else "",
            "cursor": cursor,
            "limit": limit,
        }
        page = self._decode(await self._get("/tasks", query), Listed)
        return TaskPage(page.data, page.pagination.next_cursor or "")

    async def all_tasks(self, **filters: Any) -> AsyncIterator[TaskView]:
        """Every task that `list_tasks` would show, page by page."""
        cursor = ""
        while True:
            page = await self.list_tasks(**filters, cursor=cursor, limit=200)
            for task in page.items:
                yield task
            cursor = page.next
            if not cursor:
                return

    async def get_attempts(self, id: str) -> Sequence[AttemptView]:
        """The deliveries of a task, first to last."""
        return self._decode(await self._get(f"/tasks/{segment(id)}/attempts"), Attempts).attempts

    async def cancel_task(self, id: str, reason: str = "") -> TaskView:
        """End it before a worker does. Twice is once."""
        path = f"/tasks/{segment(id)}/cancel"
        return self._decode(await self._post(path, {"reason": reason}, safe=True), TaskView)

    async def cancel_tasks(
        self,
        *,
        command: str = "",
        status: str = "",
        tag: str = "",
        key: str = "",
        created_before: Time | None = None,
        reason: str = "",
        limit: int = 0,
    ) -> Count:
        """All that fit, at most `limit` (0: the server's most); `more` says that some are left."""
        body = given(
            command=command,
            status=status,
            tag=tag,
            key=key,
            created_before=time_text(created_before),
            reason=reason,
            limit=limit,
        )
        return self._decode(await self._post("/tasks/cancel", body, safe=True), Count)

    async def retry_task(self, id: str) -> TaskView:
        """Now: a waiting task becomes due, an ended one begins again."""
        return self._decode(await self._post(f"/tasks/{segment(id)}/retry", {}), TaskView)

    async def reschedule_task(
        self, id: str, *, run_at: Time | None = None, delay_seconds: float = 0
    ) -> TaskView:
        """A waiting task becomes due at another time; nothing given: now."""
        body: dict[str, Any] = given(run_at=time_text(run_at))
        if not body:
            body = {"delaySeconds": delay_seconds}
        path = f"/tasks/{segment(id)}/reschedule"
        return self._decode(await self._post(path, body, safe=True), TaskView)

    async def replies(self, name: str, wait: float = 0) -> Sequence[OutcomeView]:
        """Ends of tasks with `reply_to=name` that were not acknowledged yet."""
        path = f"/replies/{segment(name)}"
        return self._decode(
            await self._get(path, {"waitSeconds": wait}, wait=wait), Outcomes
        ).outcomes

    async def ack(self, name: str, ids: Sequence[str]) -> None:
        """These replies are stored; they are not shown again."""
        await self._post(f"/replies/{segment(name)}/ack", {"taskIds": [*ids]}, safe=True)
