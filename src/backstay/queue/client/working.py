"""The client's part for those who do the work. `Worker` is built on it."""

from collections.abc import Sequence
from typing import Any

from backstay.queue.api.wire import Claimed, Exchanged, ResultView, TaskView
from backstay.queue.client.base import Part, segment
from backstay.queue.client.transport import Refused
from backstay.queue.client.views import Beat, Ended, SubscriptionView, given


class Working(Part):
    """Needs a worker token: scopes `codeq:claim`, `codeq:heartbeat`, `codeq:result`, `codeq:nack`,
    `codeq:abandon`, `codeq:subscribe`. `token` is the leaseToken of the claim throughout."""

    async def claim_task(
        self, commands: Sequence[str] = (), *, lease_seconds: float = 0, wait: float = 0
    ) -> TaskView | None:
        """One task under a lease, or None after `wait` seconds (30 at most)."""
        body = {"commands": [*commands], "leaseSeconds": lease_seconds, "waitSeconds": wait}
        answer = await self._post("/tasks/claim", body, role="worker", wait=wait)
        return None if answer.status == 204 else self._decode(answer, TaskView)

    async def batch_claim_tasks(
        self,
        count: int,
        commands: Sequence[str] = (),
        *,
        lease_seconds: float = 0,
        wait: float = 0,
        request_id: str = "",
    ) -> Sequence[TaskView]:
        """Up to `count` (100 at most); waits up to `wait` seconds (30 at most) for the first.
        `request_id` is what the server's log will say of this claim."""
        body = {"count": count, "commands": [*commands], "leaseSeconds": lease_seconds}
        if wait:
            body["waitSeconds"] = wait
        path = "/tasks/claim/batch"
        answer = await self._post(path, body, role="worker", wait=wait, request_id=request_id)
        return [] if answer.status == 204 else self._decode(answer, Claimed).tasks

    async def heartbeat(
        self, id: str, token: str, extend_seconds: float = 0, progress: Any = None
    ) -> None:
        """The lease ends `extend_seconds` from now. Refused (`lease_over`) when it is lost."""
        [refused] = await self.batch_heartbeat([Beat(id, token, extend_seconds, progress)])
        if refused is not None:
            raise refused

    async def batch_heartbeat(self, beats: Sequence[Beat]) -> Sequence[Refused | None]:
        """Up to 100, each answered alone: None, or why it was refused."""
        body = {"heartbeats": [_beat(beat) for beat in beats]}
        path = "/tasks/batch/heartbeat"
        return self._refusals(await self._post(path, body, role="worker", safe=True))

    async def abandon(self, id: str, token: str) -> None:
        """Hand it back unworked: the delivery does not count."""
        path = f"/tasks/{segment(id)}/abandon"
        await self._post(path, {"leaseToken": token}, role="worker")

    async def nack(
        self, id: str, token: str, reason: str, delay_seconds: float | None = None
    ) -> str:
        """The attempt failed: `requeued`, or `dlq` after the last one. None is the server's
        backoff."""
        body: dict[str, Any] = {"reason": reason, "leaseToken": token}
        if delay_seconds:
            body["delaySeconds"] = delay_seconds
        answer = await self._post(f"/tasks/{segment(id)}/nack", body, role="worker")
        return str(self._decode(answer, dict[str, Any])["status"])

    async def submit_result(
        self, id: str, token: str, result: Any = None, error: str = ""
    ) -> ResultView:
        """COMPLETED with `result`, or FAILED for good with `error`: no retry, no dead letter.
        The same again with the same token is answered as the first time."""
        body = _ended(Ended(id, token, result, error))
        path = f"/tasks/{segment(id)}/result"
        return self._decode(
            await self._post(path, body, role="worker", safe=bool(token)), ResultView
        )

    async def batch_submit_results(self, results: Sequence[Ended]) -> Sequence[Refused | None]:
        """Up to 100 in one commit, each answered alone: None, or why it was refused."""
        body = {"results": [{"taskId": each.id, **_ended(each)} for each in results]}
        safe = all(each.token for each in results)
        answer = await self._post("/tasks/batch/results", body, role="worker", safe=safe)
        return self._refusals(answer)

    async def exchange(
        self,
        results: Sequence[Ended],
        count: int,
        commands: Sequence[str] = (),
        *,
        lease_seconds: float = 0,
        request_id: str = "",
    ) -> tuple[Sequence[Refused | None], Sequence[TaskView]]:
        """Both in one: up to 100 results, each answered alone, and up to `count` tasks (100 at
        most) that are there now. Backstay's own: a server of codeQ refuses it with 404 or 405."""
        body = {
            "results": [{"taskId": each.id, **_ended(each)} for each in results],
            "count": count,
            "commands": [*commands],
            "leaseSeconds": lease_seconds,
        }
        answer = await self._post("/tasks/exchange", body, role="worker", request_id=request_id)
        got = self._decode(answer, Exchanged)
        refused = {item.index: self._refusal(item) for item in got.refused}
        return [refused.get(index) for index in range(len(results))], got.tasks

    async def create_subscription(
        self,
        callback_url: str,
        event_types: Sequence[str] = (),
        *,
        ttl_seconds: float = 0,
        min_interval_seconds: float = 0,
    ) -> SubscriptionView:
        """Be called at `callback_url` when a task of one of the commands becomes ready."""
        body = given(
            callback_url=callback_url,
            event_types=[*event_types],
            ttl_seconds=ttl_seconds,
            min_interval_seconds=min_interval_seconds,
        )
        answer = await self._post("/workers/subscriptions", body, role="worker")
        return self._decode(answer, SubscriptionView)

    async def renew_subscription(self, id: str, ttl_seconds: float = 0) -> SubscriptionView:
        """It ends `ttl_seconds` from now."""
        path = f"/workers/subscriptions/{segment(id)}/heartbeat"
        body = given(ttl_seconds=ttl_seconds)
        return self._decode(
            await self._post(path, body, role="worker", safe=True), SubscriptionView
        )

    async def delete_subscription(self, id: str) -> None:
        path = f"/workers/subscriptions/{segment(id)}"
        await self._delete(path, role="worker")

    async def list_subscriptions(self) -> Sequence[SubscriptionView]:
        """Those of this tenant."""
        answer = await self._get("/workers/subscriptions", role="worker")
        return self._decode_list(answer, SubscriptionView)


def _beat(beat: Beat) -> dict[str, Any]:
    body: dict[str, Any] = {"taskId": beat.id, "leaseToken": beat.token}
    if beat.seconds:
        body["extendSeconds"] = beat.seconds
    if beat.progress is not None:
        body["progress"] = beat.progress
    return body


def _ended(ended: Ended) -> dict[str, Any]:
    if ended.error:
        body: dict[str, Any] = {"status": "FAILED", "error": ended.error}
        if ended.result is not None:
            body["result"] = ended.result
    else:
        body = {"status": "COMPLETED", "result": {} if ended.result is None else ended.result}
    if ended.token:
        body["leaseToken"] = ended.token
    return body
