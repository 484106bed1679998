"""What the workers of all libraries share: a task that does nothing but count.

The first call starts the clocks, the last one stops them and prints the figures as JSON, so that
neither the start of an interpreter nor the way a library ends is measured.
"""

import itertools
import json
import os
import sys
import threading
import time


class Counted:
    """`tick` is called by each task, from any thread."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._seen = itertools.count(1)  # its next() is one step of the interpreter: no lock
        self._began = self._cpu = 0.0

    def tick(self) -> None:
        number = next(self._seen)
        if number == 1:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        if number == self._tasks:
            # Acknowledging the last tasks is part of the work; nobody says when it is done.
            threading.Timer(0.0, self._stop).start()

    def _stop(self) -> None:
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu
        print(json.dumps({"rate": self._tasks / seconds, "cpu": cpu / self._tasks}), flush=True)
        os._exit(0)


def arguments() -> tuple[str, str, int]:
    """`fill` or `work`, where the broker is, how many tasks."""
    step, url, tasks = sys.argv[1:]
    return step, url, int(tasks)
