"""`backstay up` as a real process tree on a data folder of its own, and what a shop must keep.

Everything a test starts is ended by its own process id; nothing here knows how `up` works inside,
only its command line, its HTTP and its `state.json`.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.e2e.promises import check_executions, check_messages, check_sound, living

from backstay.up.ports import free_port

REPOSITORY = Path(__file__).parents[2]
ORDERS = REPOSITORY / "examples" / "orders" / "app.cai"
Json = dict[str, Any]


class Answer:
    """One HTTP answer, read whole."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stack:
    """One `backstay up`. Start it with `start`; `close` ends what it started."""

    def __init__(
        self, data: Path, app: Path = ORDERS, env: Mapping[str, str] | None = None
    ) -> None:
        self.data = data
        self.app = app
        self.port = free_port()
        self.env = {**os.environ, "NO_COLOR": "1", **(env or {})}
        self.env.pop("JWT_SECRET", None) if not (env or {}).get("JWT_SECRET") else None
        self.process: subprocess.Popen[bytes] | None = None
        self.output = data.parent / f"{data.name}.out"

    # --- the process tree --------------------------------------------------------------------

    def start(self, wait: float = 30.0) -> "Stack":
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [
                    *backstay("up"),
                    str(self.app),
                    "--data",
                    str(self.data),
                    "--port",
                    str(self.port),
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.data.parent,
                start_new_session=True,
            )
        if wait:
            self.wait_healthy(wait)
        return self

    def wait_healthy(self, seconds: float = 30.0) -> None:
        def healthy() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(
                    f"up ended with {self.process.returncode}:\n{self.output.read_text()[-3000:]}"
                )
            answer = self.try_ask("GET", "/health")
            ready = self.try_ask("GET", "/api/v1/products?limit=1")
            return answer is not None and answer.status == 200 and _has_data(ready)

        until(healthy, seconds, lambda: f"not healthy:\n{self.output.read_text()[-3000:]}")

    def state(self) -> Json:
        return json.loads((self.runtime / "state.json").read_text())

    @property
    def runtime(self) -> Path:
        noted = self.data / "run.path"
        return Path(noted.read_text().strip()) if noted.exists() else self.data / "run"

    def pid(self, name: str) -> int:
        return int(self.state()["processes"][name]["pid"])

    def kill(self, name: str) -> int:
        """SIGKILL one child, by the id that the supervisor published; 0 when it has none now."""
        try:
            pid = self.pid(name)
            os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, KeyError, TypeError, ValueError):
            return 0
        return pid

    def kill_supervisor(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40.0) -> int:
        """Ctrl-C, and the exit code of `backstay up`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)

    def children(self) -> list[int]:
        """Living processes whose command line names this data folder or its sockets."""
        marks = (os.fsencode(str(self.data)), os.fsencode(str(self.runtime)))
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(mark in line or mark in environment for mark in marks):
                found.append(int(entry.name))
        return found

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    # --- talking to it -----------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            raw = None if body is None else json.dumps(body).encode()
            sent = {"Content-Type": "application/json"} if raw is not None else {}
            connection.request(method, path, raw, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def try_ask(self, method: str, path: str, body: object = None, **more: Any) -> Answer | None:
        """None when the connection failed: then nobody knows whether it was done."""
        try:
            return self.ask(method, path, body, **more)
        except (OSError, http.client.HTTPException):
            return None

    def command(self, *words: str, timeout: float = 30.0) -> "subprocess.CompletedProcess[str]":
        """Another `backstay …` command on the same data folder."""
        return subprocess.run(
            [*backstay(*words), "--data", str(self.data)],
            capture_output=True,
            text=True,
            env=self.env,
            cwd=self.data.parent,
            timeout=timeout,
        )

    def token(self, *roles: str) -> str:
        words = [word for role in roles for word in ("--role", role)]
        done = self.command("token", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def pages(self, path: str) -> Iterator[Json]:
        """Every row of a list endpoint."""
        page = 1
        while True:
            mark = "&" if "?" in path else "?"
            answer = self.ask("GET", f"{path}{mark}limit=100&page={page}")
            assert answer.status == 200, answer.body
            yield from answer.json["data"]
            if not answer.json["pagination"]["has_next"]:
                return
            page += 1

    # --- the shop ----------------------------------------------------------------------------

    def products(self, count: int = 5) -> list[Json]:
        answer = self.ask("GET", f"/api/v1/products?limit={count}&sort=name")
        assert answer.status == 200, answer.body
        return list(answer.json["data"])

    def customer(self) -> str:
        """Any customer's id, out of the seed data."""
        done = subprocess.run(
            [sys.executable, str(ORDERS.parent / "seed.py")], capture_output=True, check=True
        )
        for line in done.stdout.splitlines():
            row = json.loads(line)
            if row["entity"] == "Customer":
                return str(row["values"]["id"])
        raise AssertionError("the seed has no customer")

    def order(
        self, customer: str, lines: Sequence[tuple[str, int]], key: str = ""
    ) -> Answer | None:
        body = {
            "customer": customer,
            "lines": [{"product": product, "quantity": quantity} for product, quantity in lines],
        }
        headers = {"Idempotency-Key": key} if key else {}
        return self.try_ask("POST", "/api/v1/orders", body, headers=headers)

    def settle(self, seconds: float = 60.0) -> list[Json]:
        """Wait until no order is on its way; gives all orders."""
        seen: list[Json] = []

        def settled() -> bool:
            try:
                seen[:] = list(self.pages("/api/v1/orders"))
            except (OSError, http.client.HTTPException, AssertionError):
                return False
            return all(order["status"] in ENDED for order in seen)

        until(settled, seconds, lambda: f"orders stay open: {Counter(o['status'] for o in seen)}")
        return seen

    def ledger(self) -> list[Json]:
        """What the payment stand-in wrote."""
        provided = self.state()["processes"]["payments"]["address"]
        host, _, port = provided.removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("GET", "/ledger")
            return list(json.loads(connection.getresponse().read())["entries"])
        finally:
            connection.close()


