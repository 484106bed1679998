"""Routes that pause and bound a queue."""

from typing import Annotated

import msgspec

from backstay.core.clock import rfc3339
from backstay.core.web import Request, Response, json_response
from backstay.queue.api.access import ADMIN, tenant_named
from backstay.queue.api.bodies import In
from backstay.queue.api.calls import Call
from backstay.queue.api.reading import read_command
from backstay.queue.model import ANY_TENANT, Policy
from backstay.queue.service.policies import InForce, Policies

_ADMINS = (ADMIN,)
_MOST = 1_000_000

_Most = Annotated[int, msgspec.Meta(ge=0, le=_MOST, description="0: no bound")]
_PerSecond = Annotated[float, msgspec.Meta(ge=0, le=_MOST, description="0: no bound")]


class OfTenant(In, frozen=True):
    """`tenant` counts for those who serve all; left out, every tenant's queue is meant."""

    tenant: str = ""


class PolicyBody(OfTenant, frozen=True):
    """The whole policy: what is left out is unbounded. `concurrency` bounds tasks in progress,
    `rate` claims a second with `burst` at once; `key…` the same for the tasks of each key."""

    paused: bool = False
    concurrency: _Most = 0
    rate: _PerSecond = 0
    burst: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] = 1
    key_concurrency: _Most = 0
    key_rate: _PerSecond = 0


class PolicyView(msgspec.Struct, frozen=True, rename="camel"):
    """What holds. `tenantId` `*` is the policy of every tenant; `inherited`: the queue that was
    asked for has none of its own; with one, each bound is the tighter of both. `pausedForAll`: the
    policy of every tenant is what pauses it."""

    command: str
    tenant_id: str
    paused: bool
    concurrency: int
    rate: float
    burst: int
    key_concurrency: int
    key_rate: float
    inherited: bool
    paused_for_all: bool
    updated_at: str | None


class PolicyFace:
    """Handlers over the policies."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def calls(self) -> list[Call]:
        """What is served to admins."""
        queue = "/admin/queues/{command}"
        shown = {200: PolicyView}
        return [
            Call(
                "GET",
                f"{queue}/policy",
                "What bounds this queue.",
                self.get,
                given=OfTenant,
                answers=shown,
                scopes=_ADMINS,
            ),
            Call(
                "PUT",
                f"{queue}/policy",
                "Bound this queue; without any bound its policy is taken away.",
                self.put,
                given=PolicyBody,
                answers=shown,
                scopes=_ADMINS,
            ),
            *(
                Call(
                    "POST",
                    f"{queue}/{word}",
                    says,
                    handler,
                    given=OfTenant,
                    optional=True,
                    answers=shown,
                    scopes=_ADMINS,
                )
                for word, says, handler in (
                    ("pause", "Nothing more is claimed; what is leased goes on.", self.pause),
                    ("resume", "Tasks may be claimed again.", self.resume),
                )
            ),
        ]

    async def get(self, request: Request, query: OfTenant) -> Response:
        return _shown(await self._policies.of(*_queue(request, query)))

    async def put(self, request: Request, body: PolicyBody) -> Response:
        tenant, command = _queue(request, body)
        policy = Policy(
            tenant=tenant,
            command=command,
            paused=body.paused,
            concurrency=body.concurrency,
            rate=body.rate,
            burst=body.burst,
            key_concurrency=body.key_concurrency,
            key_rate=body.key_rate,
        )
        return _shown(await self._policies.put(policy))

    async def pause(self, request: Request, body: OfTenant) -> Response:
        return _shown(await self._policies.pause(*_queue(request, body), paused=True))

    async def resume(self, request: Request, body: OfTenant) -> Response:
        return _shown(await self._policies.pause(*_queue(request, body), paused=False))


def _queue(request: Request, given: OfTenant) -> tuple[str, str]:
    command = read_command(request.params["command"])
    return tenant_named(request.ctx.principal, given.tenant, ANY_TENANT), command


def _shown(held: InForce) -> Response:
    policy = held.policy
    return json_response(
        PolicyView(
            command=policy.command,
            tenant_id=policy.tenant,
            paused=policy.paused,
            concurrency=policy.concurrency,
            rate=policy.rate,
            burst=policy.burst,
            key_concurrency=policy.key_concurrency,
            key_rate=policy.key_rate,
            inherited=held.inherited,
            paused_for_all=held.paused_for_all,
            updated_at=rfc3339(policy.updated_at) if policy.updated_at else None,
        )
    )
