"""Result callbacks: whoever gave a task a webhook is called when it has ended, however it ended.

The calls are rows of the store, made by the commit that ended the task. They are taken with a time
after which they show up again: a crash between call and settlement repeats the call, so it is made
at least once. A call that finds no room in its host's lane is left to that time, too.
"""

import asyncio
from typing import cast

import msgspec
import structlog

from backstay.core.clock import Clock, rfc3339
from backstay.queue.lanes import Lanes, Tried, host_of
from backstay.queue.metrics import QueueMetrics
from backstay.queue.model import ANY_TENANT, ENDED, Delivery, State, Task
from backstay.queue.operations import SettleDelivery, TakeDeliveries
from backstay.queue.outgoing import Outgoing, Sent
from backstay.queue.store import Engine, Happened

_log = structlog.get_logger("queue.callbacks")

_MOST = 100
# In memory at once; a host that is fast may have a quarter of it.
_HELD = 40_000
_LOOKED_AT = 1000
_MARGIN = 2.0
_LONGEST_SLEEP = 5.0
_FULL_PAUSE = 0.1
_JUMP = 5.0
_OUTCOME = {"taken": "success", "refused": "failure", "never": "refused"}
_STATUS: dict[State, str] = {"completed": "COMPLETED", "cancelled": "CANCELLED"}


class Tries(msgspec.Struct, frozen=True):
    """`most` tries of one callback; between them `base` seconds, doubled each time up to `cap`."""

    most: int = 5
    base: float = 2.0
    cap: float = 60.0

    def delay(self, number: int) -> float:
        """Seconds to wait after try `number` (1 is the first), as in codeQ."""
        return min(self.base * 2.0 ** min(number - 1, 64), self.cap)


class CallbackBody(msgspec.Struct, frozen=True, rename="camel"):
    """What a receiver gets. `status` is COMPLETED, FAILED or CANCELLED; `result` is what the worker
    gave, null without one."""

    task_id: str
    event_type: str
    status: str
    result: msgspec.Raw
    error: str
    artifacts: tuple[str, ...]
    completed_at: str


class Callbacks:
    """A Loop."""

    name = "callbacks"

    def __init__(
        self,
        engine: Engine,
        outgoing: Outgoing,
        clock: Clock,
        metrics: QueueMetrics,
        tries: Tries,
    ) -> None:
        self.wake = asyncio.Event()
        self.lanes: Lanes[Delivery] = Lanes(clock, self._call, self.wake.set, outgoing.breakers)
        self._engine = engine
        self._outgoing = outgoing
        self._clock = clock
        self._metrics = metrics
        self._tries = tries
        # A call that is started in time has ended before its row shows up again.
        self._in_row = 2 * outgoing.seconds
        self._hold = self._in_row + outgoing.seconds + _MARGIN
        self._offset = clock.now() - clock.tick()
        engine.listen(self._happened)
        outgoing.used_by(self.lanes.drain)

    async def step(self) -> float | None:
        """Take what is due as far as there is room, and start what may run."""
        if self.lanes.closed:
            return None
        await self._meet_a_clock_set_back()
        tick, now = self._clock.tick(), self._clock.now()
        due = await self._engine.delivery_due()
        wish = tick + _LONGEST_SLEEP
        if due is not None and due > now:
            wish = min(wish, tick + due - now)
        elif due is not None:
            took = await self._take(tick, now)
            wish = tick if took else tick + _FULL_PAUSE
        look_again = self.lanes.start()
        return wish if look_again is None else min(wish, look_again)

    async def _take(self, tick: float, now: float) -> int:
        room = min(_MOST, _HELD - self.lanes.waiting)
        if room <= 0:
            return 0
        [taken] = await self._engine.apply([TakeDeliveries(self._hold, room)], now)
        for delivery in cast("list[Delivery]", taken):
            # No room in its host's row: it shows up again by itself.
            self.lanes.add(delivery.url, delivery, tick + self._in_row)
        return len(cast("list[Delivery]", taken))

    async def _call(self, delivery: Delivery) -> Tried:
        """One try, and what became of it. A failing store leaves the row to its time."""
        task = await self._engine.task(ANY_TENANT, delivery.task_id)
        if task is None or task.state not in ENDED:
            return await self._drop(delivery, task)
        body = msgspec.json.encode(body_of(task))
        sent = await self._outgoing.post("task_result", delivery.url, delivery.id, body, task.trace)
        await self._settle(delivery, task, sent)
        return sent.host

    async def _drop(self, delivery: Delivery, task: Task | None) -> Tried:
        """Redriven: its next end makes a call of its own. Deleted: there is nothing to tell."""
        what = "gone" if task is None else task.state
        _log.info("callback dropped", task_id=delivery.task_id, state=what)
        await self._apply(SettleDelivery(delivery.id))
        return Tried("unknown")

    async def _settle(self, delivery: Delivery, task: Task, sent: Sent) -> None:
        number, host = delivery.attempts + 1, host_of(delivery.url)
        told = {"task_id": task.id, "command": task.command, "attempt": number, "host": host}
        if sent.how == "taken":
            await self._apply(SettleDelivery(delivery.id))
            _log.debug("callback delivered", **told)
        elif sent.how == "never" or number >= self._tries.most:
            await self._apply(SettleDelivery(delivery.id, sent.error))
            _log.warning("callback given up", **told, error=sent.error)
        else:
            due_at = self._clock.now() + self._tries.delay(number)
            await self._apply(SettleDelivery(delivery.id, sent.error, due_at))
            _log.info("callback failed", **told, error=sent.error)
        self._metrics.called("task_result", task.command, _OUTCOME[sent.how])

    async def _apply(self, op: SettleDelivery) -> None:
        await self._engine.apply([op], self._clock.now())

    async def _meet_a_clock_set_back(self) -> None:
        """What was put off by the clock as it was would wait for as long as it was set back."""
        offset = self._clock.now() - self._clock.tick()
        back, self._offset = self._offset - offset, offset
        if back <= _JUMP:
            return
        latest = self._clock.now() + max(self._hold, self._tries.cap)
        waiting = await self._engine.deliveries(None, given_up=False, limit=_LOOKED_AT)
        for delivery in waiting:
            if delivery.due_at > latest:
                # Counts as a try: there is no other way to move it, and none is lost by it.
                await self._apply(SettleDelivery(delivery.id, delivery.error, self._clock.now()))

    def _happened(self, happened: Happened) -> None:
        if happened.deliveries:
            self.wake.set()


def body_of(task: Task) -> CallbackBody:
    """What is told of an ended task."""
    return CallbackBody(
        task_id=task.id,
        event_type=task.command,
        status=_STATUS.get(task.state, "FAILED"),
        result=msgspec.Raw(task.result.encode() or b"null"),
        error=task.error,
        artifacts=(),
        completed_at=rfc3339(task.ended_at),
    )