ENDED = ("fulfilled", "cancelled", "refunded")


def check_shop(
    stack: Stack,
    stock_before: Mapping[str, int],
    accepted: Sequence[str],
    refunded: Sequence[str] = (),
    *,
    later_money: bool = False,
    patience: float = 60.0,
) -> Counter[str]:
    """The promises of the example: money, stock and messages add up, nothing accepted is lost.

    `later_money` allows money of unknown orders, where the shop was set back and the payment
    service, as in life, was not. `patience` is how many seconds the orders may take to end.
    """
    orders = {order["id"]: order for order in stack.settle(patience)}
    lost = [order for order in accepted if order not in orders]
    assert not lost, f"accepted with 201 and gone: {lost}"
    until(lambda: not living(stack.data), 60, lambda: f"{living(stack.data)} executions live on")
    statuses = {order["id"]: str(order["status"]) for order in orders.values()}
    check_executions(stack.data, statuses)
    check_messages(stack.data, statuses)
    check_sound(stack.data)
    lost = [order for order in refunded if statuses[order] != "refunded"]
    assert not lost, f"refunds accepted with 202 and gone: {lost}"
    _money_adds_up(stack, orders, later_money=later_money)
    _stock_adds_up(stack, orders, stock_before)
    return Counter(order["status"] for order in orders.values())


def _money_adds_up(stack: Stack, orders: Mapping[str, Json], *, later_money: bool) -> None:
    paid: dict[str, Decimal] = {}
    for entry in stack.ledger():
        sign = {"capture": 1, "refund": -1, "void": 0}[entry["kind"]]
        order = entry["order"]
        paid[order] = paid.get(order, Decimal(0)) + sign * Decimal(str(entry["amount"]))
    for order in orders.values():
        due = Decimal(order["total"]) if order["status"] == "fulfilled" else Decimal(0)
        got = paid.pop(order["id"], Decimal(0))
        assert got == due, f"order {order['id']} is {order['status']}: paid {got}, due {due}"
    assert later_money or not any(paid.values()), f"money for orders that nobody knows: {paid}"


def _stock_adds_up(
    stack: Stack, orders: Mapping[str, Json], stock_before: Mapping[str, int]
) -> None:
    sold: Counter[str] = Counter()
    for order in orders.values():
        if order["status"] == "cancelled":
            continue  # a refund gives money back, not the goods
        full = stack.ask("GET", f"/api/v1/orders/{order['id']}").json
        for line in full["lines"]:
            sold[line["product"]] += line["quantity"]
    for product, before in stock_before.items():
        now = stack.ask("GET", f"/api/v1/products/{product}").json["stock"]
        assert before - now == sold[product], (
            f"product {product}: {before} before, {now} now, {sold[product]} fulfilled"
        )


# --- small things --------------------------------------------------------------------------------


def backstay(*words: str) -> list[str]:
    return [sys.executable, "-m", "backstay.cli.backstay", *words]


def until(true: Callable[[], bool], seconds: float, says: Callable[[], str]) -> None:
    """Poll with a deadline; `says` explains the failure."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: {says()}")
        time.sleep(0.05)


@contextmanager
def running(folder: Path, **more: Any) -> Iterator[Stack]:
    stack = Stack(folder / "data", **more)
    try:
        yield stack.start()
    finally:
        stack.close()


def _has_data(answer: Answer | None) -> bool:
    """The seed is in: it is given after the systems are up."""
    return answer is not None and answer.status == 200 and bool(answer.json.get("data"))
