"""The queue over HTTP: batches, single operations, wake-ups, depth, idle long polls.

    .venv/bin/python benchmarks/queue_http.py [batch|single|wake|depth|idle …] [--venvs FOLDER]

Each figure is the median of RUNS runs against a fresh `codeq-server` with its defaults (SQLite,
`synchronous=FULL`, access log on, metrics on), load and server on the same machine. `own CPU` is
that of the load tool, in cores.

No other queue of Python's speaks HTTP, so two stand beside the throughput, taken in turns: what one
writes oneself in FastAPI and sqlite3 (peers/fastapi_queue.py says what it lacks), under the same
load tool, installed into a virtual environment under FOLDER (a temporary one unless given); and
beanstalkd, a queue in C with a text protocol of its own in place of HTTP and JSON, told to sync its
log at every write, where it is installed (Debian: apt-get install beanstalkd).
"""

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import uvloop
from peer_venvs import APPS, folder, installed
from queue_beanstalkd import Beanstalk, beanstalkd, job
from queue_load import (
    Connection,
    Cycle,
    Figures,
    Process,
    connect,
    median,
    post,
    run,
    running,
    serving,
    status,
)

RUNS = int(os.environ.get("RUNS", "5"))
SECONDS = float(os.environ.get("SECONDS", "4"))
BATCH = 100
PAYLOAD = b'{"order": 4711, "items": ["a pen", "a book"], "gift": true}'

_TASK = b'{"command":"PACK","payload":%s}' % PAYLOAD
CREATE = post("/tasks", _TASK)
CREATE_BATCH = post("/tasks/batch", b'{"tasks":[%s]}' % b",".join([_TASK] * BATCH))
CLAIM = post("/tasks/claim", b'{"commands":["PACK"]}')
CLAIM_BATCH = post("/tasks/claim/batch", b'{"commands":["PACK"],"count":%d}' % BATCH)
_CLAIMED = re.compile(rb'"id":"([^"]+)".*?"leaseToken":"([^"]+)"')


def result(answer: bytes) -> tuple[str, bytes]:
    """Where the claimed task's result goes, and what is sent."""
    id_, token = _CLAIMED.search(answer).groups()
    done = b'{"status":"COMPLETED","result":{"ok":true},"leaseToken":"%s"}' % token
    return f"/tasks/{id_.decode()}/result", done


async def single(connection: Connection) -> int:
    """create, claim, complete: three requests."""
    if status(await connection.ask(CREATE)) != 202:
        raise SystemExit("create failed")
    answer = await connection.ask(CLAIM)
    if status(answer) != 200:
        return 0
    if status(await connection.ask(post(*result(answer)))) != 200:
        raise SystemExit("result failed")
    return 1


async def batch(connection: Connection) -> int:
    """The same for a hundred at once."""
    if status(await connection.ask(CREATE_BATCH)) != 200:
        raise SystemExit("create failed")
    answer = await connection.ask(CLAIM_BATCH)
    if status(answer) != 200:
        return 0
    done = b",".join(
        b'{"taskId":"%s","status":"COMPLETED","result":{"ok":true},"leaseToken":"%s"}' % found
        for found in _CLAIMED.findall(answer)
    )
    answer = await connection.ask(post("/tasks/batch/results", b'{"results":[%s]}' % done))
    return answer.count(b'"status":"COMPLETED"')


class Side(NamedTuple):
    """A server under load. `cycle`: create, claim, complete over one connection."""

    name: str
    serve: Callable[[], AbstractContextManager[Process]]
    cycle: Cycle
    connection: type[Connection] = Connection


FASTAPI = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0")


def by_hand(python: Path) -> AbstractContextManager[Process]:
    """The queue in FastAPI."""
    return running(
        lambda data, port: [str(python), str(APPS / "fastapi_queue.py"), str(data), str(port)]
    )


def throughput(names: list[str], place: Path) -> None:
    python = installed(place, "fastapi-queue", FASTAPI)
    for name, cycle, connections in (
        ("batch", batch, 8),
        ("single", single, 64),
    ):
        if name not in names:
            continue
        sides = [Side("backstay", serving, cycle)]
        sides.append(Side("FastAPI and sqlite3", partial(by_hand, python), cycle))
        if name == "single" and shutil.which("beanstalkd"):
            sides.append(Side("beanstalkd, no HTTP", beanstalkd, job, Beanstalk))
        elif name == "single":
            print("beanstalkd is left out: it is not installed")
        found: list[list[tuple[Figures, float]]] = [[] for _ in sides]
        for _ in range(RUNS):
            for side, seen in zip(sides, found, strict=True):
                seen.append(_loaded(side, connections))
        what = f"batches of {BATCH}" if name == "batch" else "single operations"
        print(f"{what}, {connections} connections, medians of {RUNS} runs of {SECONDS:g} s")
        print(
            f"  {'':22}{'cycles/s':>10}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}"
            f"{'CPU µs a cycle':>16}{'own CPU':>9}"
        )
        for side, seen in zip(sides, found, strict=True):
            _show(side.name, seen)


