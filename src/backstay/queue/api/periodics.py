"""Routes of periodic tasks."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import Fault
from backstay.core.web import Request, Response, json_response
from backstay.queue.api.access import ADMIN, tenant_named
from backstay.queue.api.bodies import In, NewTask, Priority
from backstay.queue.api.calls import Call
from backstay.queue.api.policies import OfTenant
from backstay.queue.api.reading import Limits, read_task
from backstay.queue.api.wire import Pagination, pagination
from backstay.queue.errors import BAD_NAME
from backstay.queue.model import ANY_TENANT, Periodic
from backstay.queue.service.periodics import Periodics

_ADMINS = (ADMIN,)
_SHOWN = 5
_NAME = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class PeriodicBody(In, frozen=True):
    """A task and its times: `cron` is five fields (or @daily and the like) in `timezone`, a name of
    the IANA database. `tenant` counts for those who serve all: left out, `default`."""

    command: str
    payload: msgspec.Raw
    cron: str
    timezone: str = "UTC"
    priority: Priority = 0
    max_attempts: int = 0
    tags: tuple[str, ...] = ()
    key: str = ""
    webhook: str | None = None
    paused: bool = False
    tenant: str = ""


class PeriodicView(msgspec.Struct, frozen=True, rename="camel"):
    """`nextFires` are the times to come, none while it is paused; `lastFire` null: none yet."""

    name: str
    tenant_id: str
    command: str
    payload: Any
    cron: str
    timezone: str
    priority: int
    max_attempts: int
    tags: tuple[str, ...]
    key: str
    webhook: str
    paused: bool
    last_fire: str | None
    next_fires: Annotated[list[str], msgspec.Meta(max_length=_SHOWN)]


class PeriodicPage(msgspec.Struct, frozen=True):
    data: list[PeriodicView]
    pagination: Pagination


class PeriodicFace:
    """Handlers over the periodic tasks."""

    def __init__(self, periodics: Periodics, clock: Clock, limits: Limits) -> None:
        self._periodics = periodics
        self._clock = clock
        self._limits = limits

    def calls(self) -> list[Call]:
        """What is served to admins."""
        one = "/admin/periodic/{name}"
        shown = {200: PeriodicView}
        return [
            Call(
                "GET",
                "/admin/periodic",
                "Periodic tasks by name.",
                self.page,
                given=OfTenant,
                answers={200: PeriodicPage},
                scopes=_ADMINS,
            ),
            Call(
                "GET", one, "One of them.", self.get, given=OfTenant, answers=shown, scopes=_ADMINS
            ),
            Call(
                "PUT",
                one,
                "Create or replace it.",
                self.put,
                given=PeriodicBody,
                answers=shown,
                scopes=_ADMINS,
                max_body=self._limits.largest_body,
            ),
            Call(
                "DELETE",
                one,
                "No more of it; tasks it has made stay.",
                self.delete,
                given=OfTenant,
                answers=shown,
                scopes=_ADMINS,
            ),
            *(
                Call(
                    "POST",
                    f"{one}/{word}",
                    says,
                    handler,
                    given=OfTenant,
                    optional=True,
                    answers=shown,
                    scopes=_ADMINS,
                )
                for word, says, handler in (
                    ("pause", "Its times pass without a task.", self.pause),
                    ("resume", "It goes on with its next time.", self.resume),
                )
            ),
        ]

    async def page(self, request: Request, query: OfTenant) -> Response:
        tenant = tenant_named(request.ctx.principal, query.tenant, ANY_TENANT)
        found = self._views(await self._periodics.page(tenant))
        return json_response(PeriodicPage(found, pagination(len(found), "")))

    async def get(self, request: Request, query: OfTenant) -> Response:
        return self._shown(await self._periodics.one(*_which(request, query.tenant)))

    async def put(self, request: Request, body: PeriodicBody) -> Response:
        tenant, name = _which(request, body.tenant)
        if not _NAME.fullmatch(name):
            rule = "1 to 128 letters, digits, dots, colons, dashes or underscores"
            raise Fault(BAD_NAME, field="name", rule=rule, value=name[:40])
        return self._shown(await self._periodics.put(self._read(request, body, tenant, name)))

    async def delete(self, request: Request, query: OfTenant) -> Response:
        return self._shown(await self._periodics.remove(*_which(request, query.tenant)))

    async def pause(self, request: Request, body: OfTenant) -> Response:
        which = _which(request, body.tenant)
        return self._shown(await self._periodics.pause(*which, paused=True))

    async def resume(self, request: Request, body: OfTenant) -> Response:
        which = _which(request, body.tenant)
        return self._shown(await self._periodics.pause(*which, paused=False))

    def _read(self, request: Request, body: PeriodicBody, tenant: str, name: str) -> Periodic:
        """What a task may be is judged as for one that is created."""
        new = NewTask(
            command=body.command,
            payload=body.payload,
            priority=body.priority,
            webhook=body.webhook,
            max_attempts=body.max_attempts,
            tags=list(body.tags),
            key=body.key,
        )
        task = read_task(new, request.ctx, name, self._limits, self._clock.now())
        return Periodic(
            tenant=tenant,
            name=name,
            command=task.command,
            payload=task.payload,
            cron=body.cron,
            timezone=body.timezone,
            priority=task.priority,
            max_attempts=task.max_attempts,
            tags=task.tags,
            key=task.key,
            webhook=task.webhook,
            paused=body.paused,
        )

    def _shown(self, one: Periodic) -> Response:
        [view] = self._views([one])
        return json_response(view)

    def _views(self, several: Sequence[Periodic]) -> list[PeriodicView]:
        return [
            PeriodicView(
                name=one.name,
                tenant_id=one.tenant,
                command=one.command,
                payload=msgspec.Raw(one.payload.encode()),
                cron=one.cron,
                timezone=one.timezone,
                priority=one.priority,
                max_attempts=one.max_attempts,
                tags=one.tags,
                key=one.key,
                webhook=one.webhook,
                paused=one.paused,
                last_fire=rfc3339(one.last_at) if one.last_at else None,
                next_fires=[rfc3339(at) for at in self._periodics.coming(one, _SHOWN)],
            )
            for one in several
        ]


def _which(request: Request, named: str) -> tuple[str, str]:
    principal = request.ctx.principal
    # Who serves all still means one tenant by one name: its own, unless it names another.
    return tenant_named(principal, named, principal.tenant), request.params["name"]
