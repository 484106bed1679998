"""Time and chance for tests that look for what nobody thought of (`make torture`).

TORTURE_SECONDS is the budget of the whole run; the selected tests share it evenly. The seed comes
from the commit, so CI walks new ground with each change and a failure can be walked again:
`BACKSTAY_SEED=… make torture`.
"""

import math
import os
import random
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALONE = 20.0
"""Seconds of a torture test that runs without a budget, as in an ordinary run of its file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    boxed = [item for item in items if "torture_seconds" in getattr(item, "fixturenames", ())]
    for item in boxed:
        seconds = _share(len(boxed))
        item.user_properties.append(("torture_seconds", seconds))
        if item.get_closest_marker("timeout") is None:
            # A round that has begun must be allowed to end, and servers to stop.
            item.add_marker(pytest.mark.timeout(seconds + 300))


@pytest.fixture
def torture_seconds(request: pytest.FixtureRequest) -> float:
    """How many seconds this test may go on looking."""
    return float(dict(request.node.user_properties)["torture_seconds"])


@pytest.fixture
def chance(request: pytest.FixtureRequest, record_property: object) -> random.Random:
    """Random choices that BACKSTAY_SEED repeats; printed with a failing test."""
    seed = os.environ.get("BACKSTAY_SEED") or _commit()
    print(f"BACKSTAY_SEED={seed}")
    return random.Random(f"{seed} {request.node.nodeid}")


def _share(tests: int) -> float:
    budget = os.environ.get("TORTURE_SECONDS")
    if not budget:
        return ALONE
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # Workers get whole tests, so the busiest one has this many of them.
    return float(budget) / math.ceil(tests / workers)


def _commit() -> str:
    try:
        command = ["git", "rev-parse", "--short=12", "HEAD"]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "no-git"
    return found.stdout.strip() or "no-commit"
