"""Subscribers are told that there is work, in every way in which work can appear.

A commit that makes tasks claimable says so (`Happened.ready`); this loop looks who wants to know.
News that comes while a subscriber must be left in peace is kept, and told when that time is over if
there is still work. Nothing here is stored and nothing is tried twice: a notice is a hint to claim.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

import msgspec
import structlog

from backstay.core.clock import Clock, Ids, rfc3339
from backstay.queue.lanes import Lanes, Room, Tried, host_of
from backstay.queue.metrics import QueueMetrics
from backstay.queue.model import ANY_TENANT, Subscription
from backstay.queue.operations import Subscribe, TakeNotices
from backstay.queue.outgoing import Outgoing
from backstay.queue.store import Engine, Happened

_log = structlog.get_logger("queue.notices")

CLAIM_URL = "/v1/codeq/tasks/claim"
_QUEUES = 50
_LOOK = 5.0
_ROOM = Room(total=32, host=4, waiting=20, most=20)

Queue = tuple[str, str]


class NoticeBody(msgspec.Struct, frozen=True, rename="camel"):
    """What a subscriber gets: `queue_depth` tasks were ready when it was written."""

    event_type: str
    available: bool
    queue_depth: int
    claim_url: str
    sent_at: str
    notification_id: str
    subscription_id: str
    tenant_id: str


class _Notice(msgspec.Struct, frozen=True):
    subscription: Subscription
    queue: Queue
    depth: int


class Notices:
    """A Loop. Knows who subscribed, so that a queue nobody listens to costs a look-up and no write.
    Ended subscriptions are deleted every `cleanup` seconds."""

    name = "notices"

    def __init__(
        self,
        engine: Engine,
        outgoing: Outgoing,
        clock: Clock,
        ids: Ids,
        metrics: QueueMetrics,
        cleanup: float = 60.0,
    ) -> None:
        self.wake = asyncio.Event()
        self.lanes: Lanes[_Notice] = Lanes(
            clock, self._call, self.wake.set, outgoing.breakers, _ROOM
        )
        self._engine = engine
        self._outgoing = outgoing
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._cleanup = cleanup
        self._known: dict[tuple[str, str], Subscription] = {}
        self._commands: frozenset[str] = frozenset()
        self._any = False
        # Queues with news, and the tick from which somebody may be told of them.
        self._news: dict[Queue, float] = {}
        self._look_at = 0.0
        self._clean_at = 0.0
        engine.listen(self._happened)
        outgoing.used_by(self.lanes.drain)

    async def step(self) -> float | None:
        """Tell whoever may be told."""
        if self.lanes.closed:
            return None
        tick = self._clock.tick()
        if tick >= self._look_at:
            await self.look()
        for queue in [queue for queue, at in self._news.items() if at <= tick][:_QUEUES]:
            del self._news[queue]
            try:
                await self._tell(queue)
            except Exception:
                # The store failed: not told, so it is still news.
                self._news[queue] = tick
                raise
        wishes = [self._look_at, *self._news.values()]
        look_again = self.lanes.start()
        return min(wishes if look_again is None else [*wishes, look_again])

    async def look(self) -> None:
        """Read who subscribed; at once after a change here, every few seconds because another
        server on the same store may have changed it."""
        tick, now = self._clock.tick(), self._clock.now()
        found = await self._engine.subscriptions(None)
        living = [one for one in found if one.expires_at > now]
        if tick >= self._clean_at:
            self._clean_at = tick + self._cleanup
            ended = [Subscribe(one, remove=True) for one in found if one.expires_at <= now]
            if ended:
                await self._engine.apply(ended, now)
                _log.info("subscriptions ended", count=len(ended))
        self._known = {(one.tenant, one.id): one for one in living}
        self._commands = frozenset(command for one in living for command in one.commands)
        self._any = any(not one.commands for one in living)
        self._look_at = self._clock.tick() + _LOOK
        self._metrics.subscribed(living)

    async def _tell(self, queue: Queue) -> None:
        now = self._clock.now()
        wanting = list(self._wanting(queue))
        free = [one for one in wanting if _silent_for(one, now) <= 0]
        if free:
            depth = await self._depth(queue)
            if not depth:
                return
            [taken] = await self._engine.apply([TakeNotices(*queue)], now)
            for one in cast("list[Subscription]", taken):
                self._known[one.tenant, one.id] = one
                self._add(_Notice(one, queue, depth))
            # Another server told the rest of them. Whoever left meanwhile is no longer known.
            for one in free:
                if (known := self._known.get((one.tenant, one.id))) is not None:
                    told = msgspec.structs.replace(known, notified_at=now)
                    self._known[one.tenant, one.id] = told
        waiting = [_silent_for(one, now) for one in wanting if one not in free]
        if waiting:
            self._news[queue] = self._clock.tick() + min(waiting)

    def _add(self, notice: _Notice) -> None:
        one, until = notice.subscription, self._clock.tick() + self._outgoing.seconds
        if not self.lanes.add(one.url, notice, until):
            _log.info("notice dropped", subscription=one.id, host=host_of(one.url))

    async def _call(self, notice: _Notice) -> Tried:
        """One try: the next task makes the next notice."""
        subscription, (tenant, command) = notice.subscription, notice.queue
        told = NoticeBody(
            event_type=command,
            available=True,
            queue_depth=notice.depth,
            claim_url=CLAIM_URL,
            sent_at=rfc3339(self._clock.now()),
            notification_id=f"ntf-{self._ids.new()}",
            subscription_id=subscription.id,
            tenant_id=tenant,
        )
        body = msgspec.json.encode(told)
        sent = await self._outgoing.post(
            "queue_ready", subscription.url, told.notification_id, body
        )
        outcome = "success" if sent.how == "taken" else "failure"
        self._metrics.called("queue_ready", command, outcome)
        if sent.error:
            _log.info(
                "notice failed", subscription=subscription.id, command=command, error=sent.error
            )
        return sent.host

    async def _depth(self, queue: Queue) -> int:
        """Tasks that could be claimed now; those of a paused queue cannot."""
        stats = await self._engine.stats(queue[1])
        return sum(one.ready for one in stats if one.tenant == queue[0] and not one.paused)

    def _wanting(self, queue: Queue) -> Iterable[Subscription]:
        tenant, command = queue
        for one in self._known.values():
            if one.tenant in (tenant, ANY_TENANT) and (not one.commands or command in one.commands):
                yield one

    def _happened(self, happened: Happened) -> None:
        for queue in happened.ready:
            if (self._any or queue[1] in self._commands) and queue not in self._news:
                self._news[queue] = 0.0
                self.wake.set()


def _silent_for(one: Subscription, now: float) -> float:
    """Seconds for which it must be left in peace; told "in the future" means the clock was set
    back."""
    since = now - one.notified_at
    return one.min_interval - since if since >= 0 else 0.0
