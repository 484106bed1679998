"""Operations for one command's keys go through one lane: while a call is under way, what comes next
is gathered, and goes as one call when the answer is there. So many callers with one operation each
cost as little as one caller with many, and each caller's operations are one atomic step.

A call whose answer is lost is sent again, the very same bytes but for a mark that says so; the
scripts know by ids, tokens and stamps what was done already (docs/decisions/0016).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from backstay.core.clock import Clock, Dice
from backstay.core.errors import Fault
from backstay.queue.errors import STORE_UNREACHABLE
from backstay.queue.model import Rules
from backstay.queue.operations import Claim, Move, Purge
from backstay.queue.store.lua import APPLY, Script
from backstay.queue.store.redis_layout import CHANNEL, command_of, keys_of
from backstay.queue.store.redis_link import Link, LostError
from backstay.queue.store.redis_ops import Asked, answer
from backstay.queue.store.redis_time import LeaseClock

_log = structlog.get_logger("queue.redis")

LARGEST_CALL = 400
"""Tasks touched in one call: some ten milliseconds of a store that does nothing else meanwhile."""
PAUSES = (0.05, 0.2, 0.5)
"""Seconds before each further try of a call whose answer was lost."""

Tell = Callable[[str, list[Any]], None]
"""Given the tag and what the call says that it changed."""


class CallStats(msgspec.Struct):
    """Totals since opening."""

    calls: int = 0
    operations: int = 0
    failures: int = 0
    seconds: float = 0.0


class Calls:
    """All lanes of one engine. `others` says whether other servers want to hear of changes."""

    def __init__(
        self, link: Link, rules: Rules, clock: Clock, dice: Dice, leases: LeaseClock, nonce: str
    ) -> None:
        self.others = False
        self.stats = CallStats()
        self.last_seq = 0
        self._link = link
        self._rules = rules
        self._clock = clock
        self._dice = dice
        self._leases = leases
        self._nonce = nonce
        self._lanes: dict[str, _Lane] = {}
        self._tell: Tell = lambda _tag, _told: None

    def listen(self, tell: Tell) -> None:
        self._tell = tell

    async def add(self, tag: str, asked: Sequence[Asked]) -> list[Any]:
        """The answers, once they are durable. Raises a Fault when the store is lost or refuses."""
        lane = self._lanes.get(tag)
        if lane is None:
            lane = self._lanes[tag] = _Lane(tag)
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        lane.waiting.append((asked, done))
        if lane.running is None:
            lane.running = asyncio.create_task(self._drive(lane))
        return await asyncio.shield(done)

    async def close(self) -> None:
        """Waits for what is under way."""
        running = [lane.running for lane in self._lanes.values() if lane.running is not None]
        if running:
            await asyncio.wait(running, timeout=10)

    async def send(self, script: Script, tag: str, asked: Sequence[Asked]) -> list[Any]:
        """One call of its own, at once."""
        tick = self._clock.tick()
        command = command_of(tag)
        blobs = await self._until_answered(script, tag, [one.wire for one in asked])
        results, happened, seq = msgspec.msgpack.decode(blobs[0])
        self.last_seq = max(self.last_seq, int(seq))
        shown = iter(blobs[1:])
        answers = [
            answer(one, told, shown, tag, command) for one, told in zip(asked, results, strict=True)
        ]
        self.stats.calls += 1
        self.stats.operations += len(asked)
        self.stats.seconds += self._clock.tick() - tick
        self._tell(tag, happened)
        return answers

    # --- inside ------------------------------------------------------------------------------

    async def _drive(self, lane: "_Lane") -> None:
        while lane.waiting:
            taken = lane.take()
            asked = [one for part, _ in taken for one in part]
            try:
                answers = iter(await self.send(APPLY, lane.tag, asked))
            except BaseException as failure:  # noqa: BLE001 - each caller is told of it
                self.stats.failures += 1
                for _, done in taken:
                    _fail(done, failure)
                if not isinstance(failure, Exception):
                    lane.fail(failure)
                    break
            else:
                for part, done in taken:
                    mine = [next(answers) for _ in part]
                    if not done.done():
                        done.set_result(mine)
        lane.running = None
        self._lanes.pop(lane.tag, None)

    def envelope(self, wires: list[Any], tag: str) -> list[Any]:
        """What goes to the script: operations, and all it must know beside them (`call.lua`). The
        second place says that it is sent again."""
        rules = self._rules
        backoff = rules.backoff
        return [
            *(self._leases.now(), False, self.others, self._nonce, self._dice.uniform(0, 1)),
            *(backoff.policy, backoff.base, backoff.cap, rules.retention, rules.abandon_delay),
            *(wires, tag),
        ]

    async def _until_answered(self, script: Script, tag: str, wires: list[Any]) -> list[bytes]:
        keys = keys_of(tag)
        call = self.envelope(wires, tag)
        for pause in (*PAUSES, None):
            try:
                sent = msgspec.msgpack.encode(call)
                blobs: list[bytes] = await self._link.run(script, keys, sent, CHANNEL)
                return blobs
            except LostError as lost:
                if pause is None:
                    raise lost.fault from lost
                _log.info("the store was lost in a call", tag=tag, why=str(lost))
            call[1] = True
            await self._clock.sleep(self._clock.tick() + pause)
        raise Fault(STORE_UNREACHABLE, address=self._link.address.shown, reason="no answer")


class _Lane:
    """What waits to be sent for one command's keys."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.waiting: list[tuple[Sequence[Asked], asyncio.Future[list[Any]]]] = []
        self.running: asyncio.Task[None] | None = None

    def take(self) -> list[tuple[Sequence[Asked], asyncio.Future[list[Any]]]]:
        """The first ones, whole callers only."""
        size, count = 0, 0
        for asked, _ in self.waiting:
            weight = sum(map(_weight, asked))
            if count and size + weight > LARGEST_CALL:
                break
            size, count = size + weight, count + 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def fail(self, failure: BaseException) -> None:
        for _, done in self.waiting:
            _fail(done, failure)
        self.waiting = []


def _weight(one: Asked) -> int:
    """How many tasks an operation touches at most."""
    match one.op:
        case Claim(count=count):
            return count
        case Move(limit=limit) | Purge(limit=limit):
            return limit
        case _:
            return 1


def _fail(done: "asyncio.Future[list[Any]]", failure: BaseException) -> None:
    if not done.done():
        done.set_exception(
            failure if isinstance(failure, Exception) else ConnectionAbortedError("closing")
        )
        # A caller that has gone hears of nothing; that is no failure of anybody's.
        done.exception()
