"""What the workers of all libraries share: a task that does nothing but count.

`work`: the first call starts the clocks, the last one stops them and prints the figures as JSON, so
that neither the start of an interpreter nor the way a library ends is measured. `listen`: the first
call says that the worker is up; each of the others was sent with the time of its sending, and how
long it took to come is printed in the end.
"""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator

PACE = 0.005
"""Seconds between two tasks that are sent to a worker that has nothing to do."""


class Counted:
    """`tick` is called by each task, from any thread, with the time of its sending or 0."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._seen = itertools.count(1)  # its next() is one step of the interpreter: no lock
        self._began = self._cpu = 0.0
        self._took: list[float] = []

    def tick(self, sent: float) -> None:
        number = next(self._seen)
        if sent:
            # The monotonic clock is the same for all processes of a Linux machine.
            self._took.append(time.perf_counter() - sent)
        elif number == 1:
            print("up", flush=True)
        if number == 1:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        if number == self._tasks:
            # Acknowledging the last tasks is part of the work; nobody says when it is done.
            threading.Timer(0.0, self._stop).start()

    def _stop(self) -> None:
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu
        figures = {"rate": self._tasks / seconds, "cpu": cpu / self._tasks}
        if self._took:
            took = sorted(self._took)
            shares = {"p50": took[len(took) // 2], "p99": took[int(len(took) * 0.99)]}
            figures |= {name: value * 1e3 for name, value in shares.items()}
        print(json.dumps(figures), flush=True)
        os._exit(0)


def arguments() -> tuple[str, str, int]:
    """`fill`, `send`, `work` or `listen`; where the broker is; how many tasks."""
    step, url, tasks = sys.argv[1:]
    return step, url, int(tasks)


def sendings(step: str, tasks: int) -> Iterator[float]:
    """What each task is sent with: 0, or (`send`) now and then the time."""
    for _ in range(tasks):
        if step == "send":
            time.sleep(PACE)
        yield time.perf_counter() if step == "send" else 0.0
