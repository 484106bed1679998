"""The queue over HTTP: batches, single operations, wake-ups, depth, idle long polls.

    .venv/bin/python benchmarks/queue_http.py [batch|single|wake|depth|idle …]

Each figure is the median of RUNS runs against a fresh `codeq-server` with its defaults (SQLite,
`synchronous=FULL`, access log on, metrics on), load and server on the same machine. `own CPU` is
that of the load tool, in cores.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable
from typing import IO

import uvloop
from queue_load import Connection, connect, median, post, run, serving, status

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


def throughput() -> None:
    for name, cycle, connections in (
        ("batches of 100", batch, 8),
        ("single operations", single, 64),
    ):
        if not wanted("batch" if cycle is batch else "single"):
            continue
        found = []
        for _ in range(RUNS):
            with serving() as queue:
                before = queue.cpu()
                figures = uvloop.run(run(queue.port, connections, SECONDS, cycle))
                found.append((figures, (queue.cpu() - before) / figures.took))
        print(f"{name}, {connections} connections, median of {RUNS} runs of {SECONDS:g} s")
        print(f"  cycles/s          {median([f.rate for f, _ in found]):10,.0f}")
        print(f"  requests/s        {median([f.asked for f, _ in found]):10,.0f}")
        print(
            f"  request p50, p99  {median([f.percentile(0.5) for f, _ in found]):10.2f} ms,"
            f" {median([f.percentile(0.99) for f, _ in found]):.2f} ms"
        )
        per = [1e6 * cpu * f.took / max(1, f.done) for f, cpu in found]
        print(
            f"  server CPU        {median([cpu for _, cpu in found]):10.2f} cores,"
            f" {median(per):.0f} µs per cycle"
        )
        print(
            f"  own CPU           {median([f.own_cpu for f, _ in found]):10.2f} cores", flush=True
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


def wanted(name: str) -> bool:
    return name in sys.argv[1:] or len(sys.argv) == 1


def main() -> None:
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    throughput()
    if wanted("wake"):
        wakes(0)
    if wanted("idle"):
        wakes(10_000)
    if wanted("depth"):
        depth()


if __name__ == "__main__":
    main()
