"""What the embedded queue engine does in one process, without HTTP.

    python benchmarks/queue_engine.py [--tasks 20000] [--runs 5] [--deep 1000000] [--quick]

Every task is created, claimed and completed; every answer is durable (`synchronous=FULL`), with all
features on. Medians of several runs on fresh files; CPU is that of the whole process, for one task.

1. batches of 100 from one caller, and 64 callers with one task each; with idempotency keys, too;
2. a claim of one task with a million tasks pending, beside one with a thousand;
3. the time from a task's creation until a worker that serves all tenants has it, alone and while
   another tenant has 100,000 tasks waiting (p95);
4. memory (proportional set size) of a process that works on a store with a million pending tasks;
5. beside it, in the same run: the least that can be called a queue, on the standard library's
   sqlite3 (one table, no lease end, no retry, no tenants), and litequeue and huey's SQLite storage
   where they are installed (`pip install litequeue huey`), both made as durable.
"""

import argparse
import asyncio
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.sqlite import Durability
from backstay.queue.model import Rules, Task
from backstay.queue.operations import Claim, Create, Finish
from backstay.queue.store.sqlite import SqliteEngine

PAYLOAD = '{"order":4711,"lines":[{"product":"p-1","quantity":2},{"product":"p-2","quantity":1}]}'
RESULT = '{"shipped":true,"parcel":"0034"}'
BATCH = 100
CALLERS = 64
CLAIMS = 2000


class Run(NamedTuple):
    """Cycles a second, and CPU seconds of one cycle."""

    rate: float
    cpu: float


class Line(NamedTuple):
    what: str
    value: str
    target: str = ""
    good: bool | None = None


