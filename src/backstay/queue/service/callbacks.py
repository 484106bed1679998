"""Result callbacks as people see them: what waits, what was given up, once more please."""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.queue.errors import DELIVERY_NOT_FOUND
from backstay.queue.model import ANY_TENANT, Delivery
from backstay.queue.operations import SettleDelivery
from backstay.queue.store import Engine

_log = structlog.get_logger("queue.callbacks")

_ALL = 1_000_000


class CallbackAdmin:
    """The use cases. `due` is called when one became due by a person's wish."""

    def __init__(self, engine: Engine, clock: Clock, due: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._due = due

    async def page(self, tenant: str, *, given_up: bool, limit: int) -> Sequence[Delivery]:
        """Oldest first."""
        of = None if tenant == ANY_TENANT else tenant
        return await self._engine.deliveries(of, given_up=given_up, limit=limit)

    async def retry(self, tenant: str, id: str) -> Delivery:
        """Now; one that was given up gets all its tries again. Raises QUEUE064."""
        for given_up in (True, False):
            for one in await self.page(tenant, given_up=given_up, limit=_ALL):
                if one.id == id:
                    now = self._clock.now()
                    await self._engine.apply([SettleDelivery(id, one.error, now)], now)
                    self._due()
                    _log.info("callback retried", delivery=id, task_id=one.task_id)
                    return msgspec.structs.replace(one, due_at=now, given_up=False)
        raise Fault(DELIVERY_NOT_FOUND, id=id)
