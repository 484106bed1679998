"""The redis engine: alone in a process, behind a server over HTTP, beside a peer on the same Redis.

    .venv/bin/python benchmarks/queue_redis.py [engine|http|peer …]

Each run has a fresh `redis-server` of its own: `appendonly yes`, `appendfsync everysec`. A cycle is
a task that was created, claimed and completed; figures are medians of RUNS (5) runs, CPU is that of
each process, for one cycle. Server, Redis and load share the machine.

The peer is SAQ (`pip install saq`), where it is installed: a job that was enqueued, dequeued and
finished by 64 callers. It has no batches, no tenants, no lease that ends by itself and no fencing.
"""

import asyncio
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import uvloop
from queue_http import CREATE_BATCH, batch
from queue_load import connect, median, run, serving

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.queue.model import Rules, Task
from backstay.queue.operations import Claim, Create, Finish
from backstay.queue.store.redis import RedisEngine
from backstay.queue.store.redis_address import RedisAddress, RedisStore

RUNS = int(os.environ.get("RUNS", "5"))
SECONDS = float(os.environ.get("SECONDS", "4"))
PAYLOAD = '{"order":4711,"lines":[{"product":"p-1","quantity":2}]}'
RESULT = '{"shipped":true,"parcel":"0034"}'
CLOCK = SystemClock()
NEW = Uuid7(CLOCK).new


class Store:
    """A `redis-server` of this run."""

    def __init__(self, folder: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync everysec"
        command = ["redis-server", *options.split(), "--save", "", "--dir", folder]
        self._log = (Path(folder) / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("redis-server did not start")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        text = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@contextmanager
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="backstay-bench-") as folder:
        found = Store(folder)
        try:
            yield found
        finally:
            found.stop()


class Run(NamedTuple):
    """Cycles a second, and CPU seconds of one cycle in this process and in Redis."""

    rate: float
    own: float
    redis: float


Work = Callable[[str, float], Awaitable[int]]
"""Given the store's address and seconds, does cycles and gives how many."""


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(work: Work) -> Run:
    with store() as redis:
        began, own, theirs = time.perf_counter(), own_cpu(), redis.cpu()
        done = uvloop.run(work(redis.address, SECONDS))
        took = time.perf_counter() - began
        return Run(done / took, (own_cpu() - own) / done, (redis.cpu() - theirs) / done)


def show(name: str, runs: list[Run]) -> None:
    print(
        f"{name:44} {median([r.rate for r in runs]):9,.0f} cycles/s"
        f"   CPU {median([r.own for r in runs]) * 1e6:4.0f} µs here,"
        f" {median([r.redis for r in runs]) * 1e6:4.0f} µs in Redis",
        flush=True,
    )


def engine_work(callers: int, size: int, *, keys: bool = False) -> Work:
    async def work(address: str, seconds: float) -> int:
        where = RedisStore(RedisAddress.parse(address))
        engine = RedisEngine(where, Rules(), CLOCK, SystemDice(), Uuid7(CLOCK))
        await engine.open()
        until = time.perf_counter() + seconds
        done = await asyncio.gather(*(caller(engine, until, size, keys) for _ in range(callers)))
        await engine.close()
        return sum(done)

    return work


async def caller(engine: RedisEngine, until: float, size: int, keys: bool) -> int:
    done = 0
    while time.perf_counter() < until:
        tasks = [
            Create(NEW(), "default", "PACK", PAYLOAD, idempotency_key=NEW() if keys else "")
            for _ in range(size)
        ]
        await engine.apply(tasks, CLOCK.now())
        tokens = tuple(NEW() for _ in range(size))
        claim = Claim("w", tokens, 60.0, ("PACK",), ("default",), size)
        [held] = await engine.apply([claim], CLOCK.now())
        assert isinstance(held, list)
        results = [
            Finish(task.tenant, task.id, "w", task.lease_token, ok=True, result=RESULT)
            for task in held
            if isinstance(task, Task)
        ]
        done += len(await engine.apply(results, CLOCK.now()) if results else [])
    return done


def engine() -> None:
    for name, callers, size, keys in (
        ("engine, batches of 100, one caller", 1, 100, False),
        ("engine, batches of 100, four callers", 4, 100, False),
        ("engine, 64 callers with one task each", 64, 1, False),
        ("engine, 64 callers, with idempotency keys", 64, 1, True),
    ):
        work = engine_work(callers, size, keys=keys)
        show(name, [measure(work) for _ in range(RUNS)])


def http() -> None:
    """Batches of a hundred through a `codeq-server`; the load tool takes a part of the machine."""
    rates, servers, theirs, own = [], [], [], []
    for _ in range(RUNS):
        with store() as redis, serving({"REDIS_ADDR": redis.address}) as queue:
            uvloop.run(_warm(queue.port))
            before, redis_before = queue.cpu(), redis.cpu()
            figures = uvloop.run(run(queue.port, 8, SECONDS, batch))
            rates.append(figures.rate)
            servers.append((queue.cpu() - before) / figures.done)
            theirs.append((redis.cpu() - redis_before) / figures.done)
            own.append(figures.own_cpu)
    print(
        f"{'over HTTP, batches of 100, 8 connections':44} {median(rates):9,.0f} cycles/s"
        f"   CPU {median(servers) * 1e6:4.0f} µs in the server, {median(theirs) * 1e6:4.0f} µs in"
        f" Redis; load tool {median(own):.2f} cores",
        flush=True,
    )


async def _warm(port: int) -> None:
    connection = await connect(port)
    await connection.ask(CREATE_BATCH)
    connection.transport.close()


async def saq_work(address: str, seconds: float) -> int:
    from redis.asyncio import Redis
    from saq.job import Status
    from saq.queue.redis import RedisQueue

    host, _, port = address.partition(":")
    queue = RedisQueue(Redis(host=host, port=int(port)), name="bench", max_concurrent_ops=64)
    await queue.connect()
    until = time.perf_counter() + seconds

    async def one() -> int:
        done = 0
        while time.perf_counter() < until:
            await queue.enqueue("noop", payload=PAYLOAD)
            job = await queue.dequeue(timeout=5)
            if job is not None:
                await job.finish(Status.COMPLETE, result=RESULT)
                done += 1
        return done

    found = sum(await asyncio.gather(*(one() for _ in range(64))))
    await queue.disconnect()
    return found


def peer() -> None:
    if find_spec("saq") is None:
        print("SAQ is not installed: pip install saq")
        return
    runs = [measure(saq_work) for _ in range(RUNS)]
    show(f"SAQ {metadata.version('saq')}, 64 callers with one job each", runs)


def main() -> None:
    if shutil.which("redis-server") is None:
        raise SystemExit("redis-server is absent: Debian: sudo apt-get install redis-server")
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
    print(f"{version.split(' sha', 1)[0]}, AOF everysec, redis-py {metadata.version('redis')}")
    for part in (engine, http, peer):
        if not sys.argv[1:] or part.__name__ in sys.argv[1:]:
            part()


if __name__ == "__main__":
    main()
