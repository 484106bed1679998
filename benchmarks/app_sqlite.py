"""The app on SQLite beside FastAPI + SQLAlchemy: a row, a list of 20, a create; start and memory.

    python benchmarks/app_sqlite.py [--runs 3] [--seconds 5] [--peer PYTHON]

The program, the rows, the tokens and the load are those of app_postgres.py: 10,000 rows of which
each of 100 users may see their own, every token verified, a row rule that holds, 32 connections of
wrk. A create is synced to the disk before it is answered, by both (WAL, synchronous=FULL). Then,
for the app alone: the time from the start of a program of 44 declarations to its first answer, and
its resident memory after at least 20,000 requests of all three kinds, and 100,000 more.

Everything is on this machine, in turns; medians. `CPU` is what the server process used for one
answer. The peer needs fastapi, uvicorn[standard], sqlalchemy[asyncio], aiosqlite and pyjwt in a
Python of its own.
"""

import argparse
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from app_postgres import (
    CONNECTIONS,
    PROGRAM,
    ROOT,
    ROWS,
    SECRET,
    USERS,
    Figure,
    Served,
    cpu,
    measured,
    running,
    show,
    token,
)

from backstay.up.ports import free_port

TARGETS = {"one row": 7_000, "filtered list of 20": 3_500, "create": 4_000}
START_SECONDS, MEMORY_MB = 0.8, 150
START = datetime.now(UTC)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--seconds", type=int, default=5)
    asked.add_argument("--peer", default=os.environ.get("PEER_PYTHON", ""))
    options = asked.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run")
    key = str(uuid.uuid4())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        own = stack.enter_context(app(folder, key))
        served = [own]
        if options.peer:
            served.append(stack.enter_context(peer(options.peer, folder, key)))
        figures = measured(served, key, token(), options.runs, options.seconds)
        show(served, figures)
        memory = [resident(own, key, count) for count in (20_000, 100_000)]
    starts = [cold_start() for _ in range(2 * options.runs + 1)]
    started, used = (statistics.median(column) for column in zip(*starts, strict=True))
    print(f"\n44 declarations from cold to the first answer: {started:.2f} s, {used:.2f} s of CPU")
    for held in memory:
        print(f"resident after {held.requests:,} mixed requests more: {held.megabytes:.0f} MB")
    judge(own, figures, started, memory)


# --- the two servers -----------------------------------------------------------------------------


def rows(key: str) -> Iterator[tuple[uuid.UUID, str, str, str, int, datetime]]:
    """Key, owner, name, state, price and time of 10,000 rows; one of `user 7` has the known key."""
    for number in range(1, ROWS + 1):
        yield (
            uuid.UUID(key) if number == 7 else uuid.uuid4(),
            f"user {number % USERS}",
            f"thing {number}",
            "done" if number % 3 == 0 else "open",
            number % 1000,
            START - timedelta(seconds=number),
        )


def command(file: Path, data: Path, port: int) -> tuple[list[str], dict[str, str]]:
    words = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file)]
    words += ["--listen", f"127.0.0.1:{port}", "--data", str(data)]
    env = {"JWT_SECRET": SECRET, "LOG_LEVEL": "warn", "PYTHONPATH": str(ROOT / "src")}
    return words, os.environ | env


@contextmanager
def app(folder: Path, key: str, program: str = PROGRAM, name: str = "backstay") -> Iterator[Served]:
    file, data, port = folder / "bench.cai", folder / "own", free_port()
    file.write_text(program, encoding="utf-8")
    words, env = command(file, data, port)
    ready = f"http://127.0.0.1:{port}/health/ready"
    with running(words, env, ready):
        """Only to make the tables."""
    (store,) = data.glob("**/app.db")
    fill = sqlite3.connect(store)
    made = (
        (str(one), owner, name, state, price * 100, int(when.timestamp() * 1_000_000))
        for one, owner, name, state, price, when in rows(key)
    )
    insert = "INSERT INTO items (id, owner, name, state, price, made) VALUES (?,?,?,?,?,?)"
    fill.executemany(insert, made)
    fill.execute("ANALYZE")
    fill.commit()
    fill.close()
    with running(words, env, ready) as pid:
        yield Served(name, f"http://127.0.0.1:{port}/api/v1", pid)


