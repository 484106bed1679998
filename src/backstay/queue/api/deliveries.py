"""Routes that show result callbacks that were not delivered, and try them again."""

from typing import Annotated

import msgspec

from backstay.core.clock import rfc3339
from backstay.core.web import Request, Response, json_response
from backstay.queue.api.access import ADMIN, tenant_served
from backstay.queue.api.bodies import In
from backstay.queue.api.calls import Call
from backstay.queue.api.wire import Pagination, pagination
from backstay.queue.model import Delivery
from backstay.queue.service.callbacks import CallbackAdmin

_ADMINS = (ADMIN,)
_MOST = 1000


class DeliveryQuery(In, frozen=True):
    """`givenUp` false: those that wait for their next try."""

    given_up: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] = 50


class DeliveryView(msgspec.Struct, frozen=True, rename="camel"):
    """`attempts` counts finished tries; `error` is that of the last one. `nextTry` is null for one
    that was given up."""

    delivery_id: str
    task_id: str
    tenant_id: str
    url: str
    attempts: int
    error: str
    given_up: bool
    next_try: str | None


class DeliveryPage(msgspec.Struct, frozen=True):
    data: list[DeliveryView]
    pagination: Pagination


class DeliveryFace:
    """Handlers over the callbacks."""

    def __init__(self, callbacks: CallbackAdmin) -> None:
        self._callbacks = callbacks

    def calls(self) -> list[Call]:
        """What is served to admins."""
        return [
            Call(
                "GET",
                "/admin/deliveries",
                "Result callbacks that wait, or that were given up; oldest first.",
                self.page,
                given=DeliveryQuery,
                answers={200: DeliveryPage},
                scopes=_ADMINS,
            ),
            Call(
                "POST",
                "/admin/deliveries/{id}/retry",
                "Call now; one that was given up gets all its tries again.",
                self.retry,
                answers={202: DeliveryView},
                scopes=_ADMINS,
            ),
        ]

    async def page(self, request: Request, query: DeliveryQuery) -> Response:
        tenant = tenant_served(request.ctx.principal)
        found = await self._callbacks.page(tenant, given_up=query.given_up, limit=query.limit)
        views = [_view(one) for one in found]
        return json_response(DeliveryPage(views, pagination(query.limit, "")))

    async def retry(self, request: Request) -> Response:
        tenant = tenant_served(request.ctx.principal)
        return json_response(_view(await self._callbacks.retry(tenant, request.params["id"])), 202)


def _view(one: Delivery) -> DeliveryView:
    return DeliveryView(
        delivery_id=one.id,
        task_id=one.task_id,
        tenant_id=one.tenant,
        url=one.url,
        attempts=one.attempts,
        error=one.error,
        given_up=one.given_up,
        next_try=None if one.given_up else rfc3339(one.due_at),
    )
