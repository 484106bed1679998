"""The app on PostgreSQL beside FastAPI + SQLAlchemy: one row, a filtered list of 20, a create.

    python benchmarks/app_postgres.py [--runs 3] [--seconds 5] [--peer PYTHON]

One PostgreSQL server (durable, its defaults), 10,000 rows of which each of 100 users may see their
own; every request has a token (HS256) that is verified and a row rule that holds. 32 connections of
wrk, one process each for the app and for the peer, everything on this machine, in turns; medians.
`CPU` is what the server process itself used for an answer: on a machine that others use, the ratio
of that says more than answers a second.

The peer needs fastapi, uvicorn[standard], sqlalchemy[asyncio], asyncpg and pyjwt in a Python of its
own; without one its column stays empty.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.servers.postgres import PostgresServer, system_binaries, wheel_binaries  # noqa: E402

from backstay.core.clock import SystemClock  # noqa: E402
from backstay.core.settings import Secret  # noqa: E402
from backstay.core.tokens import Issuer  # noqa: E402
from backstay.up.ports import free_port  # noqa: E402

SECRET = "a-secret-of-at-least-thirty-two-bytes"
ROWS, USERS, CONNECTIONS = 10_000, 100, 32
TICKS = os.sysconf("SC_CLK_TCK")
PROGRAM = """
config {
  name: "bench"
  version: "1.0.0"
  auth: jwt {
    secret: env("JWT_SECRET")
    issuer: "backstay"
    audience: "backstay"
  }
}

entity Item {
  id: uuid, primary, auto
  owner: string, required
  name: string, required, min(1), max(80)
  state: enum(open, done), default(open)
  price: decimal(10, 2), required, min(0)
  made: timestamp, default(now())
  index: [owner, state, made]
  access {
    read: owner == user.id
    create: owner == user.id
  }
}

endpoint GET /items/{id} {
  path { id: uuid }
  auth: required
  returns: Item
}

endpoint GET /items {
  auth: required
  returns: paginated(Item)
  filter: [state]
  sort: [made]
}

endpoint POST /items {
  auth: required
  body {
    name: string, required, min(1), max(80)
    price: decimal(10, 2), required, min(0)
  }
  do {
    let item = create Item { owner: user.id, name: body.name, price: body.price }
    return item
  }
  status: 201
}
"""
LUA = {
    "one row": "",
    "filtered list of 20": "",
    "create": 'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
    'wrk.body = \'{"name": "a pen", "price": "1.50"}\'\n',
}
FILL = (
    "INSERT INTO items (id, owner, name, state, price, made)"
    " SELECT gen_random_uuid(), 'user ' || n % {users}, 'thing ' || n,"
    " CASE WHEN n % 3 = 0 THEN 'done' ELSE 'open' END, n % 1000, now() - n * interval '1 second'"
    " FROM generate_series(1, {rows}) AS n; ANALYZE items"
)


class Figure(NamedTuple):
    """Answers a second, the 99th percentile and the server's CPU for one answer, in ms."""

    rate: float
    p99: float
    cpu: float


class Served(NamedTuple):
    name: str
    base: str
    pid: int


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--seconds", type=int, default=5)
    asked.add_argument("--peer", default=os.environ.get("PEER_PYTHON", ""))
    options = asked.parse_args()
    binaries = system_binaries() or wheel_binaries()
    if binaries is None:
        raise SystemExit("no PostgreSQL: Debian: sudo apt-get install postgresql-15")
    server = PostgresServer(binaries)
    try:
        server.sql("CREATE DATABASE bench")
        with app(server) as own:
            server.sql(FILL.format(users=USERS, rows=ROWS), "bench")
            key = server.sql("SELECT id FROM items WHERE owner = 'user 7' LIMIT 1", "bench").strip()
            with ExitStack() as stack:
                served = [own]
                if options.peer:
                    served.append(stack.enter_context(peer(options.peer, server)))
                show(served, measured(served, key, token(), options.runs, options.seconds))
    finally:
        server.stop()


