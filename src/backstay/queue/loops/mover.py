"""Time passes: due tasks become ready and leases end exactly when they should, claimed or not."""

import asyncio

import structlog

from backstay.core.clock import Clock
from backstay.queue.operations import Move
from backstay.queue.store import Engine, Happened

_log = structlog.get_logger("queue.mover")

# Due times are wall times and sleeping is monotonic: a clock that jumps is met after this long.
_LONGEST_SLEEP = 5.0
_JUMP = 5.0
_PAUSE = 1.0
# A due time is a wall time and has digits down to a quarter of a microsecond; leases are finer.
_DIGITS = 1e-6


class Mover:
    """A Loop. Sleeps until the store's next due time; woken when something earlier arrives.

    `planned` is the wall time it sleeps to, infinite while it looks.
    """

    name = "mover"

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.wake = asyncio.Event()
        self._engine = engine
        self._clock = clock
        self.planned = float("inf")
        self._in_vain = False
        self._offset = clock.now() - clock.tick()
        engine.listen(self._happened)

    async def step(self) -> float | None:
        """Move what is due. Returns the tick of the next due time."""
        self._notice_jump()
        # While it looks, everything that is put off may be earlier than what it finds.
        self.planned = float("inf")
        # Read together, before the store is asked: what that takes must not be slept on top.
        now, tick = self._clock.now(), self._clock.tick()
        due = await self._engine.due(now)
        if due is not None and due <= now:
            [moved] = await self._engine.apply([Move()], now)
            if moved:
                self._in_vain = False
                return tick
            # Somebody else did it meanwhile, and there may be more to do; or it was met too early
            # by a last digit. Twice in a row it is a contradiction in the store, which `codeq admin
            # cleanup` mends and which must not make this loop spin.
            pause = _PAUSE if self._in_vain else _DIGITS
            self._in_vain = True
            self.planned = now + pause
            return tick + pause
        self._in_vain = False
        left = _LONGEST_SLEEP if due is None else min(due - now, _LONGEST_SLEEP)
        self.planned = now + left
        return tick + left

    def _happened(self, happened: Happened) -> None:
        if happened.earliest < self.planned:
            self.wake.set()

    def _notice_jump(self) -> None:
        offset = self._clock.now() - self._clock.tick()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) > _JUMP:
            # Leases run on the monotonic clock and are not ended by it (decision 6).
            _log.warning("wall clock jumped", seconds=round(jump, 3))
