"""kill -9 of any process at any time: nothing accepted is lost, money and stock add up.

Twenty points here; `make torture` runs the same with many. The sequence comes from a seed that is
printed, so that a failure can be run again.
"""

import os
import random
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from tests.e2e.stack import Stack, check_shop, running

CHILDREN = ("queue", "app", "gateway", "payments", "packer")
SUPERVISOR = "supervisor"


class Customers:
    """Threads that order without pause and remember what was accepted with a 201."""

    def __init__(self, stack: Stack, seed: int, count: int = 2) -> None:
        self._stack = stack
        self._customer = stack.customer()
        self._products = [product["id"] for product in stack.products(20)]
        self._stop = threading.Event()
        self.accepted: list[str] = []
        self.unknown = 0
        self._threads = [
            threading.Thread(target=self._buy, args=(random.Random(seed + number),), daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _buy(self, dice: random.Random) -> None:
        while not self._stop.is_set():
            lines = [
                (product, dice.randint(1, 3))
                for product in dice.sample(self._products, dice.randint(1, 3))
            ]
            answer = self._stack.order(self._customer, lines)
            if answer is None:
                self.unknown += 1
                self._stop.wait(0.05)
            elif answer.status == 201:
                self.accepted.append(answer.json["id"])
            else:
                assert answer.status in (502, 503, 504), answer.body
                self._stop.wait(0.05)
            self._stop.wait(dice.uniform(0, 0.1))


def kill_at_random_points(stack: Stack, seed: int, points: int) -> list[str]:
    """Rounds in random order with the supervisor once in each, so that no child is given up."""
    dice = random.Random(seed)
    killed: list[str] = []
    while len(killed) < points:
        for target in dice.sample((*CHILDREN, SUPERVISOR), len(CHILDREN) + 1):
            if len(killed) == points:
                break
            time.sleep(dice.uniform(0.05, 1.2))
            if target == SUPERVISOR:
                stack.kill_supervisor()
                stack.start()
            elif not stack.kill(target):
                continue
            killed.append(target)
    return killed


def run_killed_shop(folder: Path, seed: int, points: int) -> None:
    print(f"seed {seed}, {points} points")
    with running(folder) as stack:
        stock = {product["id"]: product["stock"] for product in stack.products(20)}
        with Customers(stack, seed) as customers:
            killed = kill_at_random_points(stack, seed, points)
            stack.wait_healthy(30)
        ended = check_shop(stack, stock, customers.accepted)
        print(f"killed {killed}; accepted {len(customers.accepted)}; ended {dict(ended)}")
        assert len(customers.accepted) >= points, "too few orders to say anything"
        assert ended["fulfilled"] > 0


@pytest.mark.timeout(300)
def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    run_killed_shop(tmp_path, seed=int(os.environ.get("BACKSTAY_SEED", "20261122")), points=20)


@pytest.mark.slow
def test_many_kills_lose_nothing(
    tmp_path: Path, torture_seconds: float, chance: random.Random
) -> None:
    """Shop after shop, each with a seed of its own, for as long as the time box says."""
    end = time.monotonic() + torture_seconds
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        run_killed_shop(folder, seed=chance.randrange(10**9), points=30)
