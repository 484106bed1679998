"""Routes of those who create tasks and read what became of them."""

from typing import get_args

import msgspec

from backstay.core.clock import Clock, Ids
from backstay.core.errors import Fault
from backstay.core.web import Endpoint, Request, Response, decode_json, json_response
from backstay.queue.api.access import ADMIN, LOOKERS, PRODUCE, require, tenant_served
from backstay.queue.api.reading import (
    LONGEST_WAIT,
    Limits,
    query_number,
    query_text,
    read_task,
)
from backstay.queue.api.wire import (
    STATUS,
    AckBody,
    CancelBody,
    NewTask,
    NewTasks,
    listed,
    outcome_view,
    refused,
    result_view,
    task_view,
)
from backstay.queue.errors import BAD_QUERY, BATCH_SIZE
from backstay.queue.model import ANY_TENANT, Create, State, Task, TaskQuery
from backstay.queue.service import Queue

_BATCH = 100
_PAGE = 200
_OUTCOMES = 100
# Room for the fields around the payload: the payload's own limit is judged after decoding.
_ENVELOPE = 4096


class Producers:
    """Handlers over one queue."""

    def __init__(self, queue: Queue, clock: Clock, ids: Ids, limits: Limits) -> None:
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._task = msgspec.json.Decoder(NewTask)
        self._tasks = msgspec.json.Decoder(NewTasks)
        self._cancel_body = msgspec.json.Decoder(CancelBody)
        self._ack_body = msgspec.json.Decoder(AckBody)

    def endpoints(self, prefix: str) -> list[Endpoint]:
        one = self._limits.max_payload_bytes + _ENVELOPE
        return [
            Endpoint("POST", f"{prefix}/tasks", self.create, max_body=one),
            Endpoint("POST", f"{prefix}/tasks/batch", self.create_batch, max_body=one * 8),
            Endpoint("GET", f"{prefix}/tasks", self.page),
            Endpoint("GET", f"{prefix}/tasks/{{id}}", self.get),
            Endpoint("GET", f"{prefix}/tasks/{{id}}/result", self.result, kind="long"),
            Endpoint("POST", f"{prefix}/tasks/{{id}}/cancel", self.cancel),
            Endpoint("GET", f"{prefix}/replies/{{name}}", self.outcomes, kind="long"),
            Endpoint("POST", f"{prefix}/replies/{{name}}/ack", self.ack),
        ]

    async def create(self, request: Request) -> Response:
        """202 only after it is durable; the same idempotency key gives the first task again."""
        require(request.ctx.principal, PRODUCE)
        body = decode_json(request, self._task)
        [result] = await self._queue.create([self._read(request, body)])
        if isinstance(result, Fault):
            raise result
        return json_response(task_view(result), 202)

    async def create_batch(self, request: Request) -> Response:
        """Items stand and fail alone, answered in their order."""
        require(request.ctx.principal, PRODUCE)
        bodies = decode_json(request, self._tasks).tasks
        if not 1 <= len(bodies) <= _BATCH:
            raise Fault(BATCH_SIZE, limit=_BATCH, what="tasks", count=len(bodies))
        read = [self._try(request, body) for body in bodies]
        created = iter(await self._queue.create([op for op in read if isinstance(op, Create)]))
        results = [next(created) if isinstance(op, Create) else op for op in read]
        return json_response({"results": [_item(result) for result in results]})

    async def get(self, request: Request) -> Response:
        require(request.ctx.principal, *LOOKERS)
        tenant = tenant_served(request.ctx.principal)
        return json_response(task_view(await self._queue.task(tenant, request.params["id"])))

    async def result(self, request: Request) -> Response:
        require(request.ctx.principal, *LOOKERS)
        wait = query_number(request, "waitSeconds", 0.0, 0.0, 2 * LONGEST_WAIT)
        tenant = tenant_served(request.ctx.principal)
        task = await self._queue.result(tenant, request.params["id"], wait)
        return json_response({"task": task_view(task), "result": result_view(task)})

    async def cancel(self, request: Request) -> Response:
        require(request.ctx.principal, PRODUCE, ADMIN)
        body = decode_json(request, self._cancel_body) if request.body else CancelBody()
        tenant = tenant_served(request.ctx.principal)
        task = await self._queue.cancel(tenant, request.params["id"], body.reason)
        return json_response(task_view(task))

    async def page(self, request: Request) -> Response:
        require(request.ctx.principal, *LOOKERS)
        tenant = tenant_served(request.ctx.principal)
        limit = int(query_number(request, "limit", 50, 1, _PAGE))
        query = TaskQuery(
            tenant=None if tenant == ANY_TENANT else tenant,
            command=query_text(request, "command"),
            states=_states(request),
            after=query_text(request, "cursor"),
            limit=limit,
        )
        page = await self._queue.page(query)
        return json_response(listed([task_view(task) for task in page.items], limit, page.next))

    async def outcomes(self, request: Request) -> Response:
        """At least once, until acknowledged; oldest end first."""
        require(request.ctx.principal, PRODUCE)
        wait = query_number(request, "waitSeconds", 0.0, 0.0, LONGEST_WAIT)
        limit = int(query_number(request, "limit", _OUTCOMES, 1, _OUTCOMES))
        tenant = tenant_served(request.ctx.principal)
        tasks = await self._queue.outcomes(tenant, request.params["name"], wait, limit)
        return json_response({"outcomes": [outcome_view(task) for task in tasks]})

    async def ack(self, request: Request) -> Response:
        require(request.ctx.principal, PRODUCE)
        ids = decode_json(request, self._ack_body).task_ids
        tenant = tenant_served(request.ctx.principal)
        count = await self._queue.ack(tenant, request.params["name"], ids)
        return json_response({"acknowledged": count})

    def _read(self, request: Request, body: NewTask) -> Create:
        tenant = request.ctx.principal.tenant
        return read_task(body, tenant, self._ids.new(), self._limits, self._clock.now())

    def _try(self, request: Request, body: NewTask) -> Create | Fault:
        try:
            return self._read(request, body)
        except Fault as fault:
            return fault


def _item(result: Task | Fault) -> dict[str, object]:
    return dict(refused(result)) if isinstance(result, Fault) else {"task": task_view(result)}


def _states(request: Request) -> tuple[State, ...]:
    """`status` in codeQ's words, `state` in the finer ones of the queue itself."""
    status, state = query_text(request, "status").upper(), query_text(request, "state")
    if status and status not in STATUS.values():
        rule = "one of " + ", ".join(dict.fromkeys(STATUS.values()))
        raise Fault(BAD_QUERY, name="status", value=status[:40], rule=rule)
    if state and state not in get_args(State):
        rule = "one of " + ", ".join(get_args(State))
        raise Fault(BAD_QUERY, name="state", value=state[:40], rule=rule)
    if not status and not state:
        return ()
    return tuple(
        own for own, shown in STATUS.items() if status in ("", shown) and state in ("", own)
    )
