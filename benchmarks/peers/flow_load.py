"""The load of benchmarks/app_workflow.py: clients that start a workflow, wait for its end, and
start the next. No package but Python's own: it runs in the peers' environments, too."""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator


async def measured(one: Callable[[int], Awaitable[object]]) -> None:
    """Warm up, measure, print the figures as JSON."""
    number = iter(range(10**9))
    width = int(os.environ["WIDTH"])
    await _all(one, number, width, max(width, int(os.environ["TASKS"]) // 10))
    cpu, began = time.process_time(), time.perf_counter()
    took = await _all(one, number, width, int(os.environ["TASKS"]))
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    took.sort()
    figures = {
        "rate": len(took) / seconds,
        "p50": statistics.median(took),
        "p99": took[len(took) * 99 // 100],
        "cpu": used / len(took),
    }
    print(json.dumps(figures), flush=True)


async def _all(
    one: Callable[[int], Awaitable[object]], number: Iterator[int], width: int, tasks: int
) -> list[float]:
    left = tasks
    took: list[float] = []

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            await one(next(number))
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(client() for _ in range(width)))
    return took
