"""kill -9 of a real server at random points while steps run side by side and for each item, signals
come and events go: every execution ends completed or undone, what is done in the database is done
once, and every event is heard once."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from tests.app.flow.live import OVER, Live
from tests.app.flow.payments import BROKEN, DECLINE, HANG_DONE, LOST, OK, Payments
from tests.app.flow.receiver import Receiver

from backstay.core.errors import Fault

LINES = 4


class Traffic:
    """Places orders and brings signals for as long as it is let, whatever becomes of the server."""

    def __init__(self, live: Live, wanted: int) -> None:
        self._live = live
        self._wanted = wanted
        self._placed = 0
        self._told: set[str] = set()

    async def flow(self) -> None:
        """Until all orders are placed and every execution has ended."""
        while not await self._over():
            with contextlib.suppress(Fault):
                await self._step()
            await asyncio.sleep(0.005)

    async def _step(self) -> None:
        if self._placed < self._wanted:
            lines = [{"number": number} for number in range(LINES)]
            body = msgspec.json.encode({"number": self._placed, "lines": lines})
            # What was not answered is asked again: the number is unique, so twice is once.
            status, said = await self._live.ask("POST", "/orders", raw=body)
            assert status == 200 or "number" in str(said), said
            self._placed += 1
        page = await self._live.get("/executions?status=running&workflow_id=fulfil&limit=100")
        for row in page["data"]:
            if row["id"] not in self._told:
                status, _ = await self._live.ask(
                    "POST", f"/executions/{row['id']}/signals/go", True
                )
                assert status in (202, 409)
                self._told.add(row["id"])

    async def _over(self) -> bool:
        if self._placed < self._wanted:
            return False
        with contextlib.suppress(Fault):
            found = [
                (await self._live.get(f"/executions?status={status}"))["data"]
                for status in ("pending", "running", "compensating")
            ]
            return not any(found)
        return False


# A mark of the function would be the nearer one, and bound the long run, too.
@pytest.mark.parametrize(
    ("kills", "orders"),
    [
        pytest.param(20, 60, marks=pytest.mark.timeout(300)),
        pytest.param(200, 700, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
async def test_kill_9_at_random_points_leaves_nothing_half_done_and_no_event_unheard(
    tmp_path: Path, payments: Payments, receiver: Receiver, kills: int, orders: int
) -> None:
    chance = random.Random(f"{kills} kills of events")
    moods = [OK] * 40 + [LOST] * 3 + [BROKEN] * 2 + [HANG_DONE, DECLINE]
    faults = iter(lambda: chance.choice(moods), None)
    payments.faults.extend(itertools.islice(faults, orders * (LINES + 2) * 2))
    env = {"PAYMENTS_URL": payments.url, "HOOK_URL": receiver.url, "HOOK_SECRET": "s" * 16}
    live = Live(tmp_path, Path(__file__).with_name("kill.cai"), env)
    await live.start()
    traffic = asyncio.create_task(Traffic(live, orders).flow())
    try:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            await live.kill()
            await live.start()
        async with asyncio.timeout(1200 if kills > 20 else 200):
            await traffic
            await live.eventually(lambda: _delivered(live), 60.0)
    finally:
        traffic.cancel()
        await live.kill()
    _books(live, payments, receiver, orders)
    await live.close()


async def _delivered(live: Live) -> bool:
    return not live.rows("SELECT 1 FROM backstay_deliveries WHERE state IN ('pending', 'running')")


def _books(live: Live, payments: Payments, receiver: Receiver, orders: int) -> None:
    numbers = {str(key): int(n) for key, n in live.rows("SELECT id, number FROM orders")}
    assert sorted(numbers.values()) == list(range(orders))
    ended = live.rows("SELECT input, status, error FROM executions WHERE workflow_id = 'fulfil'")
    assert len(ended) == orders
    statuses = {msgspec.json.decode(given)["order"]: status for given, status, _ in ended}
    assert set(statuses) == set(numbers)
    assert set(statuses.values()) <= {"completed", "compensated"}, set(statuses.values())
    assert set(statuses.values()) == {"completed", "compensated"}, "too gentle a test"
    _effects(live, statuses)
    _money(payments, numbers, statuses)
    _events(live, receiver, statuses)


def _effects(live: Live, statuses: dict[str, str]) -> None:
    """What is done in the database is done once, and undone once or not at all."""
    effects = Counter(live.rows('SELECT "order", what FROM effects'))
    for order, status in statuses.items():
        done = {what: effects[(order, what)] for what in ("note", "line", "settled")}
        if status == "completed":
            assert done == {"note": 1, "line": LINES, "settled": 1}
            assert effects[(order, "un-note")] == effects[(order, "un-line")] == 0
        else:
            assert done["settled"] == 0
            assert done["note"] == effects[(order, "un-note")] <= 1
            assert done["line"] == effects[(order, "un-line")] <= LINES


def _money(payments: Payments, numbers: dict[str, int], statuses: dict[str, str]) -> None:
    """Whoever completed has paid for everything, and nobody else for anything."""
    paid = [numbers[order] for order, status in statuses.items() if status == "completed"]
    wanted = {f"order {number}" for number in paid}
    wanted |= {f"line {number}.{line}" for number in paid for line in range(LINES)}
    assert sorted(payments.captured()) == sorted(wanted)


def _events(live: Live, receiver: Receiver, statuses: dict[str, str]) -> None:
    """Every event is heard once by each workflow, and came to the webhook at least once."""
    settled = {order for order, status in statuses.items() if status == "completed"}
    told = live.rows("SELECT id, event, payload FROM events")
    orders = Counter((event, msgspec.json.decode(given)["order"]) for _, event, given in told)
    assert orders == Counter(
        [("placed", order) for order in statuses] + [("settled", order) for order in settled]
    )
    counted = live.rows("SELECT status FROM executions WHERE workflow_id = 'count_it'")
    assert counted == [("completed",)] * len(settled)
    went = Counter(live.rows("SELECT target, state, run FROM backstay_deliveries"))
    assert went == {
        ("workflow:fulfil", "done", 1): len(statuses),
        ("workflow:count_it", "done", 1): len(settled),
        ("webhook:shop", "done", 1): len(settled),
    }
    came = {got.json()["id"] for got in receiver.got}
    assert came == {key for key, event, _ in told if event == "settled"}
    assert set(OVER) >= set(statuses.values())
