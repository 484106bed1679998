"""Calls to other people's servers, side by side, so that none of them holds up the rest.

Each host has a lane of its own. It earns room: one call at a time until the first success, several
after it, one again after a failure. All lanes that nobody knows yet share half of the room and all
that fail a quarter, so that any number of dead hosts leaves a quarter to the living. A breaker per
host (decision 12) spares the dead even that. What waits too long is dropped: it is stored
elsewhere, or was news.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Generic, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog

from backstay.core.breaker import Breaker, BreakerSettings
from backstay.core.clock import Clock
from backstay.core.errors import Fault

T = TypeVar("T")
Ended = Literal["works", "broken", "unknown"]
"""What a call says about its host; `unknown` when it was not called after all."""
Known = Literal["new", "works", "fails"]
"""What is known of a host: by its last call."""

_log = structlog.get_logger("queue.calls")
_REMEMBERED = 10_000
_LOOK_AGAIN = 1.0


class Room(msgspec.Struct, frozen=True):
    """Calls at once: in all, and to one host that works. A row holds `waiting`, and that of a host
    that works as many as it will get through in time, `most` at the most."""

    total: int = 64
    host: int = 8
    waiting: int = 100
    most: int = 10_000


class Tried(msgspec.Struct, frozen=True):
    ended: Ended
    reason: str = ""


class _Lane(Generic[T]):
    def __init__(self, host: str, breaker: Breaker) -> None:
        self.host = host
        self.breaker = breaker
        self.row: deque[tuple[T, float]] = deque()
        self.running = 0
        self.known: Known = "new"
        # Seconds that a call takes, the last ones counting more.
        self.takes = 0.0


class Lanes(Generic[T]):
    """`call` makes one call; `wake` is told when room became free. `breakers` is where people see
    and reset the hosts' breakers."""

    def __init__(
        self,
        clock: Clock,
        call: Callable[[T], Awaitable[Tried]],
        wake: Callable[[], None],
        breakers: MutableMapping[str, Breaker],
        room: Room | None = None,
    ) -> None:
        self._clock = clock
        self._call = call
        self._wake = wake
        self._breakers = breakers
        self._room = room or Room()
        self._lanes: OrderedDict[str, _Lane[T]] = OrderedDict()
        # Those with somebody in the row; whose turn it is stands in front.
        self._rows: dict[str, _Lane[T]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._of: dict[Known, int] = {"new": 0, "works": 0, "fails": 0}
        total = self._room.total
        self._most: dict[Known, int] = {"new": total // 2, "works": total, "fails": total // 4}
        self._waiting = 0
        self.closed = False

    @property
    def waiting(self) -> int:
        """How many stand in the rows of all hosts."""
        return self._waiting

    def spared(self) -> list[str]:
        """Hosts that are not called at present because they do not answer."""
        return [lane.host for lane in self._lanes.values() if lane.breaker.state == "open"]

    def add(self, url: str, item: T, until: float) -> bool:
        """Into the row of its host, dropped there at the tick `until`. False when it is full."""
        lane = self._lane(host_of(url))
        if self.closed or len(lane.row) >= self._longest(lane, until):
            return False
        lane.row.append((item, until))
        self._rows[lane.host] = lane
        self._waiting += 1
        return True

    def start(self) -> float | None:
        """Start what there is room for, the hosts in turn. Returns the tick to look again when a
        breaker stands in the way; None: `wake` will tell."""
        blocked = False
        started = True
        while started:
            started = False
            for lane in list(self._rows.values()):
                began = self._start_one(lane)
                started = started or began is True
                blocked = blocked or began is None
        return self._clock.tick() + _LOOK_AGAIN if blocked else None

    async def drain(self, seconds: float) -> None:
        """Start no more, let what runs end for so long, then cut it off."""
        self.closed = True
        for lane in self._rows.values():
            lane.row.clear()
        self._rows.clear()
        self._waiting = 0
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start_one(self, lane: _Lane[T]) -> bool | None:
        """Whether one was started; None when its breaker stands in the way."""
        now = self._clock.tick()
        while lane.row and lane.row[0][1] <= now:
            self._leave(lane)
        if not lane.row or not self._may_run(lane):
            return False
        if lane.breaker.state == "open":
            return None
        try:
            ticket = lane.breaker.admit()
        except Fault:
            # Half-open, and its probes are under way: their end will tell.
            return False
        item = self._leave(lane)
        if lane.row:
            self._rows[lane.host] = self._rows.pop(lane.host)
        self._lanes.move_to_end(lane.host)
        lane.running += 1
        self._of[lane.known] += 1
        task = asyncio.create_task(self._run(lane, item, ticket, lane.known))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    def _leave(self, lane: _Lane[T]) -> T:
        item, _ = lane.row.popleft()
        self._waiting -= 1
        if not lane.row:
            del self._rows[lane.host]
        return item

    def _longest(self, lane: _Lane[T], until: float) -> int:
        room = self._room
        if lane.known != "works" or lane.takes <= 0:
            return room.waiting
        in_time = room.host * (until - self._clock.tick()) / lane.takes
        return int(min(max(room.waiting, in_time), room.most))

    def _may_run(self, lane: _Lane[T]) -> bool:
        if len(self._running) >= self._room.total:
            return False
        at_once = self._room.host if lane.known == "works" else 1
        return lane.running < at_once and self._of[lane.known] < self._most[lane.known]

    async def _run(self, lane: _Lane[T], item: T, ticket: int, known: Known) -> None:
        tried = Tried("unknown")
        began = self._clock.tick()
        try:
            tried = await self._call(item)
            took = self._clock.tick() - began
            lane.takes = lane.takes * 0.8 + took * 0.2 if lane.takes else took
        except Exception:  # noqa: BLE001 - one bad call must not end the others; it is met again
            _log.exception("a call could not be made or settled", host=lane.host)
        finally:
            lane.running -= 1
            self._of[known] -= 1
            self._judge(lane, ticket, tried)
            self._wake()

    def _judge(self, lane: _Lane[T], ticket: int, tried: Tried) -> None:
        if tried.ended == "works":
            lane.known = "works"
            lane.breaker.succeed(ticket)
        elif tried.ended == "broken":
            lane.known = "fails"
            lane.breaker.fail(ticket, tried.reason)
        else:
            lane.breaker.abandon(ticket)

    def _lane(self, host: str) -> _Lane[T]:
        lane = self._lanes.get(host)
        if lane is None:
            self._forget()
            breaker = self._breakers.get(host)
            if breaker is None:
                breaker = Breaker(host, self._clock, BreakerSettings())
                self._breakers[host] = breaker
            lane = self._lanes[host] = _Lane(host, breaker)
        return lane

    def _forget(self) -> None:
        """Room for a new host: that of an idle one, the longest silent first."""
        if len(self._lanes) < _REMEMBERED:
            return
        for host, lane in self._lanes.items():
            if not lane.row and not lane.running:
                del self._lanes[host]
                self._breakers.pop(host, None)
                return


def host_of(url: str) -> str:
    """`host:port`, by which calls are kept apart. What does not parse stands for itself."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return url[:200]
    return f"{parts.hostname or ''}:{port}"
