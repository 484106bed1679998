"""Time, identity and chance as values that are handed in, never fetched.

Nothing else in `backstay` calls `time`, `random` or `uuid` (a lint rule says so): a test
that owns these three owns the run.
"""

import asyncio
import math
import os
import random
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_RANDOM = 1024


class Clock(Protocol):
    """Two kinds of time, because one of them may jump."""

    def now(self) -> float:
        """Wall time in epoch seconds. It may jump: use it for what is stored or scheduled."""
        ...

    def tick(self) -> float:
        """Monotonic seconds of this process. Use it for timeouts, leases, breakers and backoff."""
        ...

    async def sleep(self, until_tick: float) -> None:
        """Return once `tick()` has reached `until_tick`."""
        ...


class Ids(Protocol):
    """New names for things; they sort by the time they were made."""

    def new(self) -> str:
        """A new id, ordered by time so that indexes grow at one end."""
        ...


class Dice(Protocol):
    """Chance, handed in so that a test can decide it."""

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def tick(self) -> float:
        return time.monotonic()

    async def sleep(self, until_tick: float) -> None:
        await asyncio.sleep(max(0.0, until_tick - time.monotonic()))


class CpuClock:
    """CPU seconds burnt, by this process and by each of its threads: for profiles alone."""

    def of_process(self) -> float:
        return time.process_time()

    def of_thread(self, native_id: int) -> float | None:
        """None for a thread that has ended, and where the system has no such clock."""
        if sys.platform != "linux":
            return None
        try:
            # Linux: the clock of a thread by its id. pthread_getcpuclockid would do the same, and
            # crash the process for a thread that has just ended.
            return time.clock_gettime(~native_id << 3 | 6)
        except OSError:
            return None


class Uuid7:
    """UUID version 7 (RFC 9562): 48 bits of milliseconds, a counter, then randomness.

    Ids of one process are strictly increasing, also inside one millisecond and when the wall
    clock goes back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._random = b""
        self._used = 0

    def new(self) -> str:
        millis = int(self._clock.now() * 1000)
        # 12 bits of counter live in rand_a; a clock that stands or jumps back only counts on.
        self._last = max(self._last + 1, millis << 12)
        stamp, counter = self._last >> 12, self._last & 0xFFF
        tail = self._chance() & (2**62 - 1)
        value = (stamp & (2**48 - 1)) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | tail
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _chance(self) -> int:
        """64 random bits; the machine is asked for many at once: asking costs more than using."""
        start = self._used
        if start >= len(self._random):
            self._random, start = os.urandom(_RANDOM), 0
        self._used = start + 8
        return int.from_bytes(self._random[start : start + 8], "big")


class SystemDice:
    """Chance for jitter; not for secrets."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - jitter, not cryptography

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


def rfc3339(epoch: float) -> str:
    """UTC with microseconds and `Z`: `2026-03-01T12:00:00.000000Z` (decision 7)."""
    # Rounded as datetime does it; most times that are written are of the same few seconds.
    fraction, second = math.modf(epoch)
    micros = round(fraction * 1e6)
    if not 0 <= micros < 1_000_000:
        step = 1 if micros > 0 else -1
        second, micros = second + step, micros - step * 1_000_000
    return f"{_to_the_second(int(second))}.{micros:06d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> float:
    """Epoch seconds of an RFC 3339 time. Raises ValueError without a time zone or on bad text."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it like 2026-03-01T12:00:00Z")
    return moment.timestamp()
