"""What the embedded queue engine does in one process, without HTTP.

    python benchmarks/queue_engine.py [--tasks 20000] [--runs 5] [--quick] [--venvs FOLDER]

Every task is created, claimed and completed; every answer is durable (`synchronous=FULL`), with all
features on: batches of 100 from one caller, and 64 callers with one task each; with idempotency
keys, too. Medians of several runs on fresh files. CPU is that of the whole process, for one task;
p50 and p99 are those of one call, which is a third of a task's life, or of a hundred tasks'.

Beside it, taken in turns: the least that can be called a queue, on the standard library's sqlite3,
and litequeue and huey's SQLite storage, all made as durable. What each of them lacks is said in
`peers/engine_*.py`. Those two are installed into virtual environments under FOLDER (a temporary one
unless given); `--quick` leaves them out.
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from peer_venvs import folder, installed, measured, median, percentiles

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.sqlite import Durability
from backstay.queue.model import Rules, Task
from backstay.queue.operations import Claim, Create, Finish, Op, OpResult
from backstay.queue.store.sqlite import SqliteEngine

PAYLOAD = '{"order":4711,"lines":[{"product":"p-1","quantity":2},{"product":"p-2","quantity":1}]}'
RESULT = '{"shipped":true,"parcel":"0034"}'
BATCH = 100
CALLERS = 64
PEERS = {"litequeue": ("litequeue==0.9",), "huey": ("huey==3.5.4",)}


class Run(NamedTuple):
    """Tasks a second, CPU seconds of one task, milliseconds of one call."""

    rate: float
    cpu: float
    p50: float
    p99: float


class Bench:
    """An engine on a fresh file, and the three steps of a task's life."""

    def __init__(self, folder: Path, durability: Durability = "power") -> None:
        self.clock = SystemClock()
        self.ids = Uuid7(self.clock)
        self.times: list[float] = []
        self.engine = SqliteEngine(
            folder / "queue.db", Rules(), self.clock, SystemDice(), durability
        )

    async def create(self, count: int, *, keys: bool = False, tenant: str = "default") -> None:
        new = self.ids.new
        ops = [
            Create(
                new(),
                tenant,
                "PACK",
                PAYLOAD,
                idempotency_key=new() if keys else "",
                fingerprint="4711" if keys else "",
            )
            for _ in range(count)
        ]
        await self._apply(ops)

    async def claim(self, count: int, *tenants: str) -> list[Task]:
        """Without `tenants` those of all."""
        tokens = tuple(self.ids.new() for _ in range(count))
        claim = Claim("worker", tokens, 60.0, ("PACK",), tenants, count)
        [tasks] = await self._apply([claim])
        assert isinstance(tasks, list), tasks
        return tasks  # type: ignore[return-value]

    async def finish(self, tasks: list[Task]) -> None:
        ops = [
            Finish(task.tenant, task.id, "worker", task.lease_token, ok=True, result=RESULT)
            for task in tasks
        ]
        done = await self._apply(ops)
        assert all(isinstance(task, Task) for task in done), done

    async def cycles(self, tasks: int, batch: int, *, keys: bool) -> None:
        for _ in range(tasks // batch):
            await self.create(batch, keys=keys)
            await self.finish(await self.claim(batch, "default"))

    async def _apply(self, ops: Sequence[Op]) -> list[OpResult]:
        began = time.perf_counter()
        found = await self.engine.apply(ops, self.clock.now())
        self.times.append(time.perf_counter() - began)
        return found


async def engine_run(tasks: int, batch: int, callers: int, *, keys: bool) -> Run:
    with tempfile.TemporaryDirectory(prefix="backstay-") as place:
        bench = Bench(Path(place))
        await bench.engine.open()
        await bench.cycles(10 * batch, batch, keys=keys)
        bench.times.clear()
        began, cpu = time.perf_counter(), time.process_time()
        each = tasks // callers
        await asyncio.gather(*(bench.cycles(each, batch, keys=keys) for _ in range(callers)))
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        await bench.engine.close()
        return Run(tasks / seconds, used / tasks, *percentiles(bench.times))


def peer_run(python: Path | str, app: str, tasks: int, batch: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="backstay-") as place:
        found = measured(python, app, place, str(tasks), str(batch))
        return Run(*(found[name] for name in Run._fields))


class Row(NamedTuple):
    """One line of the table: what is run, and the least it shall reach."""

    what: str
    once: Callable[[], Run]
    least: int = 0


def ours(tasks: int) -> list[Row]:
    def row(what: str, batch: int, callers: int, least: int, *, keys: bool) -> Row:
        return Row(what, lambda: asyncio.run(engine_run(tasks, batch, callers, keys=keys)), least)

    return [
        row("batches of 100", BATCH, 1, 30_000, keys=False),
        row("64 callers, one task each", 1, CALLERS, 8_000, keys=False),
        row("batches of 100, with keys", BATCH, 1, 15_000, keys=True),
        row("64 callers, with keys", 1, CALLERS, 5_000, keys=True),
    ]


def theirs(tasks: int, place: Path, names: Sequence[str]) -> list[Row]:
    # One caller whose every step waits for the disk: fewer tasks are enough.
    few = max(BATCH, tasks // 10)

    def row(what: str, python: Path | str, app: str, tasks: int, batch: int) -> Row:
        return Row(what, lambda: peer_run(python, app, tasks, batch))

    plain = "engine_plain.py"
    found = [
        row("the least, sqlite3: batches of 100", sys.executable, plain, tasks, BATCH),
        row("the least, sqlite3: one by one", sys.executable, plain, few, 1),
    ]
    for name in names:
        [package] = PEERS[name]
        python = installed(place, name, PEERS[name])
        found.append(row(f"{package}: one by one", python, f"engine_{name}.py", few, 1))
    return found


def show(rows: Sequence[Row], runs: Sequence[Sequence[Run]]) -> None:
    wide = max(len(row.what) for row in rows)
    head = f"{'tasks/s':>9}{'from':>8}{'to':>8}{'CPU µs':>8}{'p50 ms':>8}{'p99 ms':>8}"
    print(f"{'':{wide}}{head}")
    for row, seen in zip(rows, runs, strict=True):
        rates = sorted(run.rate for run in seen)
        rate, cpu, p50, p99 = (median(column) for column in zip(*seen, strict=True))
        verdict = f"  ≥ {row.least:,} {'met' if rate >= row.least else 'MISSED'}"
        print(
            f"{row.what:{wide}}{rate:9,.0f}{rates[0]:8,.0f}{rates[-1]:8,.0f}"
            f"{cpu * 1e6:8.0f}{p50:8.2f}{p99:8.2f}{verdict if row.least else ''}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="The embedded queue engine in one process")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="nothing is installed")
    parser.add_argument("--venvs", type=Path, help="where peers are installed")
    given = parser.parse_args()
    with folder(given.venvs) as place:
        rows = [*ours(given.tasks), *theirs(given.tasks, place, () if given.quick else [*PEERS])]
        print(
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
            f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before the run",
            flush=True,
        )
        runs: list[list[Run]] = [[] for _ in rows]
        for _ in range(given.runs):
            for row, seen in zip(rows, runs, strict=True):
                seen.append(row.once())
    show(rows, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
