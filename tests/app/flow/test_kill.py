"""kill -9 of a real process that runs workflows, at random points: nothing accepted is lost, and
the books balance."""

import asyncio
import itertools
import random
import sys
from pathlib import Path

import apsw
import pytest
from tests.app.flow.killable import STOCK
from tests.app.flow.payments import BROKEN, HANG_DONE, LOST, OK, Payments

SCRIPT = Path(__file__).with_name("killable.py")


@pytest.mark.parametrize(
    ("kills", "orders"),
    [(5, 60), pytest.param(60, 600, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
async def test_kill_9_at_random_points_loses_nothing_and_charges_nobody_twice(
    tmp_path: Path, payments: Payments, kills: int, orders: int
) -> None:
    chance = random.Random(f"{kills} kills")
    moods = [OK] * 12 + [LOST, LOST, BROKEN, HANG_DONE]
    payments.faults.extend(itertools.islice(iter(lambda: chance.choice(moods), None), orders * 3))
    accepted: set[str] = set()
    for _ in range(kills):
        child = await _spawn(tmp_path, payments, orders)
        await _until_ready(child, accepted)
        await asyncio.sleep(chance.uniform(0.0, 0.35))
        if child.returncode is None:
            child.kill()
        await _rest(child, accepted)
    last = await _spawn(tmp_path, payments, orders)
    async with asyncio.timeout(600 if kills > 5 else 60):
        await _rest(last, accepted)
    assert last.returncode == 0
    _balance(tmp_path / "app.db", payments, accepted, orders)


async def _spawn(folder: Path, payments: Payments, orders: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        str(folder),
        payments.url,
        str(orders),
        stdout=asyncio.subprocess.PIPE,
        stderr=(folder / "stderr.txt").open("ab"),
    )


async def _until_ready(child: asyncio.subprocess.Process, accepted: set[str]) -> None:
    assert child.stdout is not None
    async with asyncio.timeout(30):
        while line := (await child.stdout.readline()).decode():
            if line.startswith("ready"):
                return
    raise AssertionError("the process ended before it was ready")


async def _rest(child: asyncio.subprocess.Process, accepted: set[str]) -> None:
    assert child.stdout is not None
    while line := (await child.stdout.readline()).decode():
        if line.startswith("accepted") and line.endswith("\n"):
            accepted.add(line.split()[1])
    await child.wait()


def _balance(path: Path, payments: Payments, accepted: set[str], orders: int) -> None:
    conn = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    statuses = {str(k): str(v) for k, v in conn.execute("SELECT id, status FROM orders")}
    assert accepted <= statuses.keys()
    assert len(statuses) == orders
    assert set(statuses.values()) <= {"fulfilled", "cancelled"}
    fulfilled = sorted(order for order, status in statuses.items() if status == "fulfilled")
    assert payments.captured() == fulfilled
    assert conn.execute("SELECT stock FROM products").get == STOCK - 2 * len(fulfilled)
    assert conn.execute("SELECT count(*) FROM notifications").get == len(fulfilled)
    ended = dict(conn.execute("SELECT status, count(*) FROM executions GROUP BY 1").fetchall())
    assert ended.get("completed", 0) == len(fulfilled)
    assert set(ended) <= {"completed", "compensated", "failed"}
    # `failed` is an end only where there was nothing to undo: the shelf was empty.
    for error in conn.execute("SELECT error FROM executions WHERE status = 'failed'"):
        assert "out of stock" in str(error), error
