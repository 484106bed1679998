"""Routes of those who create tasks and read what became of them."""

import msgspec

from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault
from backstay.core.web import Later, Request, Response, json_response
from backstay.queue.api.access import ADMIN, LOOKERS, PRODUCE, tenant_served
from backstay.queue.api.bodies import (
    BATCH,
    AckBody,
    CancelBody,
    CancelManyBody,
    NewTask,
    NewTasks,
    OutcomesQuery,
    RescheduleBody,
    ResultQuery,
    Search,
)
from backstay.queue.api.calls import Call, Limited
from backstay.queue.api.reading import (
    LONGEST_RESULT_WAIT,
    Limits,
    read_due,
    read_filter,
    read_states,
    read_task,
    read_wait,
)
from backstay.queue.api.wire import (
    Acknowledged,
    Attempts,
    Count,
    Item,
    Items,
    Outcomes,
    TaskAndResult,
    TaskPage,
    TaskView,
    attempt_view,
    outcome_view,
    refused,
    result_view,
    task_page,
    task_view,
)
from backstay.queue.errors import BATCH_SIZE, EMPTY_FILTER
from backstay.queue.model import ANY_TENANT, State, Task
from backstay.queue.operations import Create
from backstay.queue.service import Bulk, Queue

_CHANGE = (PRODUCE, ADMIN)
_UNFINISHED: tuple[State, ...] = ("ready", "delayed", "leased")
_CREATE: Limited = ("producer", "create_task")


