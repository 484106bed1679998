"""A durable workflow of one step, beside DBOS: how many a second, how long one takes.

    python benchmarks/app_workflow.py [--runs 3] [--tasks 4000] [--peer PYTHON]

Each contender is a process of its own that starts workflows, waits for the end of each, and starts
the next: 16 at once for the rate, one at a time for the time that one takes when nothing else is to
be done. Backstay's step writes a row in the same SQLite file, synced before anything is told
(power-safe); DBOS's step gives its argument back, with its state on SQLite (its own settings) and,
where there is one, on a PostgreSQL server. `called` runs DBOS's workflow where it is called instead
of starting it beside. Contenders take turns; medians. `CPU` is that of the process alone, for one
workflow: on a machine that others use, ratios of it say more than rates.

The peer needs `dbos` in a Python of its own. A Temporal dev server is no part of this: its package
gets the server from a download host, which cannot be reached where these figures were made.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.servers.postgres import PostgresServer, system_binaries, wheel_binaries  # noqa: E402

PEERS = ROOT / "benchmarks" / "peers"
WIDTHS = (16, 1)
TARGET_RATE, TARGET_P50, TARGET_RATIO = 1_500, 0.006, 5


class Contender(NamedTuple):
    """`share` of the tasks: a slow one need not keep the others waiting."""

    name: str
    python: str
    script: str
    env: dict[str, str]
    share: float = 1.0


class Figure(NamedTuple):
    rate: float
    p50: float
    p99: float
    cpu: float


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--tasks", type=int, default=4_000)
    asked.add_argument("--peer", default=os.environ.get("PEER_PYTHON", ""))
    options = asked.parse_args()
    with ExitStack() as stack:
        contenders = [Contender("backstay", sys.executable, "flow_backstay.py", {})]
        if options.peer:
            contenders += peers(options.peer, stack)
        load = os.getloadavg()[0]
        print(f"{os.cpu_count()} cores, load {load:.1f} before the run")
        figures: dict[tuple[str, int], list[Figure]] = {}
        for _ in range(options.runs):
            for width in WIDTHS:
                for each in contenders:
                    found = one_run(each, width, options.tasks)
                    figures.setdefault((each.name, width), []).append(found)
    show(contenders, {which: middle(many) for which, many in figures.items()})


def peers(python: str, stack: ExitStack) -> list[Contender]:
    found = []
    binaries = system_binaries() or wheel_binaries()
    for called in ("", "yes"):
        how = "called" if called else "started"
        env = {"CALLED": called}
        found.append(Contender(f"DBOS, SQLite, {how}", python, "flow_dbos.py", env, 0.05))
        if binaries is not None:
            server = PostgresServer(binaries)
            stack.callback(server.stop)
            server.sql("CREATE DATABASE bench")
            there = env | {"DATABASE_URL": server.url("bench")}
            name = f"DBOS, PostgreSQL, {how}"
            found.append(Contender(name, python, "flow_dbos.py", there, 0.05))
    return found


def one_run(contender: Contender, width: int, tasks: int) -> Figure:
    share = contender.share * (1.0 if width > 1 else 0.25)
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "FOLDER": folder,
            "DATABASE_URL": f"sqlite:///{folder}/state.sqlite",
            "WIDTH": str(width),
            "TASKS": str(max(50, int(tasks * share))),
        }
        done = subprocess.run(
            [contender.python, str(PEERS / contender.script)],
            env=os.environ | env | contender.env,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=600,
        )
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


def middle(many: list[Figure]) -> Figure:
    return Figure(*(statistics.median(column) for column in zip(*many, strict=True)))


def show(contenders: list[Contender], figures: dict[tuple[str, int], Figure]) -> None:
    head = f"{'':26}{'at once':>8}{'workflows/s':>13}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}"
    print(f"\n{head}{'slower by':>11}")
    for width in WIDTHS:
        own = figures["backstay", width]
        for each in contenders:
            found = figures[each.name, width]
            ratio = "" if each.name == "backstay" else f"{own.rate / found.rate:.1f}x"
            print(
                f"{each.name:26}{width:8}{found.rate:13,.0f}{found.p50 * 1e3:9.2f}"
                f"{found.p99 * 1e3:9.2f}{found.cpu * 1e3:9.3f}{ratio:>11}"
            )
    own, alone = figures["backstay", WIDTHS[0]], figures["backstay", 1]
    missed = []
    if own.rate < TARGET_RATE:
        missed.append(f"{own.rate:,.0f} workflows/s of {TARGET_RATE:,}")
    if alone.p50 > TARGET_P50:
        missed.append(f"p50 {alone.p50 * 1e3:.1f} ms of {TARGET_P50 * 1e3:.0f}")
    for each in contenders[1:]:
        ratio = own.rate / figures[each.name, WIDTHS[0]].rate
        if ratio < TARGET_RATIO:
            missed.append(f"{ratio:.1f} times {each.name} of {TARGET_RATIO}")
    print("reached: all" if not missed else "missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
