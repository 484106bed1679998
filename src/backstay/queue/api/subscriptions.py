"""Routes of those who want to be told of work instead of asking for it."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from backstay.core.clock import Clock, Ids, rfc3339
from backstay.core.errors import Fault
from backstay.core.web import Request, Response, json_response
from backstay.queue.api.access import SUBSCRIBE, commands_served, tenant_served
from backstay.queue.api.bodies import In
from backstay.queue.api.calls import Call
from backstay.queue.api.reading import read_command, read_url
from backstay.queue.api.wire import Pagination, pagination
from backstay.queue.errors import BAD_NUMBER, BAD_URL, NOT_SUPPORTED
from backstay.queue.model import Subscription
from backstay.queue.service.subscriptions import Subscriptions

_SUBSCRIBERS = (SUBSCRIBE,)
_LIFE = 300.0
_LONGEST_LIFE = 7 * 86_400.0
_SHORTEST_INTERVAL = 0.1
_LONGEST_INTERVAL = 86_400.0
_FANOUT = ("", "fanout")


class SubscriptionBody(In, frozen=True):
    """`eventTypes` left out: all that the token covers. Numbers are seconds, 0 the default: 300 for
    `ttlSeconds`, the server's for `minIntervalSeconds`. Only `fanout` is served."""

    callback_url: str
    event_types: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    ttl_seconds: float = 0
    min_interval_seconds: float = 0
    delivery_mode: str = ""
    group_id: str = ""


class RenewalBody(In, frozen=True):
    ttl_seconds: float = 0


class Subscribed(msgspec.Struct, frozen=True, rename="camel"):
    subscription_id: str
    expires_at: str


class SubscriptionView(msgspec.Struct, frozen=True, rename="camel"):
    """`eventTypes` empty: any. `notifiedAt` null: not yet."""

    subscription_id: str
    tenant_id: str
    callback_url: str
    event_types: tuple[str, ...]
    min_interval_seconds: float
    expires_at: str
    notified_at: str | None


class SubscriptionPage(msgspec.Struct, frozen=True):
    data: list[SubscriptionView]
    pagination: Pagination


class SubscriptionFace:
    """Handlers over the subscriptions. `interval` is the least time between two notices, in
    seconds, for a subscriber that names none."""

    def __init__(
        self, subscriptions: Subscriptions, clock: Clock, ids: Ids, interval: float
    ) -> None:
        self._subscriptions = subscriptions
        self._clock = clock
        self._ids = ids
        self._interval = interval

    def calls(self) -> list[Call]:
        """What is served to workers."""
        every, one = "/workers/subscriptions", "/workers/subscriptions/{id}"
        return [
            Call(
                "GET",
                every,
                "The living subscriptions.",
                self.page,
                answers={200: SubscriptionPage},
                scopes=_SUBSCRIBERS,
            ),
            Call(
                "POST",
                every,
                "Be called when there is work.",
                self.add,
                given=SubscriptionBody,
                answers={200: Subscribed},
                scopes=_SUBSCRIBERS,
            ),
            Call(
                "POST",
                f"{one}/heartbeat",
                "Renew it before it ends.",
                self.renew,
                given=RenewalBody,
                optional=True,
                answers={200: Subscribed},
                scopes=_SUBSCRIBERS,
            ),
            Call(
                "DELETE",
                one,
                "No more calls.",
                self.remove,
                answers={204: None},
                scopes=_SUBSCRIBERS,
            ),
        ]

    async def page(self, request: Request) -> Response:
        found = await self._subscriptions.page(tenant_served(request.ctx.principal))
        return json_response(SubscriptionPage(_views(found), pagination(len(found), "")))

    async def add(self, request: Request, body: SubscriptionBody) -> Response:
        """Group and hash delivery are known from codeQ and refused by name."""
        if body.delivery_mode not in _FANOUT or body.group_id:
            feature = f"deliveryMode {body.delivery_mode or 'group'}"
            raise Fault(
                NOT_SUPPORTED, feature=feature[:60], instead="fanout calls every subscriber"
            )
        if not body.callback_url:
            raise Fault(BAD_URL, field="callbackUrl", value="")
        principal = request.ctx.principal
        named = [read_command(command) for command in body.event_types if command != "*"]
        wanted = Subscription(
            tenant=tenant_served(principal),
            id=self._ids.new(),
            url=read_url(body.callback_url, "callbackUrl"),
            commands=commands_served(principal, named if "*" not in body.event_types else ["*"]),
            expires_at=self._clock.now() + _life(body.ttl_seconds),
            min_interval=self._between(body.min_interval_seconds),
        )
        return _subscribed(await self._subscriptions.add(wanted))

    async def renew(self, request: Request, body: RenewalBody) -> Response:
        tenant, seconds = tenant_served(request.ctx.principal), _life(body.ttl_seconds)
        return _subscribed(await self._subscriptions.renew(tenant, request.params["id"], seconds))

    async def remove(self, request: Request) -> Response:
        await self._subscriptions.remove(tenant_served(request.ctx.principal), request.params["id"])
        return Response(204)

    def _between(self, seconds: float) -> float:
        if seconds == 0:
            return self._interval
        if not _SHORTEST_INTERVAL <= seconds <= _LONGEST_INTERVAL:
            rule = f"from {_SHORTEST_INTERVAL:g} to {_LONGEST_INTERVAL:.0f}"
            raise Fault(BAD_NUMBER, field="minIntervalSeconds", rule=rule, value=seconds)
        return seconds


def _life(seconds: float) -> float:
    """0 or less means the default, as in codeQ."""
    if seconds > _LONGEST_LIFE:
        rule = f"at most {_LONGEST_LIFE:.0f}"
        raise Fault(BAD_NUMBER, field="ttlSeconds", rule=rule, value=seconds)
    return seconds if seconds > 0 else _LIFE


def _subscribed(one: Subscription) -> Response:
    return json_response(Subscribed(one.id, rfc3339(one.expires_at)))


def _views(several: Sequence[Subscription]) -> list[SubscriptionView]:
    return [
        SubscriptionView(
            subscription_id=one.id,
            tenant_id=one.tenant,
            callback_url=one.url,
            event_types=one.commands,
            min_interval_seconds=one.min_interval,
            expires_at=rfc3339(one.expires_at),
            notified_at=rfc3339(one.notified_at) if one.notified_at else None,
        )
        for one in several
    ]