@contextmanager
def peer(python: str, folder: Path, key: str) -> Iterator[Served]:
    port, store = free_port(), folder / "peer.sqlite"
    env = os.environ | {
        "DATABASE_URL": f"sqlite+aiosqlite:///{store}",
        "JWT_SECRET": SECRET,
        "PORT": str(port),
    }
    script = str(ROOT / "benchmarks" / "peers" / "fastapi_app.py")
    subprocess.run([python, script, "tables"], env=env, check=True)
    fill = sqlite3.connect(store)
    made = (
        (one.hex, owner, name, state, price, when.strftime("%Y-%m-%d %H:%M:%S.%f"))
        for one, owner, name, state, price, when in rows(key)
    )
    insert = "INSERT INTO items (id, owner, name, state, price, made) VALUES (?,?,?,?,?,?)"
    fill.executemany(insert, made)
    fill.execute("CREATE INDEX items_owner ON items (owner, state, made)")
    fill.execute("ANALYZE")
    fill.commit()
    fill.close()
    with running([python, script], env, f"http://127.0.0.1:{port}/ready") as pid:
        yield Served("FastAPI + SQLAlchemy", f"http://127.0.0.1:{port}", pid)


# --- start and memory ----------------------------------------------------------------------------


_MANY = """
entity Thing@ {
  id: uuid, primary, auto
  name: string, required, unique
  price: decimal(10, 2), min(0)
  state: enum(open, done), default(open)
  made: timestamp, default(now())
  index: [state, made]
}
endpoint GET /things@/{id} { path { id: uuid } returns: Thing@ }
endpoint GET /things@ { returns: paginated(Thing@) filter: [state] sort: [made] }
endpoint POST /things@ {
  body { name: string, required, price: decimal(10, 2) }
  do {
    let made = create Thing@ { name: body.name, price: body.price }
    emit thing_made { name: body.name }
    return made
  }
  status: 201
}
"""


def declarations() -> str:
    """44 of them: config, 10 entities with three endpoints each, an integration, an event and a
    workflow."""
    parts = [
        'config { name: "many" version: "1.0.0" }',
        *(_MANY.replace("@", str(at)) for at in range(10)),
    ]
    parts.append("event thing_made { payload { name: string } }")
    parts.append(
        'integration Bank { type: rest base_url: env("BANK", "https://bank.example.org")'
        ' operation pay { method: POST, path: "/payments" } }'
    )
    parts.append(
        "workflow pay { trigger: thing_made steps { pay { call: Bank.pay { name: event.name }"
        " retry: 3 times with exponential_backoff(200ms, 2s) } } }"
    )
    return "\n".join(parts)


def cold_start() -> tuple[float, float]:
    """Seconds from the start of the process, on an empty folder, to the first answer of a list; and
    the CPU that it used for that."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        file = folder / "many.cai"
        file.write_text(declarations(), encoding="utf-8")
        words, env = command(file, folder / "data", port)
        began = time.perf_counter()
        with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) as process:
            try:
                while not _answers(f"http://127.0.0.1:{port}/api/v1/things3"):
                    if process.poll() is not None or time.perf_counter() - began > 60:
                        raise SystemExit("the program of 44 declarations does not start")
                    time.sleep(0.002)
                return time.perf_counter() - began, cpu(process.pid)
            finally:
                process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


_MIXED = """
local n, done = 0, 0
function request()
  n = n + 1
  if n % 3 == 0 then return wrk.format("GET", "/api/v1/items/KEY") end
  if n % 3 == 1 then return wrk.format("GET", "/api/v1/items?state=open&sort=-made&limit=20") end
  wrk.headers["content-type"] = "application/json"
  return wrk.format("POST", "/api/v1/items", nil, '{"name": "a pen", "price": "1.50"}')
end
"""


_ANSWERED = re.compile(r"(\d+) requests in")


class Held(NamedTuple):
    """Resident memory in megabytes, and after how many requests more."""

    requests: int
    megabytes: float


def resident(served: Served, key: str, count: int) -> Held:
    """After at least so many mixed requests more."""
    lua = _MIXED.replace("KEY", key)
    done = 0
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'{lua}\nwrk.headers["authorization"] = "Bearer {token()}"\n')
        script.flush()
        words = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d3s", "-s", script.name, served.base]
        while done < count:
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            answered = _ANSWERED.search(said)
            if "Non-2xx" in said or answered is None:
                raise SystemExit(f"mixed requests were refused:\n{said}")
            done += int(answered[1])
    status = Path(f"/proc/{served.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return Held(done, int(line.split()[1]) / 1024)


def judge(
    own: Served, figures: dict[tuple[str, str], Figure], started: float, memory: list[Held]
) -> None:
    missed = [
        f"{what} {figures[what, own.name].rate:,.0f}/s of {target:,}"
        for what, target in TARGETS.items()
        if figures[what, own.name].rate < target
    ]
    if started > START_SECONDS:
        missed.append(f"start {started:.2f} s of {START_SECONDS}")
    first, last = (held.megabytes for held in memory)
    if max(first, last) > MEMORY_MB or last > first * 1.1:
        missed.append(f"memory {first:.0f} to {last:.0f} MB of {MEMORY_MB}, flat")
    print("reached: all" if not missed else "missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
