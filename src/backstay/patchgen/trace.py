"""Where the milliseconds and the megabytes went: stages, debug lines, memory figures."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import msgspec

from backstay.core.clock import Clock, rfc3339
from backstay.core.duration import format_duration
from backstay.core.metrics_process import resident_bytes

SLOW_SECONDS = 1.0
"""Generation that takes longer is called slow, and its possible causes are named (P33)."""
SLOW_CAUSES = ("Slow disk I/O", "Network-mounted filesystem", "Antivirus scanning")

Say = Callable[[str], None]


class Stages:
    """Times the stages of one run. `say` gets the trace lines of P45; None keeps silent."""

    def __init__(self, clock: Clock, say: Say | None = None) -> None:
        self._clock = clock
        self._say = say
        self._began = clock.tick()
        self.took: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage, which may come several times; its seconds add up, also when it fails."""
        began = self._clock.tick()
        if self._say:
            self._say(f"[{rfc3339(self._clock.now())}] Starting {name}")
        try:
            yield
        finally:
            took = self._clock.tick() - began
            self.took[name] = self.took.get(name, 0.0) + took
            if self._say:
                now = rfc3339(self._clock.now())
                self._say(f"[{now}] Completed {name} (took {format_duration(took)})")

    @property
    def total(self) -> float:
        """Seconds since this was made."""
        return self._clock.tick() - self._began

    def lines(
        self, validation: str = "validation", generation: str = "package generation"
    ) -> list[str]:
        """The split of P33, with the causes when generation was slow."""
        spent = self.took.get(generation, 0.0)
        shown = [
            f"Total time: {format_duration(self.total)}",
            f"  Validation: {format_duration(self.took.get(validation, 0.0))}",
            f"  Generation: {format_duration(spent)}",
        ]
        if spent > SLOW_SECONDS:
            shown += ["Possible causes:", *(f"- {cause}" for cause in SLOW_CAUSES)]
        return shown


class DebugLog:
    """Lines of JSON with an ISO 8601 time under `timestamp` (P44), for commands: a logging library
    would cost a fifth of a second of start-up."""

    def __init__(self, clock: Clock, say: Say) -> None:
        self._clock = clock
        self._say = say

    def debug(self, event: str, /, **values: object) -> None:
        """One line."""
        told = {"timestamp": rfc3339(self._clock.now()), "level": "debug", "msg": event, **values}
        self._say(msgspec.json.encode(told, enc_hook=str).decode())


class Memory(msgspec.Struct, frozen=True):
    """What Python has for Go's figures (P36), in bytes: traced now, traced at most, resident now,
    and runs of the collector."""

    current: int
    total: int
    resident: int
    collections: int

    def lines(self) -> list[str]:
        mega = 1024 * 1024
        return [
            f"Alloc = {self.current // mega} MB",
            f"TotalAlloc = {self.total // mega} MB",
            f"Sys = {self.resident // mega} MB",
            f"NumGC = {self.collections}",
        ]


class Tracing:
    """Traces allocations while it is entered; costs about half of the speed."""

    def __enter__(self) -> Self:
        tracemalloc.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tracemalloc.stop()


def memory() -> Memory:
    """The figures now; the traced ones are 0 unless `Tracing` runs."""
    current, peak = tracemalloc.get_traced_memory()
    runs = sum(stats["collections"] for stats in gc.get_stats())
    return Memory(current, peak, resident_bytes(), runs)