class Bench:
    """An engine on a fresh file, and the three steps of a task's life."""

    def __init__(self, folder: Path, durability: Durability = "power") -> None:
        self.clock = SystemClock()
        self.ids = Uuid7(self.clock)
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
        await self.engine.apply(ops, self.clock.now())

    async def claim(self, count: int, *tenants: str) -> list[Task]:
        """Without `tenants` those of all."""
        tokens = tuple(self.ids.new() for _ in range(count))
        claim = Claim("worker", tokens, 60.0, ("PACK",), tenants, count)
        [tasks] = await self.engine.apply([claim], self.clock.now())
        assert isinstance(tasks, list), tasks
        return tasks  # type: ignore[return-value]

    async def finish(self, tasks: list[Task]) -> None:
        ops = [
            Finish(task.tenant, task.id, "worker", task.lease_token, ok=True, result=RESULT)
            for task in tasks
        ]
        done = await self.engine.apply(ops, self.clock.now())
        assert all(isinstance(task, Task) for task in done), done

    async def cycles(self, tasks: int, batch: int, *, keys: bool) -> None:
        for _ in range(tasks // batch):
            await self.create(batch, keys=keys)
            await self.finish(await self.claim(batch, "default"))


async def measured(work: Callable[[], Awaitable[object]], tasks: int) -> Run:
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    return Run(tasks / (time.perf_counter() - began), (time.process_time() - cpu) / tasks)


async def engine_run(tasks: int, batch: int, callers: int, *, keys: bool) -> Run:
    with tempfile.TemporaryDirectory(prefix="backstay-") as folder:
        bench = Bench(Path(folder))
        await bench.engine.open()
        await bench.cycles(10 * batch, batch, keys=keys)

        async def work() -> None:
            each = tasks // callers
            await asyncio.gather(*(bench.cycles(each, batch, keys=keys) for _ in range(callers)))

        run = await measured(work, tasks)
        await bench.engine.close()
        return run


def engine_line(
    what: str, given: argparse.Namespace, batch: int, callers: int, *, keys: bool, least: int
) -> Line:
    runs = [
        asyncio.run(engine_run(given.tasks, batch, callers, keys=keys)) for _ in range(given.runs)
    ]
    rate = statistics.median(run.rate for run in runs)
    return Line(what, told(runs), f"≥ {least:,}/s", rate >= least)


def told(runs: list[Run]) -> str:
    rates = sorted(run.rate for run in runs)
    cpu = statistics.median(run.cpu for run in runs)
    middle = statistics.median(rates)
    return f"{middle:,.0f}/s ({rates[0]:,.0f} to {rates[-1]:,.0f}), {cpu * 1e6:.0f} µs CPU"


# --- a deep queue ----------------------------------------------------------------------------


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


# --- peers -----------------------------------------------------------------------------------


class Plain:
    """The least that can be called a queue: one table, a claim that marks, a result that ends."""

    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(folder / "plain.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = wal")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.executescript(
            "CREATE TABLE job (id INTEGER PRIMARY KEY, state INTEGER DEFAULT 0, body TEXT,"
            " worker TEXT, claimed REAL, result TEXT);"
            "CREATE INDEX job_ready ON job (id) WHERE state = 0"
        )

    def cycles(self, tasks: int, batch: int) -> None:
        db = self.db
        for _ in range(tasks // batch):
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO job (body) VALUES (?)", [(PAYLOAD,)] * batch)
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
            rows = db.execute(
                "UPDATE job SET state = 1, worker = 'w', claimed = ? WHERE id IN"
                " (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT ?) RETURNING id, body",
                (time.time(), batch),
            ).fetchall()
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "UPDATE job SET state = 2, result = ? WHERE id = ? AND state = 1",
                [(RESULT, job) for job, _ in rows],
            )
            db.execute("COMMIT")

    def close(self) -> None:
        self.db.close()


class Lite:
    """litequeue, as durable as ours."""

    def __init__(self, folder: Path) -> None:
        from litequeue import LiteQueue  # may be missing

        self.queue = LiteQueue(str(folder / "lite.db"))
        self.queue.conn.execute("PRAGMA synchronous = FULL")

    def cycles(self, tasks: int, batch: int) -> None:
        queue = self.queue
        for _ in range(tasks // batch):
            for _ in range(batch):
                queue.put(PAYLOAD)
            for _ in range(batch):
                queue.done(queue.pop().message_id)

    def close(self) -> None:
        self.queue.close()


class Huey:
    """huey's SQLite storage: a claim deletes the task, so there is no lease and no third step."""

    def __init__(self, folder: Path) -> None:
        from huey.storage import SqliteStorage  # may be missing

        self.storage = SqliteStorage(filename=str(folder / "huey.db"), fsync=True)

    def cycles(self, tasks: int, batch: int) -> None:
        for number in range(tasks):
            self.storage.enqueue(PAYLOAD.encode())
            self.storage.dequeue()
            self.storage.put_data(str(number).encode(), RESULT.encode())

    def close(self) -> None:
        self.storage.close()


def peer_line(
    what: str, kind: type[Plain | Lite | Huey], given: argparse.Namespace, batch: int
) -> Line:
    # One caller whose every step waits for the disk: fewer tasks are enough.
    tasks = given.tasks if kind is Plain and batch > 1 else max(BATCH, given.tasks // 10)

    async def once(folder: str) -> Run:
        peer = kind(Path(folder))

        async def work() -> None:
            peer.cycles(tasks, batch)

        run = await measured(work, tasks)
        peer.close()
        return run

    runs = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory(prefix="backstay-") as folder:
            runs.append(asyncio.run(once(folder)))
    return Line(what, told(runs))


def peer_lines(given: argparse.Namespace) -> list[Line]:
    lines = [
        peer_line("the least, sqlite3: batches of 100", Plain, given, BATCH),
        peer_line("the least, sqlite3: one by one", Plain, given, 1),
    ]
    for name, kind in (("litequeue", Lite), ("huey", Huey)):
        if find_spec(name) is None:
            lines.append(Line(f"{name}: one by one", "not installed"))
        else:
            what = f"{name} {metadata.version(name)}: one by one"
            lines.append(peer_line(what, kind, given, 1))
    return lines


# --- the table -------------------------------------------------------------------------------


def show(lines: list[Line]) -> None:
    wide = max(len(line.what) for line in lines)
    for line in lines:
        verdict = {True: "met", False: "MISSED", None: ""}[line.good]
        print(f"{line.what:<{wide}}  {line.value:<50} {line.target:<11} {verdict}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description="The embedded queue engine in one process")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--deep", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="no deep queue, no peers")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(asyncio.run(work_there(given.memory)))
        return 0
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before the run"
    )
    lines = [
        engine_line("batches of 100", given, BATCH, 1, keys=False, least=30_000),
        engine_line("64 callers, one task each", given, 1, CALLERS, keys=False, least=8_000),
        engine_line("batches of 100, with keys", given, BATCH, 1, keys=True, least=15_000),
        engine_line("64 callers, with keys", given, 1, CALLERS, keys=True, least=5_000),
    ]
    if not given.quick:
        lines += [*deep_lines(given), neighbour_line(given), *peer_lines(given)]
    show(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