def token() -> str:
    """What a user sends who may see a hundredth of the rows."""
    issuer = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
    return issuer.mint(sub="user 7", ttl=3600.0)


def measured(
    served: list[Served], key: str, token: str, runs: int, seconds: int
) -> dict[tuple[str, str], Figure]:
    paths = {
        "one row": f"/items/{key}",
        "filtered list of 20": "/items?state=open&sort=-made&limit=20",
        "create": "/items",
    }
    figures: dict[tuple[str, str], list[Figure]] = {}
    for what, path in paths.items():
        for run in range(runs + 1):
            for each in served:
                found = load(each, each.base + path, token, LUA[what], seconds if run else 1)
                if run:  # the first only warms up
                    figures.setdefault((what, each.name), []).append(found)
    return {
        which: Figure(*(statistics.median(column) for column in zip(*many, strict=True)))
        for which, many in figures.items()
    }


def load(served: Served, url: str, token: str, lua: str, seconds: int) -> Figure:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'{lua}\nwrk.headers["authorization"] = "Bearer {token}"\n{_DONE}')
        script.flush()
        before = cpu(served.pid)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        used = cpu(served.pid) - before
    words = done.stdout.rsplit("figures ", 1)[1].split()
    answers, micros, p99, bad = (float(word) for word in words)
    if bad or not answers:
        raise SystemExit(f"{served.name}: {bad:.0f} answers were errors: {url}")
    return Figure(answers / micros * 1e6, p99 / 1000, used / answers * 1000)


_DONE = """
function done(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.timeout + summary.errors.read
  io.write(string.format("figures %d %d %d %d\\n",
    summary.requests, summary.duration, latency:percentile(99), bad))
end
"""


def cpu(pid: int) -> float:
    """Seconds of CPU of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def app(server: PostgresServer) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.cai"
        file.write_text(PROGRAM, encoding="utf-8")
        port = free_port()
        command = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file)]
        command += ["--listen", f"127.0.0.1:{port}", "--data", f"{folder}/data"]
        env = os.environ | {
            "DATABASE_URL": server.url("bench"),
            "JWT_SECRET": SECRET,
            "LOG_LEVEL": "warn",
            "PYTHONPATH": str(ROOT / "src"),
        }
        with running(command, env, f"http://127.0.0.1:{port}/health/ready") as pid:
            yield Served("backstay", f"http://127.0.0.1:{port}/api/v1", pid)


@contextmanager
def peer(python: str, server: PostgresServer) -> Iterator[Served]:
    port = free_port()
    file = ROOT / "benchmarks" / "peers" / "fastapi_app.py"
    env = os.environ | {
        "DATABASE_URL": server.url("bench").replace("postgresql://", "postgresql+asyncpg://"),
        "JWT_SECRET": SECRET,
        "PORT": str(port),
    }
    with running([python, str(file)], env, f"http://127.0.0.1:{port}/ready") as pid:
        yield Served("FastAPI + SQLAlchemy", f"http://127.0.0.1:{port}", pid)


@contextmanager
def running(command: list[str], env: dict[str, str], ready: str) -> Iterator[int]:
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{command} ended with {process.returncode}")
            try:
                urllib.request.urlopen(ready, timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def show(served: list[Served], figures: dict[tuple[str, str], Figure]) -> None:
    print(f"\n{'':22} {'':22} {'answers/s':>10} {'p99 ms':>8} {'CPU ms':>8}")
    for what in LUA:
        for each in served:
            found = figures[what, each.name]
            print(f"{what:22} {each.name:22} {found.rate:10,.0f} {found.p99:8.1f} {found.cpu:8.3f}")
        if len(served) == 2:
            own, other = (figures[what, each.name] for each in served)
            ratio = f"{own.rate / other.rate:.1f} times the answers"
            print(f"{'':22} {ratio}, {other.cpu / own.cpu:.1f} times less CPU for one")


if __name__ == "__main__":
    main()
