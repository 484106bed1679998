"""A sample of the process every few seconds; the last two minutes of them are kept."""

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Callable, Mapping

import msgspec

from backstay.core.clock import Clock, CpuClock
from backstay.core.metrics import Registry
from backstay.core.metrics_process import resident_bytes
from backstay.core.room import wanted_seconds

PERIOD = 5.0
_KEPT = 25
Labels = tuple[str, ...]
Buckets = Mapping[Labels, tuple[float, ...]]


class Totals(msgspec.Struct, frozen=True):
    """Seconds since the start: in statements, in waiting for a turn at the database, in work there
    (statements and all), and in waiting for the bodies of requests."""

    statements: float
    waits: float
    works: float
    bodies: float


class Sample(msgspec.Struct, frozen=True):
    """The process at one tick. `late` is how many seconds after its time the sample was taken,
    `wanted` how many seconds so far the event loop's thread ran or waited to run; `tasks` counts
    them by what they were made from, `requests` is the histogram of answered requests."""

    tick: float
    late: float
    resident: int
    wanted: float
    tasks: Mapping[str, int]
    requests: Buckets
    totals: Totals


class Census(msgspec.Struct, frozen=True):
    """How many objects of each type there were, as far as Python keeps track of them."""

    tick: float
    resident: int
    types: Mapping[str, int]


class Watch:
    """A Loop. `samples` has the oldest first; `census` was taken when the process was young."""

    name = "watch"

    def __init__(self, clock: Clock, registry: Registry, totals: Callable[[], Totals]) -> None:
        self._clock = clock
        self._cpu = CpuClock()
        self._requests = registry.histogram("http_request_duration_seconds")
        self._totals = totals
        self._wish = 0.0
        self.samples: deque[Sample] = deque(maxlen=_KEPT)
        self.census: Census | None = None
        self.wake = asyncio.Event()

    @property
    def bounds(self) -> tuple[float, ...]:
        """Of the buckets of `Sample.requests`, in seconds."""
        return self._requests.bounds

    async def step(self) -> float:
        """Take a sample; with the second one the census, which costs some 20 ms once."""
        self.samples.append(self.look())
        if len(self.samples) == 2:
            self.census = await self.count()
        self._wish = self._clock.tick() + PERIOD
        return self._wish

    def look(self) -> Sample:
        """The process now. In its loop."""
        tick = self._clock.tick()
        made = Counter(_maker(task) for task in asyncio.all_tasks())
        return Sample(
            tick=tick,
            late=max(0.0, tick - self._wish) if self._wish else 0.0,
            resident=resident_bytes(),
            wanted=wanted_seconds() or self._cpu.of_process(),
            tasks=made,
            requests=self._requests.snapshot(),
            totals=self._totals(),
        )

    async def count(self) -> Census:
        """A census now."""
        tick = self._clock.tick()
        return Census(tick, resident_bytes(), await asyncio.to_thread(_types))


def _maker(task: "asyncio.Task[object]") -> str:
    return getattr(task.get_coro(), "__qualname__", "") or type(task.get_coro()).__name__


def _types() -> dict[str, int]:
    counted = Counter(map(type, gc.get_objects()))
    found: Counter[str] = Counter()
    for kind, count in counted.items():
        found[f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")] += count
    return dict(found)
