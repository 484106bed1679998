"""Routes of those who look on, and the ones codeQ has that this version refuses by name."""

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import Fault
from backstay.core.metrics import Registry
from backstay.core.web import Endpoint, Request, Response, decode_json, json_response
from backstay.queue.api.access import ADMIN, require, tenant_served
from backstay.queue.api.reading import read_time
from backstay.queue.api.wire import CleanupBody, listed
from backstay.queue.errors import NOT_SUPPORTED
from backstay.queue.health import StoreHealth
from backstay.queue.loops.gauges import Gauges
from backstay.queue.model import ANY_TENANT, QueueStats
from backstay.queue.service import Queue

_CLEANUP = 10_000

_REFUSED: Sequence[tuple[str, str, str, str]] = (
    ("POST", "/workers/subscriptions", "subscriptions", "claim with waitSeconds up to 30"),
    ("POST", "/workers/subscriptions/{id}/heartbeat", "subscriptions", "claim with waitSeconds"),
    ("GET", "/admin/topics/{name}", "topics", "a command is a queue of its own"),
    ("PUT", "/admin/topics/{name}", "topics", "a command is a queue of its own"),
    ("DELETE", "/admin/topics/{name}", "topics", "a command is a queue of its own"),
    ("GET", "/raft/status", "raft", "this queue is one process; nothing to elect"),
)


class Admin:
    """Handlers over one queue."""

    def __init__(
        self,
        queue: Queue,
        health: StoreHealth,
        gauges: Gauges,
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._health = health
        self._gauges = gauges
        self._registry = registry
        self._clock = clock
        self._cleanup_body = msgspec.json.Decoder(CleanupBody)

    def endpoints(self, prefix: str) -> list[Endpoint]:
        return [
            Endpoint("GET", f"{prefix}/admin/queues", self.queues),
            Endpoint("GET", f"{prefix}/admin/queues/{{command}}", self.queue),
            Endpoint("POST", f"{prefix}/admin/tasks/cleanup", self.cleanup),
            Endpoint("GET", "/healthz", self.healthz),
            Endpoint("GET", "/metrics", self.metrics),
            *(
                Endpoint(method, f"{prefix}{path}", _refusing(feature, instead))
                for method, path, feature, instead in _REFUSED
            ),
        ]

    async def queues(self, request: Request) -> Response:
        """Depths per tenant and command."""
        require(request.ctx.principal, ADMIN)
        found = [self._view([stats]) for stats in await self._seen(request, None)]
        return json_response(listed(found, len(found), ""))

    async def queue(self, request: Request) -> Response:
        """Depths of one command over the tenants that the caller serves."""
        require(request.ctx.principal, ADMIN)
        command = request.params["command"]
        seen = await self._seen(request, command)
        blank = QueueStats("", command, 0, 0, 0, 0)
        return json_response(self._view(seen or [blank]))

    async def cleanup(self, request: Request) -> Response:
        """Delete ended tasks (`command` empty: of all) that ended before `before`, and mend what
        contradicts itself. Pending and running tasks, and ends that a reader has not
        acknowledged, stay (Q30)."""
        require(request.ctx.principal, ADMIN)
        body = decode_json(request, self._cleanup_body) if request.body else CleanupBody()
        limit = body.limit if 0 < body.limit <= _CLEANUP else _CLEANUP
        before = read_time(body.before, "before") if body.before else self._clock.now()
        tenant = tenant_served(request.ctx.principal)
        deleted, mended = await self._queue.cleanup(tenant, body.command, before, limit)
        return json_response(
            {
                "deleted": deleted,
                "repaired": len(mended),
                "before": rfc3339(before),
                "limit": limit,
                "command": body.command,
            }
        )

    async def healthz(self, _request: Request) -> Response:
        """200 while a real write succeeds, 503 naming the store when it does not (Q10)."""
        finding = await self._health.finding()
        if finding.outcome == "pass":
            return json_response({"status": "ok", "checks": {"store": "ok"}})
        told = {"status": "unhealthy", "checks": {"store": finding.error}, **finding.facts}
        return json_response({**told, "error": f"store: {finding.error}"}, 503)

    async def metrics(self, _request: Request) -> Response:
        await self._gauges.refresh()
        return Response(body=self._registry.render(), content_type=b"text/plain; version=0.0.4")

    async def _seen(self, request: Request, command: str | None) -> list[QueueStats]:
        tenant = tenant_served(request.ctx.principal)
        found = await self._queue.stats(command)
        return [stats for stats in found if tenant in (ANY_TENANT, stats.tenant)]

    def _view(self, parts: Sequence[QueueStats]) -> dict[str, object]:
        now = self._clock.now()
        oldest = min((part.oldest_ready_at for part in parts if part.oldest_ready_at), default=0.0)
        waiting = self._queue.waiting(parts[0].command)
        # Who waits is asking now.
        polled = now if waiting else max(part.last_claim_at for part in parts)
        view: dict[str, object] = {
            "command": parts[0].command,
            "ready": sum(part.ready for part in parts),
            "delayed": sum(part.delayed for part in parts),
            "inProgress": sum(part.in_progress for part in parts),
            "dlq": sum(part.dead for part in parts),
            "oldestReadyAgeSeconds": round(max(0.0, now - oldest), 3) if oldest else None,
            "lastClaimAgeSeconds": round(max(0.0, now - polled), 3) if polled else None,
            "waitingClaims": waiting,
        }
        if len(parts) == 1 and parts[0].tenant:
            view["tenantId"] = parts[0].tenant
        return view


class _Refusal:
    """A handler that says what is not there."""

    def __init__(self, feature: str, instead: str) -> None:
        self._feature = feature
        self._instead = instead

    async def __call__(self, _request: Request) -> NoReturn:
        raise Fault(NOT_SUPPORTED, feature=self._feature, instead=self._instead)


def _refusing(feature: str, instead: str) -> _Refusal:
    return _Refusal(feature, instead)
