"""Subscriptions: who wants a call when there is work. `loops.notices` makes the calls."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.queue.errors import SUBSCRIPTION_NOT_FOUND, TOO_MANY_SUBSCRIPTIONS
from backstay.queue.model import ANY_TENANT, Subscription
from backstay.queue.operations import Subscribe
from backstay.queue.store import Engine

_log = structlog.get_logger("queue.subscriptions")

MOST = 1000


class Subscriptions:
    """The use cases. `changed` is awaited after each change: the next notice knows of it."""

    def __init__(
        self, engine: Engine, clock: Clock, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._changed = changed

    async def page(self, tenant: str) -> Sequence[Subscription]:
        """The living ones."""
        found = await self._engine.subscriptions(None if tenant == ANY_TENANT else tenant)
        now = self._clock.now()
        return [one for one in found if one.expires_at > now]

    async def add(self, wanted: Subscription) -> Subscription:
        """Raises QUEUE063 when the tenant has too many."""
        if len(await self.page(wanted.tenant)) >= MOST:
            raise Fault(TOO_MANY_SUBSCRIPTIONS, limit=MOST)
        await self._apply(Subscribe(wanted))
        _log.info("subscribed", subscription=wanted.id, commands=list(wanted.commands))
        return wanted

    async def renew(self, tenant: str, id: str, seconds: float) -> Subscription:
        """It ends `seconds` from now. Raises QUEUE062, also for one that has ended."""
        known = await self._one(tenant, id)
        renewed = msgspec.structs.replace(known, expires_at=self._clock.now() + seconds)
        await self._apply(Subscribe(renewed))
        return renewed

    async def remove(self, tenant: str, id: str) -> None:
        """Raises QUEUE062."""
        known = await self._one(tenant, id)
        await self._apply(Subscribe(known, remove=True))
        _log.info("unsubscribed", subscription=id)

    async def _one(self, tenant: str, id: str) -> Subscription:
        for one in await self.page(tenant):
            if one.id == id:
                return one
        raise Fault(SUBSCRIPTION_NOT_FOUND, id=id)

    async def _apply(self, op: Subscribe) -> None:
        await self._engine.apply([op], self._clock.now())
        await self._changed()
