"""How many tasks a second one worker process does, beside the Python libraries people know.

    python benchmarks/queue_worker.py [--runs 5] [--tasks 20000] [--peer-tasks 3000] [--quick]
                                      [--rates] [--venvs FOLDER] [--only NAME …]

A task that does nothing; the queue is filled before the worker starts; the clock runs from the
first call to the last. p50 and p99 are how long a task takes to a worker that has nothing else to
do: from the moment before it is sent, by another process, until its function is called; SENT of
them, one each 5 ms. One worker process each, on the same cores, taken in turns:

- Backstay: HTTP and JSON to a `codeq-server` with `synchronous=FULL`, all features on;
- Dramatiq, taskiq (streams), SAQ, Celery (acks_late) on a redis-server with its append-only file;
- PgQueuer in batches of 100 on PostgreSQL.

Peers are installed into virtual environments under FOLDER (a temporary one unless given), each in
its own, in the versions below. CPU is that of the worker process, and of what it works against, for
one task. Without redis-server or PostgreSQL their users are left out, and that is said.
"""

import argparse
import contextlib
import math
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from peer_venvs import APPS, WITHIN, execute, figures, folder, installed, median

TARGET = 10_000
SENT = 400


class Peer(NamedTuple):
    """A library: what to install, what it works against, how many times slower it shall be."""

    packages: tuple[str, ...]
    broker: str
    ratio: float


PEERS: Mapping[str, Peer] = {
    "dramatiq": Peer(("dramatiq[redis]==2.2.1",), "redis", 3.0),
    "taskiq": Peer(("taskiq==0.13.0", "taskiq-redis==1.2.4"), "redis", 3.0),
    "saq": Peer(("saq[redis,hiredis]==0.26.4", "typing-extensions==4.16.0"), "redis", 3.0),
    "celery": Peer(("celery[redis]==5.7.0",), "redis", 3.0),
    "pgqueuer": Peer(("pgqueuer==1.6.0", "asyncpg==0.32.0"), "postgres", 1.3),
}
FAST = ("backstay", "backstay, plain function", "pgqueuer")
OURS = {"backstay": "", "backstay, plain function": "-plain"}


class Run(NamedTuple):
    """Tasks a second; CPU seconds of worker and broker for one task; milliseconds from a task's
    sending to its call."""

    rate: float
    worker: float
    broker: float
    p50: float
    p99: float


class Broker(NamedTuple):
    url: str
    pid: int


# --- brokers ---------------------------------------------------------------------------------


