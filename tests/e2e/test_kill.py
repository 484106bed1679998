"""kill -9 of any process at any time: nothing accepted is lost, money and stock add up.

Twenty points here; `make torture` runs the same with many. The sequence comes from a seed that is
printed, so that a failure can be run again.
"""

import os
import random
import time
from pathlib import Path

import pytest
from tests.e2e.customers import Customers
from tests.e2e.promises import why_cancelled
from tests.e2e.stack import Stack, check_shop, running

CHILDREN = ("queue", "app", "gateway", "payments", "packer")
SUPERVISOR = "supervisor"


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
        print(f"cancelled: {dict(why_cancelled(stack.data))}")
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
