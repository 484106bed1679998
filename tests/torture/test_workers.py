"""Workers that are slow, that lie, that come twice and that die, beside the honest one."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from tests.e2e.customers import Customers
from tests.e2e.stack import ORDERS, Stack, running
from tests.torture.chaos import settle, stock_of

pytestmark = pytest.mark.slow
Task = dict[str, Any]


class Liars:
    """Threads that claim orders to be packed and then misbehave. `kept` are the results that the
    queue acknowledged, by task: they must never change."""

    def __init__(self, stack: Stack, seed: int, count: int = 2) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self.kept: dict[str, Any] = {}
        self.orders: set[str] = set()
        self.done: list[str] = []
        self.wrong: list[str] = []
        self._threads = [
            threading.Thread(target=self._lie, args=(random.Random(seed + n),), daemon=True)
            for n in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(45)

    def _lie(self, dice: random.Random) -> None:
        ways: tuple[Callable[[Task], None], ...] = (
            self._silent,
            self._twice,
            self._late,
            self._large,
            self._plain,
        )
        while not self._stop.is_set():
            body = {"commands": ["PACK_ORDER"], "leaseSeconds": 1, "waitSeconds": 1}
            answer = self._stack.try_ask("POST", "/v1/codeq/tasks/claim", body)
            if answer is not None and answer.status == 200:
                way = dice.choice(ways)
                self.done.append(way.__name__)
                way(answer.json)
            self._stop.wait(dice.uniform(0.2, 1.0))

    def _say(self, task: Task, result: object, token: str | None = None) -> int:
        body = {
            "status": "COMPLETED",
            "result": result,
            "leaseToken": task["leaseToken"] if token is None else token,
        }
        answer = self._stack.try_ask("POST", f"/v1/codeq/tasks/{task['id']}/result", body)
        if answer is None:
            return 0
        if answer.status == 200:
            if self.kept.setdefault(task["id"], result) != result:
                self.wrong.append(f"two results were taken for {task['id']}")
            if isinstance(result, dict) and isinstance(result["parcel"], str):
                payload = task["payload"]
                data = json.loads(payload) if isinstance(payload, str) else payload
                self.orders.add(data["order"])
        elif answer.status >= 500 and answer.status not in (502, 503, 504):
            self.wrong.append(f"{answer.status} {answer.body[:200]!r}")
        return answer.status

    def _silent(self, _task: Task) -> None:
        """The lease ends. (A parcel that is no text, as in `_plain`, rightly undoes the order.)"""

    def _twice(self, task: Task) -> None:
        self._say(task, {"parcel": "P-FIRST"})
        self._say(task, {"parcel": "P-SECOND"})

    def _late(self, task: Task) -> None:
        time.sleep(1.6)
        self._say(task, {"parcel": "P-LATE"})

    def _large(self, task: Task) -> None:
        self._say(task, {"parcel": "P" * 5_000_000})

    def _plain(self, task: Task) -> None:
        self._say(task, {"parcel": 7, "more": [None, {"deep": [1] * 1000}]})


def test_workers_that_lie(tmp_path: Path, torture_seconds: float, chance: random.Random) -> None:
    with running(tmp_path) as stack:
        stock = stock_of(stack)
        with (
            Customers(stack, chance.randrange(10**9), products=60, clerk=True) as customers,
            Liars(stack, chance.randrange(10**9)) as liars,
        ):
            end = time.monotonic() + torture_seconds
            while time.monotonic() < end:
                time.sleep(chance.uniform(1, 3))
                stack.kill(chance.choice(("queue", "packer"))) if chance.random() < 0.3 else None
        settle(stack, stock, customers)
        print(liars.done, len(liars.kept))
        assert not liars.wrong, liars.wrong[:3]
        for task, result in liars.kept.items():
            found = stack.ask("GET", f"/v1/codeq/tasks/{task}/result").json
            assert found["result"]["result"] == result, found
        states = {order["id"]: order["status"] for order in stack.pages("/api/v1/orders")}
        undone = [order for order in liars.orders if states[order] == "cancelled"]
        assert not undone, f"packed, acknowledged and yet cancelled: {undone}"


def test_ten_workers_killed_at_random(
    tmp_path: Path, torture_seconds: float, chance: random.Random
) -> None:
    with running(tmp_path) as stack:
        stock = stock_of(stack)
        address = f"unix:{stack.runtime / 'queue.sock'}"
        env = {**stack.env, "CODEQ_BASE_URL": address, "CODEQ_LEASE_SECONDS": "2"}

        def start() -> "subprocess.Popen[bytes]":
            command = [sys.executable, str(ORDERS.parent / "worker.py")]
            return subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)

        workers = [start() for _ in range(10)]
        killed = 0
        try:
            with Customers(stack, chance.randrange(10**9), count=4, products=60) as customers:
                end = time.monotonic() + torture_seconds
                while time.monotonic() < end:
                    time.sleep(chance.uniform(0.02, 0.4))
                    place = chance.randrange(len(workers))
                    os.kill(workers[place].pid, signal.SIGKILL)
                    workers[place].wait()
                    workers[place] = start()
                    killed += 1
            settle(stack, stock, customers)
            print("workers killed", killed)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
