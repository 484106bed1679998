"""A CPU profile: a thread looks at all others a hundred times a second.

What each thread burnt since the last look, by its own CPU clock, is put down to where it is now; so
one that waits costs nothing, and the numbers add up to the CPU time of the process. Python gives a
stack only between two instructions: a long call into C shows as the line that made it.
"""

import asyncio
import sys
import threading
from collections.abc import Mapping
from types import CodeType
from typing import Any

from backstay.core.clock import CpuClock
from backstay.core.profiling.pprof import Frame, ProfileBuilder, ValueType
from backstay.core.profiling.stacks import frames_of, named, waits

PERIOD = 0.01
_NANOS = 1_000_000_000

_Place = tuple[CodeType, int, str]


class Sampler(threading.Thread):
    """Looks until `finish`. `loop` is the one whose running task names the samples of its thread,
    `system` goes with every sample."""

    def __init__(self, system: str, loop: asyncio.AbstractEventLoop, cpu: CpuClock) -> None:
        super().__init__(name="profiler", daemon=True)
        self._system = system
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._cpu = cpu
        self._ending = threading.Event()
        self._last: dict[int, float] = {}
        self._began = 0.0
        self._seen: dict[tuple[tuple[_Place, ...], str, str], list[float]] = {}

    def run(self) -> None:
        self._began = self._cpu.of_process()
        while not self._ending.wait(PERIOD):
            self._look()

    def finish(self, at: float, seconds: float) -> bytes:
        """End the looking; the profile. `at` is epoch seconds, `seconds` how long it took."""
        self._ending.set()
        self.join()
        cpu = ValueType("cpu", "nanoseconds")
        builder = ProfileBuilder(
            [ValueType("samples", "count"), cpu], period=(cpu, int(PERIOD * _NANOS))
        )
        for (places, thread, task), (count, burnt) in self._seen.items():
            labels = {"system": self._system, "thread": thread} | ({"task": task} if task else {})
            stack = [named(*place) for place in places]
            builder.add(stack, [int(count), int(burnt * _NANOS)], labels)
        self._add_rest(builder)
        return builder.encode(at, seconds)

    def stop(self) -> None:
        """End the looking without a profile. Idempotent."""
        self._ending.set()

    def _look(self) -> None:
        names = {one.ident: one for one in threading.enumerate()}
        own = threading.get_ident()
        for ident, frame in sys._current_frames().items():
            thread = names.get(ident)
            if ident == own or thread is None or thread.native_id is None:
                continue
            places = tuple(frames_of(frame))
            burnt = self._burnt(thread.native_id, places)
            if burnt <= 0:
                continue
            task = self._task() if ident == self._loop_thread else ""
            noted = self._seen.setdefault((places, thread.name, task), [0, 0.0])
            noted[0] += 1
            noted[1] += burnt

    def _burnt(self, native_id: int, places: tuple[_Place, ...]) -> float:
        """CPU seconds since the last look; the first at a thread only notes where it stands."""
        now = self._cpu.of_thread(native_id)
        if now is None:
            # No such clock here: a thread that does not wait is taken to burn all the time.
            return 0.0 if waits([(place[2], place[0].co_qualname) for place in places]) else PERIOD
        before = self._last.get(native_id, now)
        self._last[native_id] = now
        return now - before

    def _task(self) -> str:
        """What the loop's current task was made from. Its own name would be new each time."""
        task: asyncio.Task[Any] | None = asyncio.current_task(self._loop)
        return getattr(task.get_coro(), "__qualname__", "") if task else ""

    def _add_rest(self, builder: ProfileBuilder) -> None:
        """Threads that know no Python (the HTTP server's, the database's) burn CPU, too."""
        own = self._cpu.of_thread(self.native_id or 0) or 0.0
        known = sum(burnt for _, burnt in self._seen.values())
        rest = self._cpu.of_process() - self._began - own - known
        if rest > PERIOD:
            labels: Mapping[str, str] = {"system": self._system, "thread": "native"}
            count = int(rest / PERIOD)
            builder.add([Frame("[threads without Python]")], [count, int(rest * _NANOS)], labels)
