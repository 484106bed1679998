"""Routes of those who do the work."""

import msgspec

from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Request, Response, decode_json, json_response
from backstay.queue.api.access import (
    ABANDON,
    CLAIM,
    HEARTBEAT,
    NACK,
    RESULT,
    commands_served,
    require,
    tenant_served,
    worker_name,
)
from backstay.queue.api.reading import (
    Limits,
    check_delay,
    check_token,
    read_lease,
    read_verdict,
    read_wait,
)
from backstay.queue.api.wire import (
    AbandonBody,
    BatchResult,
    ClaimBatchBody,
    ClaimBody,
    HeartbeatBody,
    NackBody,
    ResultBody,
    ResultsBody,
    refused,
    result_view,
    task_view,
)
from backstay.queue.errors import BATCH_SIZE
from backstay.queue.model import Task
from backstay.queue.service import Hold, Queue, Verdict, Want

_CLAIMS = 10
_RESULTS = 100


class Workers:
    """Handlers over one queue."""

    def __init__(self, queue: Queue, limits: Limits) -> None:
        self._queue = queue
        self._limits = limits
        self._claim_body = msgspec.json.Decoder(ClaimBody)
        self._claim_batch_body = msgspec.json.Decoder(ClaimBatchBody)
        self._heartbeat_body = msgspec.json.Decoder(HeartbeatBody)
        self._abandon_body = msgspec.json.Decoder(AbandonBody)
        self._nack_body = msgspec.json.Decoder(NackBody)
        self._result_body = msgspec.json.Decoder(ResultBody)
        self._results_body = msgspec.json.Decoder(ResultsBody)

    def endpoints(self, prefix: str) -> list[Endpoint]:
        one = self._limits.max_payload_bytes + 4096
        return [
            Endpoint("POST", f"{prefix}/tasks/claim", self.claim, kind="long"),
            Endpoint("POST", f"{prefix}/tasks/claim/batch", self.claim_batch, kind="long"),
            Endpoint("POST", f"{prefix}/tasks/{{id}}/heartbeat", self.heartbeat),
            Endpoint("POST", f"{prefix}/tasks/{{id}}/abandon", self.abandon),
            Endpoint("POST", f"{prefix}/tasks/{{id}}/nack", self.nack),
            Endpoint("POST", f"{prefix}/tasks/{{id}}/result", self.result, max_body=one),
            Endpoint("POST", f"{prefix}/tasks/batch/results", self.results, max_body=one * 8),
        ]

    async def claim(self, request: Request) -> Response:
        """One task, or 204 when none came within waitSeconds."""
        require(request.ctx.principal, CLAIM)
        body = decode_json(request, self._claim_body) if request.body else ClaimBody()
        want = self._want(request, body.commands, body.lease_seconds, 1)
        tasks = await self._queue.claim(want, read_wait(body.wait_seconds))
        if not tasks:
            return Response(204)
        return json_response(task_view(tasks[0], with_token=True))

    async def claim_batch(self, request: Request) -> Response:
        require(request.ctx.principal, CLAIM)
        body = decode_json(request, self._claim_batch_body)
        if not 1 <= body.count <= _CLAIMS:
            raise Fault(BATCH_SIZE, limit=_CLAIMS, what="claims", count=body.count)
        tasks = await self._queue.claim(
            self._want(request, body.commands, body.lease_seconds, body.count)
        )
        if not tasks:
            return Response(204)
        return json_response({"tasks": [task_view(task, with_token=True) for task in tasks]})

    async def heartbeat(self, request: Request) -> Response:
        require(request.ctx.principal, HEARTBEAT)
        body = decode_json(request, self._heartbeat_body) if request.body else HeartbeatBody()
        hold = self._hold(request, request.params["id"], body.lease_token, "heartbeat")
        seconds = read_lease(body.extend_seconds, self._limits, "extendSeconds")
        task = await self._queue.extend(hold, seconds)
        return json_response({"ok": True, "leaseUntil": task_view(task).lease_until})

    async def abandon(self, request: Request) -> Response:
        require(request.ctx.principal, ABANDON)
        body = decode_json(request, self._abandon_body) if request.body else AbandonBody()
        await self._queue.abandon(
            self._hold(request, request.params["id"], body.lease_token, "abandon")
        )
        return json_response({"status": "requeued"})

    async def nack(self, request: Request) -> Response:
        require(request.ctx.principal, NACK)
        body = decode_json(request, self._nack_body) if request.body else NackBody()
        hold = self._hold(request, request.params["id"], body.lease_token, "nack")
        check_delay(body.delay_seconds)
        delay = body.delay_seconds if body.delay_seconds > 0 else None
        task = await self._queue.nack(hold, body.reason, delay)
        if task.state == "dead":
            return json_response({"status": "dlq", "delaySeconds": 0})
        return json_response(
            {"status": "requeued", "delaySeconds": round(task.due_at - task.updated_at, 3)}
        )

    async def result(self, request: Request) -> Response:
        require(request.ctx.principal, RESULT)
        body = decode_json(request, self._result_body)
        [answer] = await self._queue.finish([self._verdict(request, request.params["id"], body)])
        if isinstance(answer, Fault):
            raise answer
        return json_response(result_view(answer))

    async def results(self, request: Request) -> Response:
        """Results stand and fail alone, answered in their order."""
        require(request.ctx.principal, RESULT)
        bodies = decode_json(request, self._results_body).results
        if not 1 <= len(bodies) <= _RESULTS:
            raise Fault(BATCH_SIZE, limit=_RESULTS, what="results", count=len(bodies))
        read = [self._try(request, body) for body in bodies]
        done = iter(
            await self._queue.finish([verdict for verdict in read if isinstance(verdict, Verdict)])
        )
        answers = [next(done) if isinstance(verdict, Verdict) else verdict for verdict in read]
        items = [_item(body, answer) for body, answer in zip(bodies, answers, strict=True)]
        return json_response({"results": items})

    def _want(self, request: Request, commands: list[str], lease: float, count: int) -> Want:
        principal = request.ctx.principal
        return Want(
            worker=worker_name(principal),
            tenant=tenant_served(principal),
            commands=commands_served(principal, commands),
            lease_seconds=read_lease(lease, self._limits, "leaseSeconds"),
            count=count,
        )

    def _hold(self, request: Request, id: str, token: str, event: str) -> Hold:
        check_token(token, self._limits, event)
        principal = request.ctx.principal
        return Hold(tenant_served(principal), id, worker_name(principal), token)

    def _verdict(self, request: Request, id: str, body: ResultBody) -> Verdict:
        return read_verdict(body, self._hold(request, id, body.lease_token, "result"))

    def _try(self, request: Request, body: BatchResult) -> Verdict | Fault:
        try:
            return self._verdict(request, body.task_id, body)
        except Fault as fault:
            return fault


def _item(body: BatchResult, answer: Task | Fault) -> dict[str, object]:
    if isinstance(answer, Fault):
        return {"taskId": body.task_id, **refused(answer)}
    return {"taskId": body.task_id, "result": result_view(answer)}
