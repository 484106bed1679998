"""A CPU profile: where each thread is, a hundred times a second.

How much a thread burnt is known exactly, by its own CPU clock; where it did, from the looks that
found it at work. So one that waits costs nothing, and the numbers add up to the CPU time of the
process. Python gives a stack only between two instructions: a long call into C shows as the line
that made it.

The main thread, which runs the loop, is looked at by a signal (SIGPROF, each 10 ms of CPU): another
thread gets its turn only when the loop waits, and would never see a request that takes less than
the 5 ms that a thread may keep the interpreter. The others are looked at from a thread.
"""

import asyncio
import signal
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

from backstay.core.clock import CpuClock
from backstay.core.profiling.pprof import Frame, ProfileBuilder, ValueType
from backstay.core.profiling.stacks import LOOKED, frames_of, named, waits

PERIOD = 0.01
_NANOS = 1_000_000_000

_Place = tuple[CodeType, int, str]


class _Seen(NamedTuple):
    places: tuple[_Place, ...]
    task: str


class _Thread:
    """What is known of one thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first: float | None = None
        self.last = 0.0
        self.busy: Counter[_Seen] = Counter()
        self.idle: Counter[_Seen] = Counter()

    def burnt(self) -> float:
        """CPU seconds; by the looks alone where there is no clock of threads."""
        if self.first is None:
            return sum(self.busy.values()) * PERIOD
        return self.last - self.first


class Sampler(threading.Thread):
    """Looks until `finish`. `loop` is the one whose running task names the samples of its thread,
    `system` goes with every sample. One at a time: the signal has one handler. `start` and `stop`
    are called in the loop's thread."""

    def __init__(self, system: str, loop: asyncio.AbstractEventLoop, cpu: CpuClock) -> None:
        super().__init__(name="profiler", daemon=True)
        self._system = system
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._cpu = cpu
        self._ending = threading.Event()
        self._signals = False
        self._began = 0.0
        self._burnt = 0.0
        self._own = 0.0
        self._threads: dict[int, _Thread] = {}

    def start(self) -> None:
        """Begin to look."""
        main = threading.main_thread()
        self._signals = threading.current_thread() is main
        if self._signals:
            known = self._threads[main.native_id or 0] = _Thread(main.name)
            signal.signal(signal.SIGPROF, lambda _, frame: self._interrupted(known, frame))
            # A system call that is under way goes on: libraries need not know of the signal.
            signal.siginterrupt(signal.SIGPROF, False)
            signal.setitimer(signal.ITIMER_PROF, PERIOD, PERIOD)
        super().start()

    def stop(self) -> None:
        """End the looking. Idempotent."""
        if self._signals:
            self._signals = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            # Not its default, which would end the process for one that is still on its way.
            signal.signal(signal.SIGPROF, signal.SIG_IGN)
        self._ending.set()

    def run(self) -> None:
        """In its own thread."""
        self._began = self._cpu.of_process()
        self._look()
        while not self._ending.wait(PERIOD):
            self._look()
        self._burnt = self._cpu.of_process() - self._began
        self._own = self._cpu.of_thread(threading.get_native_id()) or 0.0

    def finish(self, at: float, seconds: float) -> bytes:
        """The profile, after `stop`. `at` is epoch seconds, `seconds` how long was looked."""
        self.join()
        cpu = ValueType("cpu", "nanoseconds")
        builder = ProfileBuilder(
            [ValueType("samples", "count"), cpu], period=(cpu, int(PERIOD * _NANOS))
        )
        for thread in self._threads.values():
            self._add(builder, thread)
        rest = self._burnt - self._own - sum(one.burnt() for one in self._threads.values())
        if rest > PERIOD:
            # Threads that know no Python (the HTTP server's, the database's) burn CPU, too.
            values = [int(rest / PERIOD), int(rest * _NANOS)]
            builder.add([Frame("[threads without Python]")], values, self._labels("native", ""))
        return builder.encode(at, seconds)

    def _look(self) -> None:
        names = {one.ident: one for one in threading.enumerate()}
        own = threading.get_ident()
        for ident, frame in sys._current_frames().items():
            thread = names.get(ident)
            if ident == own or thread is None or thread.native_id is None:
                continue
            known = self._threads.setdefault(thread.native_id, _Thread(thread.name))
            now = self._cpu.of_thread(thread.native_id)
            if now is not None:
                known.first = now if known.first is None else known.first
                known.last = now
            if not (self._signals and thread is threading.main_thread()):
                self._note(known, frame, in_loop=ident == self._loop_thread)

    def _interrupted(self, main: _Thread, frame: FrameType | None) -> None:
        self._note(main, frame, in_loop=True)

    def _note(self, known: _Thread, frame: FrameType | None, *, in_loop: bool) -> None:
        places = tuple(frames_of(frame))
        seen = _Seen(places, self._task() if in_loop else "")
        (known.idle if _waiting(places) else known.busy)[seen] += 1

    def _add(self, builder: ProfileBuilder, thread: _Thread) -> None:
        burnt = thread.burnt()
        if burnt <= 0:
            return
        # Never met at work: then where it was met is all that can be said.
        found = thread.busy or Counter(dict(thread.idle.most_common(1)))
        looks = sum(found.values())
        for seen, count in found.items():
            stack = [named(*place) for place in seen.places]
            values = [count, int(burnt * _NANOS * count / looks)]
            builder.add(stack, values, self._labels(thread.name, seen.task))

    def _labels(self, thread: str, task: str) -> Mapping[str, str]:
        labels = {"system": self._system, "thread": thread}
        return labels | ({"task": task} if task else {})

    def _task(self) -> str:
        """What the loop's current task was made from. Its own name would be new each time."""
        task: asyncio.Task[Any] | None = asyncio.current_task(self._loop)
        return getattr(task.get_coro(), "__qualname__", "") if task else ""


def _waiting(places: Sequence[_Place]) -> bool:
    return bool(waits([(module, code.co_qualname) for code, _, module in places[:LOOKED]]))
