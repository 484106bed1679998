"""The redis engine: alone in a process, behind a server over HTTP, beside a peer on the same Redis.

    .venv/bin/python benchmarks/queue_redis.py [engine|http|peer …] [--venvs FOLDER]

Each run has a fresh `redis-server` of its own: `appendonly yes`, `appendfsync everysec`. A cycle is
a task that was created, claimed and completed; figures are medians of RUNS (5) runs, CPU is that of
each process, for one cycle. p50 and p99 are those of one call: a third of a cycle, or of a
hundred. Server, Redis and load share the machine.

The peer is SAQ, installed into a virtual environment under FOLDER (a temporary one unless given): a
job that was enqueued, dequeued and finished by 64 callers. It has no batches, no tenants, no lease
that ends by itself and no fencing.
"""

import argparse
import asyncio
import logging
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import structlog
import uvloop
from peer_venvs import folder, installed, measured, percentiles
from queue_http import CREATE_BATCH, batch
from queue_load import connect, median, run, serving

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.queue.model import Rules, Task
from backstay.queue.operations import Claim, Create, Finish, Op, OpResult
from backstay.queue.store.redis import RedisEngine
from backstay.queue.store.redis_address import RedisAddress, RedisStore

RUNS = int(os.environ.get("RUNS", "5"))
SECONDS = float(os.environ.get("SECONDS", "4"))
SAQ = ("saq[redis,hiredis]==0.26.4",)
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
    """Cycles a second, CPU seconds of one cycle in this process and in Redis, milliseconds of a
    call."""

    rate: float
    own: float
    redis: float
    p50: float
    p99: float


Work = Callable[[str, float, list[float]], Awaitable[int]]
"""Given the store's address and seconds, does cycles and gives how many; notes each call's time."""


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(work: Work) -> Run:
    times: list[float] = []
    with store() as redis:
        began, own, theirs = time.perf_counter(), own_cpu(), redis.cpu()
        done = uvloop.run(work(redis.address, SECONDS, times))
        took = time.perf_counter() - began
        cpu = (own_cpu() - own) / done, (redis.cpu() - theirs) / done
        return Run(done / took, *cpu, *percentiles(times))


def show(name: str, runs: list[Run], cpu: str = "here") -> None:
    rate, own, redis, p50, p99 = (median(column) for column in zip(*runs, strict=True))
    print(
        f"{name:42}{rate:9,.0f} cycles/s   p50 {p50:6.2f} ms, p99 {p99:6.2f} ms   CPU"
        f" {own * 1e6:4.0f} µs {cpu}, {redis * 1e6:4.0f} µs in Redis",
        flush=True,
    )


def engine_work(callers: int, size: int, *, keys: bool = False) -> Work:
    async def work(address: str, seconds: float, times: list[float]) -> int:
        where = RedisStore(RedisAddress.parse(address))
        engine = RedisEngine(where, Rules(), CLOCK, SystemDice(), Uuid7(CLOCK))
        await engine.open()
        until = time.perf_counter() + seconds
        caller = Caller(engine, times)
        done = await asyncio.gather(*(caller.run(until, size, keys=keys) for _ in range(callers)))
        await engine.close()
        return sum(done)

    return work


class Caller(NamedTuple):
    """Does cycles one after the other."""

    engine: RedisEngine
    times: list[float]

    async def run(self, until: float, size: int, *, keys: bool) -> int:
        done = 0
        while time.perf_counter() < until:
            tasks = [
                Create(NEW(), "default", "PACK", PAYLOAD, idempotency_key=NEW() if keys else "")
                for _ in range(size)
            ]
            await self._apply(tasks)
            tokens = tuple(NEW() for _ in range(size))
            [held] = await self._apply([Claim("w", tokens, 60.0, ("PACK",), ("default",), size)])
            assert isinstance(held, list)
            results = [
                Finish(task.tenant, task.id, "w", task.lease_token, ok=True, result=RESULT)
                for task in held
                if isinstance(task, Task)
            ]
            done += len(await self._apply(results)) if results else 0
        return done

    async def _apply(self, ops: Sequence[Op]) -> list[OpResult]:
        began = time.perf_counter()
        found = await self.engine.apply(ops, CLOCK.now())
        self.times.append(time.perf_counter() - began)
        return found


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
    runs, own = [], []
    for _ in range(RUNS):
        with store() as redis, serving({"REDIS_ADDR": redis.address}) as queue:
            uvloop.run(_warm(queue.port))
            before, redis_before = queue.cpu(), redis.cpu()
            found = uvloop.run(run(queue.port, 8, SECONDS, batch))
            cpu = (queue.cpu() - before) / found.done, (redis.cpu() - redis_before) / found.done
            runs.append(Run(found.rate, *cpu, found.percentile(0.5), found.percentile(0.99)))
            own.append(found.own_cpu)
    show("over HTTP, batches of 100, 8 connections", runs, "in the server")
    print(f"{'':42}load tool {median(own):.2f} cores", flush=True)


async def _warm(port: int) -> None:
    connection = await connect(port)
    await connection.ask(CREATE_BATCH)
    connection.transport.close()


def peer(place: Path) -> None:
    [package] = SAQ
    python = installed(place, "saq-calls", [package, "typing-extensions==4.16.0"])
    runs = []
    for _ in range(RUNS):
        with store() as redis:
            before = redis.cpu()
            found = measured(python, "saq_calls.py", redis.address, str(SECONDS))
            cpu = found["cpu"], (redis.cpu() - before) / found["done"]
            runs.append(Run(found["rate"], *cpu, found["p50"], found["p99"]))
    show(f"{package}, 64 callers, one job each", runs)


def main() -> None:
    parser = argparse.ArgumentParser(description="The redis engine")
    parser.add_argument("parts", nargs="*", help="engine, http, peer")
    parser.add_argument("--venvs", type=Path, help="where the peer is installed")
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        raise SystemExit("redis-server is absent: Debian: sudo apt-get install redis-server")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
    print(f"{version.split(' sha', 1)[0]}, AOF everysec, redis-py {metadata.version('redis')}")
    parts = given.parts or ["engine", "http", "peer"]
    if "engine" in parts:
        engine()
    if "http" in parts:
        http()
    if "peer" in parts:
        with folder(given.venvs) as place:
            peer(place)


if __name__ == "__main__":
    main()
