"""The embedded queue engine when much waits in it.

    python benchmarks/queue_deep.py [--runs 5] [--deep 1000000]

1. a claim of one task with a million tasks pending, beside one with a thousand;
2. memory (proportional set size) of a process that works on a store with a million pending tasks;
3. the time from a task's creation until a worker that serves all tenants has it, alone and while
   another tenant has 100,000 tasks waiting (p95).

Ratios are medians of runs that take turns; every answer is durable (`synchronous=FULL`).
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import NamedTuple

from queue_engine import BATCH, Bench

from backstay.queue.model import Task

CLAIMS = 2000


class Line(NamedTuple):
    what: str
    value: str
    target: str
    good: bool


async def fill(folder: Path, pending: int) -> None:
    bench = Bench(folder, "process")
    await bench.engine.open()
    for _ in range(0, pending, 1000):
        await bench.create(min(1000, pending))
    await bench.engine.close()


async def claims(folder: Path) -> list[float]:
    """Seconds of each of many claims of one task, each durable."""
    bench = Bench(folder)
    await bench.engine.open()
    took = []
    for _ in range(CLAIMS):
        await bench.create(1)
        began = time.perf_counter()
        found = await bench.claim(1, "default")
        took.append(time.perf_counter() - began)
        assert found
    await bench.engine.close()
    return took


def deep_lines(given: argparse.Namespace) -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="backstay-") as name:
        deep, shallow = Path(name, "deep"), Path(name, "shallow")
        for folder, pending in ((deep, given.deep), (shallow, 1000)):
            folder.mkdir()
            asyncio.run(fill(folder, pending))
        pairs = [(median_claim(deep), median_claim(shallow)) for _ in range(max(3, given.runs))]
        ratio = statistics.median(far / near for far, near in pairs)
        far, near = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
        what = f"claim with {given.deep:,} pending, beside 1,000"
        lines = [Line(what, f"{far:.0f} µs / {near:.0f} µs = {ratio:.2f}×", "≤ 1.3×", ratio <= 1.3)]
        size = int(subprocess.run(
            [sys.executable, __file__, "--memory", str(deep)],
            capture_output=True, text=True, check=True,
        ).stdout)  # fmt: skip
        what = f"memory (PSS) at work on {given.deep:,} pending"
        return [*lines, Line(what, f"{size / 1e6:.0f} MB", "≤ 300 MB", size <= 300_000_000)]


async def pick_ups(folder: Path) -> list[float]:
    """Seconds until tasks of a quiet tenant were in a worker's hands that serves all tenants."""
    bench = Bench(folder)
    await bench.engine.open()
    took = []
    for _ in range(CLAIMS // 4):
        began = time.perf_counter()
        await bench.create(1, tenant="quiet")
        tasks: list[Task] = []
        while not any(task.tenant == "quiet" for task in tasks):
            tasks = await bench.claim(1)
        took.append(time.perf_counter() - began)
        await bench.finish(tasks)
    await bench.engine.close()
    return took


def neighbour_line(given: argparse.Namespace) -> Line:
    with tempfile.TemporaryDirectory(prefix="backstay-") as name:
        loud, alone = Path(name, "loud"), Path(name, "alone")
        loud.mkdir()
        alone.mkdir()
        asyncio.run(fill(loud, 100_000))
        pairs = [(p95(pick_ups(loud)), p95(pick_ups(alone))) for _ in range(max(3, given.runs))]
    ratio = statistics.median(beside / by_itself for beside, by_itself in pairs)
    beside, by_itself = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    value = f"{beside:.0f} µs / {by_itself:.0f} µs = {ratio:.2f}×"
    return Line("pick-up (p95) beside 100,000 of another tenant", value, "< 2×", ratio < 2)


def p95(work: Coroutine[None, None, list[float]]) -> float:
    return statistics.quantiles(asyncio.run(work), n=20)[-1]


def median_claim(folder: Path) -> float:
    return statistics.median(asyncio.run(claims(folder)))


async def work_there(folder: Path) -> int:
    """Bytes of this process after some thousand steps on the store, a page and the depths."""
    bench = Bench(folder)
    await bench.engine.open()
    await bench.cycles(5000, BATCH, keys=False)
    await bench.engine.stats(None)
    size = proportional_set_size()
    await bench.engine.close()
    return size


def proportional_set_size() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    sys.exit("no Pss in /proc/self/smaps_rollup")


def main() -> int:
    parser = argparse.ArgumentParser(description="The embedded queue engine with much in it")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--deep", type=int, default=1_000_000)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(asyncio.run(work_there(given.memory)))
        return 0
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before the run"
    )
    lines = [*deep_lines(given), neighbour_line(given)]
    wide = max(len(line.what) for line in lines)
    for line in lines:
        verdict = "met" if line.good else "MISSED"
        print(f"{line.what:<{wide}}  {line.value:<40} {line.target:<9} {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
