"""What the scripts share that work on a store without a server: calls are timed, one by one."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

PAYLOAD = '{"order":4711,"lines":[{"product":"p-1","quantity":2},{"product":"p-2","quantity":1}]}'
RESULT = '{"shipped":true,"parcel":"0034"}'


def arguments() -> tuple[Path, int, int]:
    """An empty folder, how many tasks, how many of them in one call."""
    folder, tasks, batch = sys.argv[1:]
    return Path(folder), int(tasks), int(batch)


def told(tasks: int, cycles: Callable[[list[float]], None]) -> None:
    """Does `cycles`, which notes the seconds of each call, and prints the figures as JSON."""
    times: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    cycles(times)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    times.sort()
    figures = {"rate": tasks / seconds, "cpu": used / tasks}
    shares = {"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}
    print(json.dumps(figures | {name: value * 1e3 for name, value in shares.items()}))


def timed(times: list[float], call: Callable[[], object]) -> object:
    """What `call` gives; its seconds go to `times`."""
    began = time.perf_counter()
    found = call()
    times.append(time.perf_counter() - began)
    return found
