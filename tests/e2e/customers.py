"""People who use the shop while it is broken, and remember what they were promised."""

import http.client
import json
import random
import threading
from collections.abc import Callable
from typing import Self

from tests.e2e.stack import Stack, until

BUSY = (502, 503, 504, 507)
"""Answers that say: not done, come again."""


class Customers:
    """Threads that order without pause and remember what was accepted: orders by 201, refunds by
    202. `most` is the most of one product in an order; a `clerk` gives some orders back."""

    def __init__(
        self,
        stack: Stack,
        seed: int,
        count: int = 2,
        *,
        products: int = 20,
        most: int = 3,
        clerk: bool = False,
    ) -> None:
        self._stack = stack
        self._customer = stack.customer()
        self._products = [product["id"] for product in stack.products(products)]
        self._most = most
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.accepted: list[str] = []
        self.refunded: list[str] = []
        self.unknown = 0
        self.refused = 0
        self.wrong: list[str] = []
        self._token = stack.token("staff") if clerk else ""
        work: list[Callable[[random.Random], None]] = [self._buy] * count + [self._refund] * clerk
        self._threads = [
            threading.Thread(target=one, args=(random.Random(seed + number),), daemon=True)
            for number, one in enumerate(work)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(45)
            assert not thread.is_alive()
        assert not self.wrong, self.wrong[:3]

    def _buy(self, dice: random.Random) -> None:
        while not self._stop.is_set():
            lines = [
                (product, dice.randint(1, self._most))
                for product in dice.sample(self._products, dice.randint(1, 3))
            ]
            answer = self._stack.order(self._customer, lines)
            if answer is not None and answer.status == 201:
                with self._lock:
                    self.accepted.append(answer.json["id"])
            else:
                self._not_done(answer.status if answer else 0, answer.body if answer else b"")
            self._stop.wait(dice.uniform(0, 0.1))

    def _refund(self, dice: random.Random) -> None:
        while not self._stop.wait(dice.uniform(0.1, 0.4)):
            with self._lock:
                if not self.accepted:
                    continue
                order = dice.choice(self.accepted)
            answer = self._stack.try_ask(
                "POST",
                f"/api/v1/orders/{order}/refund",
                headers={"Authorization": f"Bearer {self._token}"},
            )
            if answer is not None and answer.status == 202:
                self.refunded.append(order)
            elif answer is None or answer.status != 409:
                self._not_done(answer.status if answer else 0, answer.body if answer else b"")

    def _not_done(self, status: int, body: bytes) -> None:
        if not status:
            self.unknown += 1
        elif status in BUSY:
            self.refused += 1
        else:
            self.wrong.append(f"{status}: {body[:300]!r}")
        self._stop.wait(0.05)


def mood(stack: Stack, **faults: object) -> None:
    """Tell the payment service how to behave; it forgets that when it is killed."""
    address = stack.state()["processes"]["payments"]["address"].removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=5)
    calm = {"fail": None, "drop_answers": False, "delay": 0}
    try:
        body = json.dumps(calm | faults)
        connection.request("POST", "/faults", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    finally:
        connection.close()


def calm(stack: Stack, seconds: float = 60.0) -> None:
    """Payments well again, everything up."""
    stack.wait_healthy(seconds)

    def told() -> bool:
        try:
            mood(stack)
        except (OSError, http.client.HTTPException):
            return False
        return True

    until(told, 20, lambda: "payments does not take its mood")