def _loaded(side: Side, connections: int) -> tuple[Figures, float]:
    """What the load tool saw, and the server's seconds of processor time."""
    with side.serve() as server:
        before = server.cpu()
        work = run(server.port, connections, SECONDS, side.cycle, side.connection)
        return uvloop.run(work), server.cpu() - before


def _show(name: str, seen: list[tuple[Figures, float]]) -> None:
    columns = zip(
        *(
            (f.rate, f.asked, f.percentile(0.5), f.percentile(0.99), cpu / f.done, f.own_cpu)
            for f, cpu in seen
        ),
        strict=True,
    )
    rate, asked, p50, p99, cpu, own = map(median, columns)
    print(
        f"  {name:22}{rate:10,.0f}{asked:12,.0f}{p50:9.2f}{p99:9.2f}{cpu * 1e6:16.0f}{own:9.2f}",
        flush=True,
    )


async def wake_ups(port: int, idle: int, samples: int = 400) -> list[tuple[float, float, float]]:
    """Milliseconds from sending a task to the arrival of the waiting claim's answer, from the
    producer's answer to it, and of two bare fsyncs on the same disk (the task and its lease each
    want one), with `idle` other long polls."""
    poll = post("/tasks/claim", b'{"commands":["NOBODY"],"waitSeconds":30}')
    others = []
    for start in range(0, idle, 200):
        others += await asyncio.gather(*(connect(port) for _ in range(min(200, idle - start))))
    keep = [asyncio.ensure_future(_polling(other, poll)) for other in others]
    worker, producer = await connect(port), await connect(port)
    wait = post("/tasks/claim", b'{"commands":["PACK"],"waitSeconds":20}')
    await asyncio.sleep(2 if idle else 0.1)
    found = []
    with tempfile.NamedTemporaryFile() as disk:
        for _ in range(samples):
            bare = _two_fsyncs(disk.file)
            waiting = asyncio.ensure_future(worker.ask(wait))
            await asyncio.sleep(0.005)
            began = time.perf_counter()
            creating = asyncio.ensure_future(_then_time(producer.ask(CREATE)))
            answer = await waiting
            ended = time.perf_counter()
            stored = await creating
            found.append(((ended - began) * 1000, max(0.0, ended - stored) * 1000, bare))
            await producer.ask(post(*result(answer)))
    for task in keep:
        task.cancel()
    for other in others:
        other.transport.close()
    return found


async def _then_time(asking: Awaitable[bytes]) -> float:
    await asking
    return time.perf_counter()


def _two_fsyncs(file: IO[bytes]) -> float:
    began = time.perf_counter()
    for _ in range(2):
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
    return (time.perf_counter() - began) * 1000


async def _polling(connection: Connection, poll: bytes) -> None:
    while True:
        await connection.ask(poll)


def wakes(idle: int) -> None:
    found = []
    for _ in range(RUNS if not idle else min(RUNS, 3)):
        with serving() as queue:
            empty = queue.memory()
            times = uvloop.run(wake_ups(queue.port, idle))
            found.append((times, queue.memory() - empty))
    beside = f" beside {idle:,} idle long polls" if idle else ""
    print(f"wake-up of a long poll{beside}")
    names = ("from sending the task", "from its 202", "two bare fsyncs")
    for column, name in enumerate(names):
        runs = [sorted(sample[column] for sample in samples) for samples, _ in found]
        p50 = median([run[len(run) // 2] for run in runs])
        p99 = median([run[int(len(run) * 0.99)] for run in runs])
        print(f"  {name:22} p50 {p50:6.2f} ms, p99 {p99:6.2f} ms")
    if idle:
        memory = median([more for _, more in found])
        print(
            f"  memory of the server: {memory:,.0f} MB more, {memory * 1024 / idle:.1f} KB a poll"
        )


async def _fill(port: int, count: int) -> None:
    connection = await connect(port)
    for _ in range(count // BATCH):
        await connection.ask(CREATE_BATCH)


def depth() -> None:
    """p99 of each operation with 100 and with 100,000 pending tasks, in the same run (Q43)."""
    ratios = []
    print("p99 of single operations (8 connections) with 100 and with 100,000 pending")
    for _ in range(RUNS):
        p99 = {}
        for pending in (100, 100_000):
            with serving() as queue:
                uvloop.run(_fill(queue.port, pending))
                figures = uvloop.run(run(queue.port, 8, SECONDS, single))
                p99[pending] = figures.percentile(0.99)
        ratios.append(p99[100_000] / p99[100])
        print(f"  {p99[100]:.2f} ms, {p99[100_000]:.2f} ms: {ratios[-1]:.2f} times")
    print(f"  median ratio {median(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The queue over HTTP")
    parser.add_argument("parts", nargs="*", help="batch, single, wake, depth, idle")
    parser.add_argument("--venvs", type=Path, help="where the peer is installed")
    given = parser.parse_args()
    parts = given.parts or ["batch", "single", "wake", "idle", "depth"]
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    if {"batch", "single"} & set(parts):
        with folder(given.venvs) as place:
            throughput(parts, place)
    if "wake" in parts:
        wakes(0)
    if "idle" in parts:
        wakes(10_000)
    if "depth" in parts:
        depth()


if __name__ == "__main__":
    main()
