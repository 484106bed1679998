"""Routes of those who do the work."""

from collections.abc import Callable, Sequence

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.web import Later, Request, Response, json_response
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
from backstay.queue.api.batches import Unread, answers, exchanged, refusals, shown
from backstay.queue.api.bodies import (
    BATCH,
    AbandonBody,
    BatchBeat,
    BatchResult,
    ClaimBatchBody,
    ClaimBody,
    ExchangeBody,
    HeartbeatBody,
    HeartbeatsBody,
    NackBody,
    ResultBody,
    ResultsBody,
)
from backstay.queue.api.calls import Call, Limited
from backstay.queue.api.reading import (
    Limits,
    check_delay,
    check_token,
    read_beat,
    read_finish,
    read_lease,
    read_verdict,
    read_wait,
)
from backstay.queue.api.wire import (
    Beaten,
    Claimed,
    Exchanged,
    Item,
    Items,
    ResultView,
    Returned,
    TaskView,
    lease_until,
    refused,
    result_view,
)
from backstay.queue.errors import BATCH_SIZE
from backstay.queue.model import Task
from backstay.queue.operations import Finish
from backstay.queue.service import Beat, Given, Hold, Queue, Want

Told = Callable[[Given], Response]
_CLAIM: Limited = ("worker", "claim")
_SLOW = 0.25


