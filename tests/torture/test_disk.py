"""The disk says no: full to the last byte, or a file that may not grow. Then it is well again."""

import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.customers import Customers
from tests.e2e.stack import Stack, until
from tests.servers.disk import fill, small_disk
from tests.torture.chaos import restart_given_up, settle, stock_of

pytestmark = pytest.mark.slow


@contextmanager
def on_small_disk(tmp_path: Path, size: str) -> Iterator[tuple[Stack, Path]]:
    with small_disk(tmp_path / "disk", size) as disk:
        stack = Stack(disk / "data")
        # What the supervisor prints belongs to the test, not to the disk that it fills.
        stack.output = tmp_path / "up.out"
        try:
            yield stack.start(), disk
        finally:
            stack.close()


def test_a_full_disk_that_is_freed_again(
    tmp_path: Path, torture_seconds: float, chance: random.Random
) -> None:
    with on_small_disk(tmp_path, "256m") as (stack, disk):
        stock = stock_of(stack)
        customers = Customers(stack, chance.randrange(10**9), clerk=True, products=60)
        with customers:
            end = time.monotonic() + torture_seconds
            while time.monotonic() < end:
                until(_grows(customers, 10), 60, lambda: f"no new orders: {stack.state()}")
                big = fill(disk)
                time.sleep(chance.uniform(0.5, 5))
                if chance.random() < 0.4:
                    stack.kill(chance.choice(("queue", "app", "payments")))
                    time.sleep(chance.uniform(0.1, 1.5))
                big.unlink()
                restart_given_up(stack)
            until(_grows(customers, 10), 60, lambda: f"no new orders: {stack.state()}")
        settle(stack, stock, customers)


@pytest.mark.parametrize("name", ["app", "queue", "payments"])
def test_a_file_may_not_grow(tmp_path: Path, name: str, chance: random.Random) -> None:
    """RLIMIT_FSIZE on a living process: each write beyond it fails, then the limit is lifted."""
    if os.geteuid():
        pytest.skip("needs root to lift a limit again")
    stack = Stack(tmp_path / "data")
    try:
        stack.start()
        stock = stock_of(stack)
        with Customers(stack, chance.randrange(10**9), products=60) as customers:
            until(_grows(customers, 10), 60, lambda: "no orders")
            pid = stack.pid(name)
            size = (stack.data / f"{name}.db-wal").stat().st_size
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
            time.sleep(chance.uniform(1, 4))
            try:
                forever = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, forever)
            except ProcessLookupError:
                print(f"{name} did not live through it")
            until(_grows(customers, 10), 60, lambda: f"no new orders: {stack.state()}")
        settle(stack, stock, customers)
    finally:
        stack.close()


def _grows(customers: Customers, by: int) -> Callable[[], bool]:
    goal = len(customers.accepted) + by
    return lambda: len(customers.accepted) >= goal