class Producers:
    """Handlers over one queue."""

    def __init__(self, queue: Queue, bulk: Bulk, clock: Clock, ids: Ids, limits: Limits) -> None:
        self._queue = queue
        self._bulk = bulk
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._largest = limits.largest_body

    def calls(self) -> list[Call]:
        """What is served to producers."""
        return [*self._creating(), *self._looking(), *self._changing(), *self._answering()]

    def _creating(self) -> list[Call]:
        return [
            Call(
                "POST",
                "/tasks",
                "Create a task; 202 once it is durable. The same idempotency key gives it again.",
                self.create,
                (PRODUCE,),
                NewTask,
                answers={202: TaskView},
                max_body=self._largest,
                rate=_CREATE,
            ),
            Call(
                "POST",
                "/tasks/batch",
                f"Create up to {BATCH} tasks; items stand and fail alone, in their order.",
                self.create_batch,
                (PRODUCE,),
                NewTasks,
                answers={200: Items},
                max_body=self._largest * 8,
                rate=_CREATE,
            ),
        ]

    def _looking(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/tasks",
                "Search, in the order of arrival.",
                self.page,
                given=Search,
                answers={200: TaskPage},
                scopes=LOOKERS,
            ),
            Call(
                "GET", "/tasks/{id}", "One task.", self.get, answers={200: TaskView}, scopes=LOOKERS
            ),
            Call(
                "GET",
                "/tasks/{id}/result",
                "The task and its result; waits for it up to waitSeconds (60 at most).",
                self.result,
                given=ResultQuery,
                answers={200: TaskAndResult},
                kind="long",
                scopes=LOOKERS,
            ),
            Call(
                "GET",
                "/tasks/{id}/attempts",
                "The deliveries of a task, first to last.",
                self.attempts,
                answers={200: Attempts},
                scopes=LOOKERS,
            ),
        ]

    def _changing(self) -> list[Call]:
        return [
            Call(
                "POST",
                "/tasks/{id}/cancel",
                "End a task before a worker does. Cancelling twice is fine.",
                self.cancel,
                given=CancelBody,
                optional=True,
                scopes=_CHANGE,
                answers={200: TaskView},
            ),
            Call(
                "POST",
                "/tasks/cancel",
                "End every unfinished task that a filter finds.",
                self.cancel_many,
                _CHANGE,
                CancelManyBody,
                answers={200: Count},
            ),
            Call(
                "POST",
                "/tasks/{id}/retry",
                "A waiting task becomes due now; a failed, dead or cancelled one begins anew.",
                self.retry,
                scopes=_CHANGE,
                answers={200: TaskView},
            ),
            Call(
                "POST",
                "/tasks/{id}/reschedule",
                "A waiting task becomes due at another time.",
                self.reschedule,
                given=RescheduleBody,
                optional=True,
                scopes=_CHANGE,
                answers={200: TaskView},
            ),
        ]

    def _answering(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/replies/{name}",
                "Ended tasks with replyTo `name`, at least once, until acknowledged.",
                self.outcomes,
                (PRODUCE,),
                OutcomesQuery,
                answers={200: Outcomes},
                kind="long",
            ),
            Call(
                "POST",
                "/replies/{name}/ack",
                "These outcomes are stored; they are not shown again.",
                self.ack,
                (PRODUCE,),
                AckBody,
                answers={200: Acknowledged},
            ),
        ]

    async def create(self, request: Request, body: NewTask) -> Response:
        op = read_task(body, request.ctx, self._ids.new(), self._limits, self._clock.now())
        [result] = await self._queue.create([op])
        if isinstance(result, Fault):
            raise result
        return json_response(task_view(result), 202)

    async def create_batch(self, request: Request, body: NewTasks) -> Response:
        bodies = body.tasks
        if not 1 <= len(bodies) <= BATCH:
            raise Fault(BATCH_SIZE, limit=BATCH, what="tasks", count=len(bodies))
        now = self._clock.now()
        read = [self._try(request, body, now) for body in bodies]
        created = iter(await self._queue.create([op for op in read if isinstance(op, Create)]))
        results = [next(created) if isinstance(op, Create) else op for op in read]
        return json_response(Items([_item(result) for result in results]))

    async def get(self, request: Request) -> Response:
        tenant = tenant_served(request.ctx.principal)
        return json_response(task_view(await self._queue.task(tenant, request.params["id"])))

    async def result(self, request: Request, query: ResultQuery) -> Later:
        wait = read_wait(query.wait_seconds, LONGEST_RESULT_WAIT)
        tenant, id_ = tenant_served(request.ctx.principal), request.params["id"]

        async def waiting() -> Response:
            task = await self._queue.result(tenant, id_, wait)
            return json_response(TaskAndResult(task_view(task), result_view(task)))

        return Later(waiting)

    async def attempts(self, request: Request) -> Response:
        id_ = request.params["id"]
        found = await self._queue.attempts(tenant_served(request.ctx.principal), id_)
        return json_response(Attempts(id_, [attempt_view(attempt) for attempt in found]))

    async def cancel(self, request: Request, body: CancelBody) -> Response:
        tenant = tenant_served(request.ctx.principal)
        task = await self._queue.cancel(tenant, request.params["id"], body.reason)
        return json_response(task_view(task))

    async def cancel_many(self, request: Request, body: CancelManyBody) -> Response:
        if not (body.command or body.tag or body.key or body.worker):
            raise Fault(EMPTY_FILTER)
        query = read_filter(body, tenant_served(request.ctx.principal), _UNFINISHED)
        done = await self._bulk.cancel(query, body.reason, body.limit)
        return json_response(Count(done.count, done.more))

    async def retry(self, request: Request) -> Response:
        tenant = tenant_served(request.ctx.principal)
        return json_response(task_view(await self._queue.retry(tenant, request.params["id"])))

    async def reschedule(self, request: Request, body: RescheduleBody) -> Response:
        due = read_due(body.run_at, body.delay_seconds, self._clock.now())
        tenant = tenant_served(request.ctx.principal)
        task = await self._queue.reschedule(tenant, request.params["id"], due)
        return json_response(task_view(task))

    async def page(self, request: Request, query: Search) -> Response:
        tenant = tenant_served(request.ctx.principal)
        if tenant == ANY_TENANT and query.tenant:
            tenant = query.tenant
        found = msgspec.structs.replace(
            read_filter(query, tenant),
            states=read_states(query.status, query.state),
            newest_first=query.order == "newest",
            after=query.cursor,
            limit=query.limit,
        )
        return json_response(task_page(await self._queue.page(found), query.limit))

    async def outcomes(self, request: Request, query: OutcomesQuery) -> Later:
        wait = read_wait(query.wait_seconds)
        tenant, name = tenant_served(request.ctx.principal), request.params["name"]

        async def waiting() -> Response:
            tasks = await self._queue.outcomes(tenant, name, wait, query.limit)
            return json_response(Outcomes([outcome_view(task) for task in tasks]))

        return Later(waiting)

    async def ack(self, request: Request, body: AckBody) -> Response:
        tenant = tenant_served(request.ctx.principal)
        count = await self._queue.ack(tenant, request.params["name"], body.task_ids)
        return json_response(Acknowledged(count))

    def _try(self, request: Request, body: NewTask, now: float) -> Create | Fault:
        try:
            return read_task(body, request.ctx, self._ids.new(), self._limits, now)
        except Fault as fault:
            return fault


def _item(result: Task | Fault) -> Item:
    return refused(result) if isinstance(result, Fault) else Item(task=task_view(result))
