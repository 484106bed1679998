"""What checkpoints on the writing thread cost those who wait for a commit.

    python benchmarks/queue_checkpoints.py [--tasks 40000] [--runs 5]

64 callers with one task each, every answer durable (`synchronous=FULL`): the time of every `apply`,
as its caller sees it, in runs that take turns: as it is, and with the log left to grow, so that
nobody ever waits for a checkpoint. Medians over the runs; beside them how long a checkpoint takes.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from queue_engine import Bench

from backstay.core.sqlite import writer

CALLERS = 64
NEVER = 1 << 60
SHARES = (0.5, 0.99, 0.999, 1.0)


class Seen(NamedTuple):
    """Seconds: of each apply, sorted, and of each checkpoint."""

    waits: list[float]
    checkpoints: list[float]
    took: float


async def one_run(tasks: int, limit: int) -> Seen:
    writer.CHECKPOINT_BYTES, usual = limit, writer.CHECKPOINT_BYTES
    with tempfile.TemporaryDirectory(prefix="backstay-") as folder:
        bench = Bench(Path(folder))
        await bench.engine.open()
        checkpoints = watched(bench)
        waits: list[float] = []

        async def caller() -> None:
            for _ in range(tasks // CALLERS):
                await timed(waits, bench.create(1))
                claimed = await timed(waits, bench.claim(1, "default"))
                await timed(waits, bench.finish(claimed))

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        took = time.perf_counter() - began
        await bench.engine.close()
    writer.CHECKPOINT_BYTES = usual
    return Seen(sorted(waits), checkpoints, took)


async def timed(waits, work):  # type: ignore[no-untyped-def]
    began = time.perf_counter()
    result = await work
    waits.append(time.perf_counter() - began)
    return result


def watched(bench: Bench) -> list[float]:
    """Seconds of each checkpoint that the engine's writer makes from now on."""
    found: list[float] = []
    thread = bench.engine._db._writer
    usual = thread._checkpoint_if_due

    def checkpoint() -> None:
        before, began = thread.stats().checkpoints, time.perf_counter()
        usual()
        if thread.stats().checkpoints > before:
            found.append(time.perf_counter() - began)

    thread._checkpoint_if_due = checkpoint  # type: ignore[method-assign]
    return found


def share(times: list[float], part: float) -> float:
    return times[min(len(times) - 1, int(part * len(times)))]


def told(what: str, runs: list[Seen]) -> None:
    shares = [statistics.median(share(run.waits, part) for run in runs) for part in SHARES]
    rate = statistics.median(len(run.waits) / 3 / run.took for run in runs)
    texts = "  ".join(
        f"{name} {seconds * 1e3:6.1f} ms"
        for name, seconds in zip(("p50", "p99", "p99.9", "max"), shares, strict=True)
    )
    print(f"{what:<28} {texts}   {rate:,.0f} cycles/s")


def main() -> int:
    parser = argparse.ArgumentParser(description="What checkpoints cost a commit")
    parser.add_argument("--tasks", type=int, default=40_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run")
    with_them, without = [], []
    for _ in range(given.runs):
        with_them.append(asyncio.run(one_run(given.tasks, writer.CHECKPOINT_BYTES)))
        without.append(asyncio.run(one_run(given.tasks, NEVER)))
    told("as it is", with_them)
    told("nobody checkpoints", without)
    took = sorted(each for run in with_them for each in run.checkpoints)
    if took:
        count = len(took) / given.runs
        print(
            f"{count:.0f} checkpoints a run of {writer.CHECKPOINT_BYTES >> 20} MiB each:"
            f" p50 {share(took, 0.5) * 1e3:.1f} ms, longest {took[-1] * 1e3:.1f} ms"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
