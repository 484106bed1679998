"""Asking for work: never for more than there is room for, in batches, again after each failure."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, Dice, Ids
from backstay.core.errors import Exit, Fault
from backstay.queue.client import QueueClient, Refused
from backstay.queue.worker.exchange import BATCH
from backstay.queue.worker.settings import WorkerSettings
from backstay.queue.worker.shift import Shift

T = TypeVar("T")

_log = logging.getLogger("backstay.worker")
# Questions open at once. More than one only where there is room for more than a batch: while one
# is answered, the next is already being worked on by the queue.
_AT_ONCE = 3
# A lease whose answer is not waited for is lost to everybody until it ends.
_UNDER_WAY = 0.5


class Claiming:
    """`commands` empty serves any."""

    def __init__(
        self,
        client: QueueClient,
        shift: Shift,
        commands: Sequence[str],
        settings: WorkerSettings,
        clock: Clock,
        dice: Dice,
        ids: Ids,
    ) -> None:
        self._client = client
        self._shift = shift
        self._commands = commands
        self._settings = settings
        self._clock = clock
        self._dice = dice
        self._ids = ids
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._answered = False

    async def until(self, stopping: asyncio.Event) -> None:
        """Claim until `stopping`. Raises the Fault of the first question when it is hopeless."""
        count = min(_AT_ONCE, -(-self._settings.concurrency // BATCH))
        asking = [asyncio.ensure_future(self._ask_until(stopping)) for _ in range(count)]
        try:
            await asyncio.gather(*asking)
        finally:
            for each in asking:
                each.cancel()

    async def _ask_until(self, stopping: asyncio.Event) -> None:
        failures = 0
        told = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                room = await _unless(told, self._shift.room(BATCH))
                if room is None:
                    return
                try:
                    await self._ask(told, room)
                    failures = 0
                except Fault as away:
                    self._raise_if_hopeless(away)
                    failures += 1
                    await self._rest(told, away, failures)
                finally:
                    self._shift.give_room(room)
        finally:
            told.cancel()

    async def _ask(self, told: "asyncio.Future[Any]", room: int) -> None:
        request_id = self._ids.new()
        claim = self._client.batch_claim_tasks(
            room,
            self._commands,
            lease_seconds=self._settings.lease,
            wait=self._settings.wait,
            request_id=request_id,
        )
        tasks = await _unless(told, claim, _UNDER_WAY)
        self._answered = self._answered or tasks is not None
        if tasks and told.done():
            self._shift.hand_back(tasks)
        elif tasks:
            self._shift.begin(tasks, request_id)

    async def _rest(self, told: "asyncio.Future[Any]", away: Fault, failures: int) -> None:
        asked = away.retry_after if isinstance(away, Refused) else 0.0
        pause = max(asked, self._backoff.delay(failures, self._dice))
        _log.warning("claim failed, again in %.1f s: %s", pause, away.message)
        await _unless(told, self._clock.sleep(self._clock.tick() + pause))

    def _raise_if_hopeless(self, away: Fault) -> None:
        """At the first question a mistake of whoever started the worker is said to them."""
        if not self._answered and (away.entry.exit == Exit.AUTH or not self._settings.patient):
            raise away


async def _unless(told: "asyncio.Future[Any]", work: Awaitable[T], patience: float = 0) -> T | None:
    """The result, or None when the worker is told to stop first, and `patience` later."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.wait((doing, told), return_when=asyncio.FIRST_COMPLETED)
        if patience and not doing.done():
            await asyncio.wait((doing,), timeout=patience)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