@contextlib.contextmanager
def child(command: list[str], answers: Callable[[], bool], **more: object) -> Iterator[int]:
    """A process of ours, ended by its id."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **more)  # type: ignore[call-overload]
        try:
            end = time.monotonic() + 30
            while not answers():
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    sys.exit(f"{command[0]} did not start: {log.read()[-2000:].decode()}")
                time.sleep(0.02)
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT if "postgres" in command[0] else signal.SIGTERM)
            process.wait(30)


@contextlib.contextmanager
def codeq(folder: Path) -> Iterator[Broker]:
    port = free_port()
    command = [sys.executable, "-m", "backstay.cli.codeq_server", "--data", str(folder / "data")]
    command += ["--listen", f"127.0.0.1:{port}"]
    with child(command, lambda: listens(port)) as pid:
        yield Broker(f"http://127.0.0.1:{port}", pid)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Broker]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    with child(command, lambda: listens(port)) as pid:
        yield Broker(f"redis://127.0.0.1:{port}/0", pid)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Broker]:
    port, binaries = free_port(), postgres_binaries()
    assert binaries is not None
    data = folder / "pg"
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    as_user = {"user": user, "cwd": "/"} if user else {"cwd": "/"}
    if user:
        shutil.chown(folder, user)
    init = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    with child(command, lambda: listens(port), **as_user) as pid:
        yield Broker(f"postgresql://postgres@127.0.0.1:{port}/postgres", pid)


BROKERS = {"redis": redis, "postgres": postgres}


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def missing(broker: str) -> bool:
    there = shutil.which("redis-server") if broker == "redis" else postgres_binaries()
    return there is None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


# --- measuring -------------------------------------------------------------------------------


def one_run(name: str, python: Path, tasks: int, *, idle: bool) -> Run:
    """Fill, then time a worker of its own process; then, with `idle`, send to one that has nothing
    else to do."""
    peer = PEERS.get(name)
    start = BROKERS[peer.broker] if peer else codeq
    app = f"{name if peer else 'backstay'}_app.py"
    step = "" if peer else OURS[name]
    with tempfile.TemporaryDirectory(prefix="queue-worker-") as place:
        Path(place).chmod(0o755)
        with start(Path(place)) as broker:
            execute(python, app, "fill", broker.url, str(tasks))
            before = cpu_of_tree(broker.pid)
            told = figures(execute(python, app, f"work{step}", broker.url, str(tasks)))
            used = cpu_of_tree(broker.pid) - before
    if not idle:
        return Run(told["rate"], told["cpu"], used / tasks, math.nan, math.nan)
    with tempfile.TemporaryDirectory(prefix="queue-worker-") as place:
        Path(place).chmod(0o755)
        with start(Path(place)) as broker:
            took = picked_up(python, app, f"listen{step}", broker.url)
    return Run(told["rate"], told["cpu"], used / tasks, took["p50"], took["p99"])


def picked_up(python: Path, app: str, step: str, url: str) -> Mapping[str, float]:
    """What a worker prints of tasks that are sent to it one by one."""
    execute(python, app, "fill", url, "1")
    command = [str(python), str(APPS / app), step, url, str(SENT + 1)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=APPS)
    try:
        assert worker.stdout is not None
        while "up" not in worker.stdout.readline():
            if worker.poll() is not None:
                sys.exit(f"{app} {step} ended with {worker.returncode}")
        execute(python, app, "send", url, str(SENT))
        told, _ = worker.communicate(timeout=WITHIN)
    finally:
        worker.kill()
    return figures(told)


def cpu_of_tree(pid: int) -> float:
    """Seconds of a process and its children, also of those that have ended."""
    total, parents = 0.0, {pid}
    ticks = os.sysconf("SC_CLK_TCK")
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(entry.name) in parents or int(fields[1]) in parents:
                parents.add(int(entry.name))
                total += sum(map(int, fields[11:15])) / ticks
    return total


def show(runs: Mapping[str, list[Run]]) -> None:
    """Medians, the spread, and how many times faster Backstay is."""
    ours = median([run.rate for run in runs["backstay"]])
    print(
        f"{'worker':26}{'tasks/s':>9}{'from':>8}{'to':>8}{'CPU µs':>9}{'broker µs':>11}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'ratio':>8}"
    )
    for name, seen in runs.items():
        rates = sorted(run.rate for run in seen)
        rate, worker, broker, p50, p99 = (median(column) for column in zip(*seen, strict=True))
        ratio = "" if name in OURS else f"{ours / rate:.1f}x"
        print(
            f"{name:26}{rate:9,.0f}{rates[0]:8,.0f}{rates[-1]:8,.0f}{worker * 1e6:9.0f}"
            f"{broker * 1e6:11.0f}{_told(p50):>9}{_told(p99):>9}{ratio:>8}"
        )
    judge(ours, runs)


def _told(millis: float) -> str:
    return "" if math.isnan(millis) else f"{millis:.2f}"


def judge(ours: float, runs: Mapping[str, list[Run]]) -> None:
    missed = [] if ours >= TARGET else [f"{ours:,.0f} tasks/s of {TARGET:,}"]
    for name, peer in PEERS.items():
        if name in runs:
            ratio = ours / median([run.rate for run in runs[name]])
            if ratio < peer.ratio:
                missed.append(f"{ratio:.1f} times {name} of {peer.ratio}")
    print("reached: all" if not missed else "missed: " + "; ".join(missed))


def main() -> int:
    parser = argparse.ArgumentParser(description="One worker process beside others")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--peer-tasks", type=int, default=3_000)
    parser.add_argument("--quick", action="store_true", help="one run, without peers")
    parser.add_argument("--rates", action="store_true", help="without times to an idle worker")
    parser.add_argument("--venvs", type=Path, help="where peers are installed")
    parser.add_argument("--only", nargs="*", choices=[*PEERS], help="these peers")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [] if given.quick else [*(PEERS if given.only is None else given.only)]
    for name in [name for name in names if missing(PEERS[name].broker)]:
        print(f"{name} is left out: no {PEERS[name].broker} here")
        names.remove(name)
    runs: dict[str, list[Run]] = {name: [] for name in (*OURS, *names)}
    with folder(given.venvs) as place:
        pythons = {name: installed(place, name, PEERS[name].packages) for name in names}
        load = os.getloadavg()[0]
        print(
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python"
            f" {platform.python_version()}, load {load:.1f} before the run"
        )
        for _ in range(1 if given.quick else given.runs):
            for name, seen in runs.items():
                python = pythons.get(name, Path(sys.executable))
                tasks = given.tasks if name in FAST else given.peer_tasks
                seen.append(one_run(name, python, tasks, idle=not given.rates))
    show(runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