class Workers:
    """Handlers over one queue."""

    def __init__(self, queue: Queue, clock: Clock, limits: Limits) -> None:
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._largest = limits.largest_body

    def calls(self) -> list[Call]:
        """What is served to workers."""
        return [*self._claiming(), *self._holding(), *self._ending()]

    def _claiming(self) -> list[Call]:
        return [
            Call(
                "POST",
                "/tasks/claim",
                "Lease one task, or 204 when none came within waitSeconds (30 at most).",
                self.claim,
                (CLAIM,),
                ClaimBody,
                optional=True,
                answers={200: TaskView, 204: None},
                kind="long",
                rate=_CLAIM,
            ),
            Call(
                "POST",
                "/tasks/claim/batch",
                f"Lease up to {BATCH} tasks; waits for the first.",
                self.claim_batch,
                (CLAIM,),
                ClaimBatchBody,
                answers={200: Claimed, 204: None},
                kind="long",
                rate=_CLAIM,
            ),
        ]

    def _holding(self) -> list[Call]:
        return [
            Call(
                "POST",
                "/tasks/{id}/heartbeat",
                "The lease ends extendSeconds from now.",
                self.heartbeat,
                (HEARTBEAT,),
                HeartbeatBody,
                optional=True,
                answers={200: Beaten},
                max_body=self._largest,
            ),
            Call(
                "POST",
                "/tasks/batch/heartbeat",
                f"Up to {BATCH} heartbeats, each answered alone.",
                self.heartbeats,
                (HEARTBEAT,),
                HeartbeatsBody,
                answers={200: Items},
                max_body=self._largest,
            ),
            Call(
                "POST",
                "/tasks/{id}/abandon",
                "Hand a task back unworked; the delivery does not count.",
                self.abandon,
                (ABANDON,),
                AbandonBody,
                optional=True,
                answers={200: Returned},
            ),
            Call(
                "POST",
                "/tasks/{id}/nack",
                "The attempt failed: again later, or a dead letter after the last.",
                self.nack,
                (NACK,),
                NackBody,
                optional=True,
                answers={200: Returned},
            ),
        ]

    def _ending(self) -> list[Call]:
        return [
            Call(
                "POST",
                "/tasks/{id}/result",
                "The task ended, COMPLETED or FAILED. The same result sent again is fine.",
                self.result,
                (RESULT,),
                ResultBody,
                answers={200: ResultView},
                max_body=self._largest,
            ),
            Call(
                "POST",
                "/tasks/batch/results",
                f"Up to {BATCH} results; items stand and fail alone, in their order.",
                self.results,
                (RESULT,),
                ResultsBody,
                answers={200: Items},
                max_body=self._largest * 8,
            ),
            Call(
                "POST",
                "/tasks/exchange",
                f"Up to {BATCH} results, and a claim of up to {BATCH} tasks that are there now, in"
                " one commit. Backstay's own: codeQ has the two calls. Needs the scopes of both.",
                self.exchange,
                (RESULT,),
                ExchangeBody,
                answers={200: Exchanged},
                kind="long",
                max_body=self._largest * 8,
                rate=_CLAIM,
            ),
        ]

    async def claim(self, request: Request, body: ClaimBody) -> Response | Later:
        return await self._leased(self._want(request, body, 1), body.wait_seconds, _one)

    async def claim_batch(self, request: Request, body: ClaimBatchBody) -> Response | Later:
        _check_size(body.count, "claims")
        return await self._leased(self._want(request, body, body.count), body.wait_seconds, _all)

    async def _leased(self, want: Want, wait_seconds: float, told: Told) -> Response | Later:
        """At once where there is work or no wish to wait: a client is watched only while it
        waits (decision 22)."""
        began = self._clock.tick()
        tasks = await self._queue.claim_now(want)
        wait = read_wait(wait_seconds)
        slow = self._clock.tick() - began > _SLOW

        async def waiting() -> Response:
            return told(await self._queue.claim(want, wait))

        async def still_there() -> Response:
            return told(await self._queue.handed(tasks))

        if tasks and slow:
            # Its client may have given up meanwhile.
            return Later(still_there)
        return told(tasks) if tasks or not wait else Later(waiting)

    async def heartbeat(self, request: Request, body: HeartbeatBody) -> Response:
        task = await self._queue.extend(self._beat(request, request.params["id"], body))
        return json_response(Beaten(True, lease_until(task)))

    async def heartbeats(self, request: Request, body: HeartbeatsBody) -> Response:
        bodies = body.heartbeats
        _check_size(len(bodies), "heartbeats")
        read = [self._try_beat(request, one) for one in bodies]
        done = iter(await self._queue.extend_all([beat for beat in read if isinstance(beat, Beat)]))
        answers = [next(done) if isinstance(beat, Beat) else beat for beat in read]
        items = [_beaten(one, answer) for one, answer in zip(bodies, answers, strict=True)]
        return json_response(Items(items))

    async def abandon(self, request: Request, body: AbandonBody) -> Response:
        hold = self._hold(request, request.params["id"], body.lease_token, "abandon")
        task = await self._queue.abandon(hold)
        return json_response(Returned("requeued", _delay(task)))

    async def nack(self, request: Request, body: NackBody) -> Response:
        hold = self._hold(request, request.params["id"], body.lease_token, "nack")
        check_delay(body.delay_seconds)
        delay = body.delay_seconds if body.delay_seconds > 0 else None
        task = await self._queue.nack(hold, body.reason, delay)
        if task.state == "dead":
            return json_response(Returned("dlq"))
        return json_response(Returned("requeued", _delay(task)))

    async def result(self, request: Request, body: ResultBody) -> Response:
        hold = self._hold(request, request.params["id"], body.lease_token, "result")
        [answer] = await self._queue.finish([read_verdict(body, hold)])
        if isinstance(answer, Fault):
            raise answer
        return json_response(result_view(answer))

    async def results(self, request: Request, body: ResultsBody) -> Response:
        bodies = body.results
        _check_size(len(bodies), "results")
        read = self._read_results(request, bodies)
        finished = await self._queue.finish_all([one for one in read if isinstance(one, Finish)])
        return json_response(Items(answers(read, finished)))

    async def exchange(self, request: Request, body: ExchangeBody) -> Response | Later:
        """A busy worker needs both at once: a request, a wake-up and a commit less a batch."""
        require(request.ctx.principal, CLAIM)
        _check_size(len(body.results) or 1, "results")
        _check_size(body.count or 1, "claims")
        read = self._read_results(request, body.results)
        ended = [one for one in read if isinstance(one, Finish)]
        began = self._clock.tick()
        tasks: Given = ()
        if body.count:
            want = self._want(request, body, body.count)
            finished, tasks = await self._queue.exchange(ended, want)
        else:
            finished = await self._queue.finish_all(ended)
        answer = exchanged(refusals(read, finished), tasks)

        async def still_there() -> Response:
            await self._queue.handed(tasks)
            return answer

        slow = self._clock.tick() - began > _SLOW
        return Later(still_there) if tasks and slow else answer

    def _want(
        self, request: Request, body: ClaimBody | ClaimBatchBody | ExchangeBody, count: int
    ) -> Want:
        principal = request.ctx.principal
        return Want(
            worker_name(principal),
            tenant_served(principal),
            commands_served(principal, body.commands),
            read_lease(body.lease_seconds, self._limits, "leaseSeconds"),
            count,
            shown=True,
        )

    def _hold(self, request: Request, id: str, token: str, event: str) -> Hold:
        check_token(token, self._limits, event)
        principal = request.ctx.principal
        return Hold(tenant_served(principal), id, worker_name(principal), token)

    def _beat(self, request: Request, id: str, body: HeartbeatBody) -> Beat:
        return read_beat(body, self._hold(request, id, body.lease_token, "heartbeat"), self._limits)

    def _read_results(
        self, request: Request, bodies: Sequence[BatchResult]
    ) -> list[Finish | Unread]:
        principal = request.ctx.principal
        tenant, worker = tenant_served(principal), worker_name(principal)
        read: list[Finish | Unread] = []
        for body in bodies:
            try:
                check_token(body.lease_token, self._limits, "result")
                read.append(read_finish(body, tenant, worker))
            except Fault as fault:
                read.append((body.task_id, fault))
        return read

    def _try_beat(self, request: Request, body: BatchBeat) -> Beat | Fault:
        try:
            return self._beat(request, body.task_id, body)
        except Fault as fault:
            return fault


def _one(tasks: Given) -> Response:
    return Response(body=shown(tasks)) if tasks else Response(204)


def _all(tasks: Given) -> Response:
    return Response(body=b'{"tasks":[%b]}' % shown(tasks)) if tasks else Response(204)


def _check_size(count: int, what: str) -> None:
    if not 1 <= count <= BATCH:
        raise Fault(BATCH_SIZE, limit=BATCH, what=what, count=count)


def _delay(task: Task) -> float:
    return round(max(0.0, task.due_at - task.updated_at), 3)


def _beaten(body: BatchBeat, answer: Task | Fault) -> Item:
    if isinstance(answer, Fault):
        return refused(answer, body.task_id)
    return Item(body.task_id, ok=True, lease_until=lease_until(answer))
