"""Routes of those who look after queues, and those of codeQ that this version refuses by name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import Fault
from backstay.core.metrics import Registry
from backstay.core.web import Request, Response, json_response
from backstay.queue.api.access import ADMIN, require_all_tenants, tenant_served
from backstay.queue.api.bodies import AuditBody, CleanupBody, PageQuery, PurgeBody, RedriveBody
from backstay.queue.api.calls import Call, refusing
from backstay.queue.api.reading import read_filter, read_states, read_time
from backstay.queue.api.wire import (
    Audited,
    BackedUp,
    Cleaned,
    Contradiction,
    Count,
    Healthy,
    QueuePage,
    QueueView,
    TaskPage,
    pagination,
    task_page,
)
from backstay.queue.errors import BAD_NUMBER, BAD_QUERY
from backstay.queue.health import StoreHealth
from backstay.queue.loops.gauges import Gauges
from backstay.queue.model import ANY_TENANT, ENDED, QueueStats, State, TaskQuery
from backstay.queue.service import Bulk, Queue
from backstay.queue.service.policies import Policies

_ADMINS = (ADMIN,)
_CLEANUP = 10_000
_SLOWEST = 1e-4
_QUEUE = "/admin/queues/{command}"
_DEAD: tuple[State, ...] = ("dead",)
_PLAIN = b"text/plain; version=0.0.4"

_REFUSED: Sequence[tuple[str, str, str, str]] = (
    ("GET", "/admin/topics", "topics", "a command is a queue of its own"),
    ("GET", "/admin/topics/{name}", "topics", "a command is a queue of its own"),
    ("PUT", "/admin/topics/{name}", "topics", "a command is a queue of its own"),
    ("DELETE", "/admin/topics/{name}", "topics", "a command is a queue of its own"),
    ("GET", "/artifacts", "artifacts", "store them elsewhere, send a link"),
    ("GET", "/admin/artifacts", "artifacts", "store them elsewhere, send a link"),
    ("GET", "/raft/status", "raft", "this queue is one process; nothing to elect"),
)


class Admin:
    """Handlers over one queue. `data` is the folder under which backups are made."""

    def __init__(
        self, queue: Queue, bulk: Bulk, policies: Policies, clock: Clock, data: Path
    ) -> None:
        self._queue = queue
        self._bulk = bulk
        self._policies = policies
        self._clock = clock
        self._data = data

    def calls(self) -> list[Call]:
        """What is served to admins."""
        return [*self._looking(), *self._clearing(), *self._keeping(), *_refused()]

    def _looking(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/admin/queues",
                "Depths per tenant and command.",
                self.queues,
                answers={200: QueuePage},
                scopes=_ADMINS,
            ),
            Call(
                "GET",
                _QUEUE,
                "Depths of one command over the tenants that the caller serves.",
                self.queue,
                answers={200: QueueView},
                scopes=_ADMINS,
            ),
            Call(
                "GET",
                f"{_QUEUE}/dlq",
                "Dead letters.",
                self.dead,
                given=PageQuery,
                answers={200: TaskPage},
                scopes=_ADMINS,
            ),
        ]

    def _clearing(self) -> list[Call]:
        return [
            Call(
                "POST",
                f"{_QUEUE}/redrive",
                "Dead letters begin anew; with a rate one after the other.",
                self.redrive,
                given=RedriveBody,
                optional=True,
                answers={200: Count},
                scopes=_ADMINS,
            ),
            Call(
                "POST",
                f"{_QUEUE}/purge",
                "Delete ended tasks of this command, with their results and keys.",
                self.purge,
                given=PurgeBody,
                optional=True,
                answers={200: Count},
                scopes=_ADMINS,
            ),
            Call(
                "POST",
                "/admin/tasks/cleanup",
                "Delete what ended before a time, and for who serves all tenants mend the store.",
                self.cleanup,
                given=CleanupBody,
                optional=True,
                answers={200: Cleaned},
                rate=("admin", "cleanup"),
                scopes=_ADMINS,
            ),
        ]

    def _keeping(self) -> list[Call]:
        return [
            Call(
                "POST",
                "/admin/audit",
                "What contradicts itself in the store, mended on request.",
                self.audit,
                given=AuditBody,
                optional=True,
                answers={200: Audited},
                scopes=_ADMINS,
            ),
            Call(
                "POST",
                "/admin/backup",
                "A consistent copy of the store in the data folder's backups/.",
                self.backup,
                answers={200: BackedUp},
                scopes=_ADMINS,
            ),
        ]

    async def queues(self, request: Request) -> Response:
        tenant = tenant_served(request.ctx.principal)
        found = [self._view([stats], tenant) for stats in await self._seen(tenant, None)]
        return json_response(QueuePage(found, pagination(len(found), "")))

    async def queue(self, request: Request) -> Response:
        tenant, command = tenant_served(request.ctx.principal), request.params["command"]
        seen = await self._seen(tenant, command)
        if not seen:
            held = await self._policies.of(tenant, command)
            seen = [QueueStats("", command, 0, 0, 0, 0, paused=held.policy.paused)]
        return json_response(self._view(seen, tenant))

    async def dead(self, request: Request, query: PageQuery) -> Response:
        tenant = tenant_served(request.ctx.principal)
        found = TaskQuery(
            tenant=None if tenant == ANY_TENANT else tenant,
            command=request.params["command"],
            states=_DEAD,
            newest_first=query.order == "newest",
            after=query.cursor,
            limit=query.limit,
        )
        return json_response(task_page(await self._queue.page(found), query.limit))

    async def redrive(self, request: Request, body: RedriveBody) -> Response:
        query = read_filter(body.filter, tenant_served(request.ctx.principal), _DEAD)
        _check_ended(query.states, ENDED - {"completed"})
        query = msgspec.structs.replace(query, command=request.params["command"])
        if 0 < body.rate_per_second < _SLOWEST:
            # The last of many would be due beyond the years that can be written.
            rule = f"0, or at least {_SLOWEST:g}"
            raise Fault(BAD_NUMBER, field="ratePerSecond", rule=rule, value=body.rate_per_second)
        done = await self._bulk.redrive(query, body.rate_per_second, body.limit)
        return json_response(Count(done.count, done.more))

    async def purge(self, request: Request, body: PurgeBody) -> Response:
        states = read_states(body.status)
        _check_ended(states, ENDED)
        before = read_time(body.before, "before") if body.before else self._clock.now()
        tenant, command = tenant_served(request.ctx.principal), request.params["command"]
        done = await self._bulk.purge(tenant, command, states, before, body.limit)
        return json_response(Count(done.count, done.more))

    async def cleanup(self, request: Request, body: CleanupBody) -> Response:
        """Pending and running tasks, and ends that a reader has not acknowledged, stay (Q30)."""
        limit = body.limit if 0 < body.limit <= _CLEANUP else _CLEANUP
        before = read_time(body.before, "before") if body.before else self._clock.now()
        tenant = tenant_served(request.ctx.principal)
        deleted, mended = await self._bulk.cleanup(tenant, body.command, before, limit)
        return json_response(Cleaned(deleted, len(mended), rfc3339(before), limit, body.command))

    async def audit(self, request: Request, body: AuditBody) -> Response:
        require_all_tenants(request.ctx.principal, "an audit")
        found = await self._bulk.audit(body.repair, body.command)
        told = [Contradiction(one.kind, one.id, one.says, one.repaired) for one in found]
        return json_response(Audited(told, sum(one.repaired for one in found)))

    async def backup(self, request: Request) -> Response:
        require_all_tenants(request.ctx.principal, "a backup")
        moment = rfc3339(self._clock.now()).translate(_FILE_NAME)
        path = self._data / "backups" / f"queue-{moment}.db"
        size = await self._bulk.backup(path)
        return json_response(BackedUp(f"backups/{path.name}", size))

    async def _seen(self, tenant: str, command: str | None) -> list[QueueStats]:
        found = await self._queue.stats(command)
        return [stats for stats in found if tenant in (ANY_TENANT, stats.tenant)]

    def _view(self, parts: Sequence[QueueStats], tenant: str) -> QueueView:
        now = self._clock.now()
        oldest = min((part.oldest_ready_at for part in parts if part.oldest_ready_at), default=0.0)
        waiting = self._queue.waiting(parts[0].command, tenant)
        # Who waits is asking now.
        polled = now if waiting else max(part.last_claim_at for part in parts)
        return QueueView(
            command=parts[0].command,
            ready=sum(part.ready for part in parts),
            delayed=sum(part.delayed for part in parts),
            in_progress=sum(part.in_progress for part in parts),
            dlq=sum(part.dead for part in parts),
            oldest_ready_age_seconds=round(max(0.0, now - oldest), 3) if oldest else None,
            last_claim_age_seconds=round(max(0.0, now - polled), 3) if polled else None,
            waiting_claims=waiting,
            paused=all(part.paused for part in parts),
            tenant_id=parts[0].tenant if len(parts) == 1 else "",
        )


_FILE_NAME = str.maketrans("", "", "-:.")


class Open:
    """Routes outside the prefix that need no token: health, and metrics unless `guarded`."""

    def __init__(
        self,
        health: StoreHealth,
        gauges: Gauges,
        registry: Registry,
        document: Callable[[], bytes],
        *,
        guarded: bool,
    ) -> None:
        self._health = health
        self._gauges = gauges
        self._registry = registry
        self._document = document
        self._scopes = _ADMINS if guarded else ()

    def calls(self) -> list[Call]:
        """What is served to everybody, or of the metrics to admins."""
        return [
            Call(
                "GET",
                "/healthz",
                "200 while a real write succeeds, 503 naming the store when it does not (Q10).",
                self.healthz,
                answers={200: Healthy, 503: Healthy},
            ),
            Call(
                "GET",
                "/metrics",
                "Prometheus text.",
                self.metrics,
                answers={200: str},
                scopes=self._scopes,
            ),
            Call("GET", "/openapi.json", "This document.", self.openapi, answers={200: dict}),
        ]

    async def healthz(self, _request: Request) -> Response:
        finding = await self._health.finding()
        if finding.outcome in ("pass", "warn"):
            return json_response(Healthy("ok", {"store": "ok"}))
        told = {"status": "unhealthy", "checks": {"store": finding.error}, **finding.facts}
        return json_response({**told, "error": f"store: {finding.error}"}, 503)

    async def metrics(self, _request: Request) -> Response:
        await self._gauges.refresh()
        return Response(body=self._registry.render(), content_type=_PLAIN)

    async def openapi(self, _request: Request) -> Response:
        return Response(body=self._document())


def _refused() -> list[Call]:
    return [
        refusing(method, path, feature, instead, _ADMINS)
        for method, path, feature, instead in _REFUSED
    ]


def _check_ended(states: Sequence[State], allowed: frozenset[State]) -> None:
    """Raises QUEUE018 for a status whose tasks this must not touch."""
    for state in states:
        if state not in allowed:
            rule = "an end: " + ", ".join(sorted(allowed)).upper()
            raise Fault(BAD_QUERY, name="status", value=state, rule=rule)
