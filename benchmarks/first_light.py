"""How long until it works, what it costs to have it running, what the gateway adds, what it bears.

    python benchmarks/first_light.py [--orders 300] [--pairs 1000]

Starts `backstay up` on a fresh data folder and a free port and measures, in one run:

1. from the start of the command until the gateway is healthy and the catalogue answers;
2. memory: the sum of proportional set sizes over the process tree (Linux only);
3. the same request through the gateway and on the app's own socket, in pairs, taken in turns;
4. orders a second: from the first POST until the last order is fulfilled (stock reserved, charged
   with a durable ledger, packed by the outside worker, notified).

The load generator is one Python process on the same cores; its own cost is inside 3 and 4.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
ORDERS = ROOT / "examples" / "orders" / "app.cai"
WARM_UP = 100
CLIENTS = 4


class Figure(NamedTuple):
    """One line of the table. `good` is None where there is no target or nothing was measured."""

    what: str
    value: str
    target: str
    good: bool | None


class OnSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


class Shop:
    """A running `backstay up` with the orders example."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.port = port
        self.log = data.with_suffix(".log")
        command = [sys.executable, "-m", "backstay.cli.backstay", "up", str(ORDERS)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--data", str(data), "--port", str(port)],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def app_socket(self) -> Path:
        noted = self.data / "run.path"
        folder = Path(noted.read_text().strip()) if noted.exists() else self.data / "run"
        return folder / "app.sock"

    def works(self) -> bool:
        """Whether the gateway is healthy and the catalogue has its products."""
        if self.process.poll() is not None:
            sys.exit(f"backstay up ended with {self.process.returncode}:\n{self.log.read_text()}")
        try:
            health, _ = ask(self.connection(), "GET", "/health")
            status, body = ask(self.connection(), "GET", "/api/v1/products?limit=1")
        except (OSError, http.client.HTTPException):
            return False
        return health == status == 200 and bool(body["data"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """Status and decoded answer; the connection may be used again."""
    raw = None if body is None else json.dumps(body).encode()
    connection.request(method, path, raw, {"Content-Type": "application/json"} if raw else {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def until(true: Callable[[], bool], seconds: float, says: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            sys.exit(f"{says}: not within {seconds:.0f} s")
        time.sleep(0.02)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[Shop, float]]:
    """The shop and the seconds it took to work."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    began = time.monotonic()
    shop = Shop(folder / "data", port)
    try:
        until(shop.works, 60, "the shop works")
        yield shop, time.monotonic() - began
    finally:
        code = shop.stop()
    if code:
        sys.exit(f"backstay up ended with {code} after Ctrl-C:\n{shop.log.read_text()[-2000:]}")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold spaces; what follows it does not.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(parents.get(one, []))
    return found


def pss(pid: int) -> int:
    """Kilobytes: private pages and this process's share of the common ones."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def memory(shop: Shop) -> Figure:
    if not Path("/proc/self/smaps_rollup").exists():
        return Figure("memory", "not measured on this system", "300 MB", None)
    pids = tree(shop.process.pid)
    megabytes = sum(map(pss, pids)) / 1024
    what = f"memory (sum of PSS, {len(pids)} processes)"
    return Figure(what, f"{megabytes:.0f} MB", "≤ 300 MB", megabytes <= 300)


def latency(shop: Shop, pairs: int) -> list[Figure]:
    """Medians of both ways and of the difference inside each pair."""
    around, straight = shop.connection(), OnSocket(shop.app_socket())
    _, body = ask(around, "GET", "/api/v1/products?limit=1")
    path = f"/api/v1/products/{body['data'][0]['id']}"
    taken: list[tuple[float, float]] = []
    for number in range(pairs + WARM_UP):
        # Who comes first changes, so that neither profits from the other's warm caches.
        order = (around, straight) if number % 2 else (straight, around)
        first, second = (timed(one, path) for one in order)
        taken.append((first, second) if number % 2 else (second, first))
    kept = taken[WARM_UP:]
    gateway = statistics.median(pair[0] for pair in kept)
    direct = statistics.median(pair[1] for pair in kept)
    added = statistics.median(pair[0] - pair[1] for pair in kept)
    return [
        Figure(f"GET a product on the app's socket, p50 of {pairs}", f"{direct:.2f} ms", "", None),
        Figure("the same through the gateway, p50", f"{gateway:.2f} ms", "", None),
        Figure("added by the gateway, p50 of pairs", f"{added:.2f} ms", "≤ 2 ms", added <= 2),
    ]


def timed(connection: http.client.HTTPConnection, path: str) -> float:
    """Milliseconds of one request. Ends the run when it does not answer 200."""
    began = time.perf_counter()
    status, body = ask(connection, "GET", path)
    took = (time.perf_counter() - began) * 1000
    if status != 200:
        sys.exit(f"GET {path} answered {status}: {body}")
    return took


def throughput(shop: Shop, orders: int) -> Figure:
    """Orders of one line by a few clients at once, counted when the last is fulfilled."""
    connection = shop.connection()
    _, body = ask(connection, "GET", "/api/v1/products?sort=-stock&limit=50")
    products = [product["id"] for product in body["data"]]
    customer = a_customer()
    refused: list[str] = []

    def buy(numbers: Sequence[int]) -> None:
        mine = shop.connection()
        for number in numbers:
            line = {"product": products[number % len(products)], "quantity": 1}
            status, told = ask(mine, "POST", "/api/v1/orders", order_of(customer, line))
            if status != 201:
                refused.append(f"POST /api/v1/orders answered {status}: {told}")
                return

    def fulfilled() -> int:
        _, page = ask(connection, "GET", "/api/v1/orders?status=fulfilled&limit=1&total=true")
        return int(page["pagination"]["total"])

    before = fulfilled()
    began = time.monotonic()
    clients = [
        threading.Thread(target=buy, args=(range(first, orders, CLIENTS),))
        for first in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    posted = time.monotonic() - began
    if refused:
        sys.exit(f"{refused[0]}\n{shop.log.read_text()[-3000:]}")
    until(lambda: fulfilled() - before >= orders, 120, f"{orders} orders are fulfilled")
    whole = time.monotonic() - began
    what = f"orders through the whole chain ({orders}, {CLIENTS} clients)"
    return Figure(what, f"{orders / whole:.0f}/s (accepted: {orders / posted:.0f}/s)", "", None)


def order_of(customer: str, line: dict[str, object]) -> dict[str, object]:
    return {"customer": customer, "lines": [line]}


def a_customer() -> str:
    """The first of the seed data."""
    seed = [sys.executable, str(ORDERS.parent / "seed.py")]
    done = subprocess.run(seed, capture_output=True, check=True, text=True)
    rows = map(json.loads, done.stdout.splitlines())
    return next(str(row["values"]["id"]) for row in rows if row["entity"] == "Customer")


def show(figures: Sequence[Figure]) -> None:
    wide = max(len(figure.what) for figure in figures)
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: ""}[figure.good]
        print(f"{figure.what:<{wide}}  {figure.value:>12}  {figure.target:<9} {verdict}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description="The figures of the first version")
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=1000)
    given = parser.parse_args()
    # Also when it is told to stop early, what it started must stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load = os.getloadavg()[0]
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, load {load:.1f} before the run"
    )
    with (
        tempfile.TemporaryDirectory(prefix="backstay-") as folder,
        started(Path(folder)) as (shop, seconds),
    ):
        healthy = Figure("`backstay up` to healthy", f"{seconds:.1f} s", "≤ 5 s", seconds <= 5)
        figures = [healthy, memory(shop), *latency(shop, given.pairs)]
        figures.append(throughput(shop, given.orders))
        figures.append(memory(shop)._replace(what="memory after the orders"))
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
