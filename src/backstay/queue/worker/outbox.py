"""How the ends of tasks reach the queue: results that are ready together go in one request.

While a request is on its way the next results gather, so a busy worker sends few large ones and
an idle one sends each at once. Everything is sent until it is answered: work that is done must not
be lost to a restart of the queue.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault
from backstay.queue.client import Ended, QueueClient, Refused
from backstay.queue.worker.exchange import BATCH, Exchange

_log = logging.getLogger("backstay.worker")
_AT_ONCE = 3
_BYTES = 4_000_000
_TOO_LARGE = 413
_UNAUTHORIZED = 401


class Nacked(msgspec.Struct, frozen=True):
    """`delay` 0 is the server's backoff."""

    id: str
    token: str
    reason: str
    delay: float = 0.0


class Abandoned(msgspec.Struct, frozen=True):
    id: str
    token: str


Outcome = Ended | Nacked | Abandoned


class Outbox:
    """`delivered` is called with the lease's key when the queue has an outcome, or refused it."""

    def __init__(
        self,
        client: QueueClient,
        clock: Clock,
        dice: Dice,
        delivered: Callable[[str], None],
        exchange: Exchange,
    ) -> None:
        self._client = client
        self._clock = clock
        self._dice = dice
        self._delivered = delivered
        self._exchange = exchange
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._waiting: deque[Outcome] = deque()
        self._under_way = 0
        self._requests = 0
        self._changed = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def gathering(self) -> bool:
        """Whether there are outcomes whose request will ask for new work, too."""
        return bool(self._waiting) and self._exchange.known

    def __len__(self) -> int:
        return len(self._waiting) + self._under_way

    def put(self, outcome: Outcome) -> None:
        self._waiting.append(outcome)
        self._changed.set()
        self._emptied.clear()

    async def empty(self) -> None:
        """Return once everything is delivered."""
        await self._emptied.wait()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as sending:
            while True:
                self._changed.clear()
                while self._may_send():
                    outcomes = self._take()
                    self._under_way += len(outcomes)
                    self._requests += 1
                    room = self._exchange.take() if any(map(_is_result, outcomes)) else 0
                    sending.create_task(self._send(outcomes, room))
                if not len(self):
                    self._emptied.set()
                await self._changed.wait()

    def _may_send(self) -> bool:
        """While a request is under way only a full one follows it: results gather meanwhile."""
        if self._requests == 0:
            return bool(self._waiting)
        return len(self._waiting) >= BATCH and self._requests < _AT_ONCE

    async def _send(self, outcomes: Sequence[Outcome], room: int) -> None:
        try:
            await self._deliver(outcomes, room)
        finally:
            self._requests -= 1
            self._changed.set()

    def _take(self) -> Sequence[Outcome]:
        """The next ones, as many as fit into a request."""
        taken: list[Outcome] = []
        size = 0
        while self._waiting and len(taken) < BATCH:
            size += _size(self._waiting[0])
            if taken and size > _BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _deliver(self, outcomes: Sequence[Outcome], room: int) -> None:
        results = [each for each in outcomes if isinstance(each, Ended)]
        others = [each for each in outcomes if not isinstance(each, Ended)]
        if not others:
            await self._send_results(results, room)
            return
        async with asyncio.TaskGroup() as sending:
            if results:
                sending.create_task(self._send_results(results, room))
            for each in others:
                sending.create_task(self._insist(lambda each=each: self._hand_back(each)))  # type: ignore[misc]

    async def _send_results(self, results: list[Ended], room: int = 0) -> None:
        rooms = iter((room,))  # for the first try alone, which gives it back
        try:
            await self._insist(lambda: self._submit(results, next(rooms, 0)))
        except _TooLarge as large:
            if len(results) > 1:
                half = len(results) // 2
                await self._send_results(results[:half])
                await self._send_results(results[half:])
            else:
                [one] = results
                reason = f"the result is too large for the queue: {large}"
                await self._insist(lambda: self._hand_back(Nacked(one.id, one.token, reason)))

    async def _submit(self, results: list[Ended], room: int) -> None:
        """Leaves in `results` what has to be sent again, and raises why."""
        try:
            answers = await self._exchange.submit(results, room)
        except Refused as refused:
            if refused.status == _TOO_LARGE:
                raise _TooLarge(refused.reason) from refused
            if not _settles(refused):
                raise
            answers = [refused] * len(results)
        again: list[tuple[Ended, Refused]] = []
        for each, answer in zip(results, answers, strict=True):
            if answer is not None and not _settles(answer):
                again.append((each, answer))
            else:
                self._told(each, answer)
        if again:
            results[:] = [each for each, _ in again]
            raise again[0][1]

    async def _hand_back(self, outcome: Outcome) -> None:
        refused: Refused | None = None
        try:
            if isinstance(outcome, Nacked):
                await self._client.nack(outcome.id, outcome.token, outcome.reason, outcome.delay)
            else:
                await self._client.abandon(outcome.id, outcome.token)
        except Refused as no:
            if not _settles(no):
                raise
            refused = no
        self._told(outcome, refused)

    def _told(self, outcome: Outcome, refused: Refused | None) -> None:
        if refused is not None:
            _log.warning("the outcome of %s was refused: %s", outcome.id, refused.reason)
        # Before the request's own end, at which new work may have ended already.
        self._under_way -= 1
        self._delivered(outcome.token or outcome.id)

    async def _insist(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Until the queue has answered."""
        failures = 0
        while True:
            try:
                await tell()
                return
            except Fault as away:
                failures += 1
                pause = self._backoff.delay(failures, self._dice)
                _log.warning("outcomes not delivered yet, again in %.1f s: %s", pause, away.message)
            await self._clock.sleep(self._clock.tick() + pause)


def _settles(refused: Refused) -> bool:
    """Credentials can be mended while the work waits; no other refusal changes."""
    return refused.final and refused.status != _UNAUTHORIZED


class _TooLarge(Exception):  # noqa: N818 - never leaves this file
    pass


def _is_result(outcome: Outcome) -> bool:
    return isinstance(outcome, Ended)


def _size(outcome: Outcome) -> int:
    if isinstance(outcome, Ended) and isinstance(outcome.result, msgspec.Raw):
        return len(bytes(outcome.result)) + 200
    return 1000
