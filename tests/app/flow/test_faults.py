"""Whatever goes wrong, and in whatever order: money, goods and messages add up in the end."""

import asyncio
import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app.flow import payments as pay
from tests.app.flow.carrier import Carrier, parcel
from tests.app.flow.payments import Payments
from tests.app.flow.stage import Stage

from backstay.app.ports import OutsideCall, OutsideResult

PAYMENT_FAULTS = (
    pay.OK,
    pay.DECLINE,
    pay.BUSY,
    pay.BROKEN,
    pay.LOST,
    pay.HANG,
    pay.HANG_DONE,
)


class Story(msgspec.Struct):
    """What happens to a shop: what the payment service and the worker do, when the process dies,
    what the queue loses and repeats, and which executions a person cancels."""

    quantities: list[int]
    stock: int
    payments: list[str]
    worker: list[str]
    crashes: set[int]
    cancels: set[int]
    lose: int
    copies: int
    forget_acks: int


stories = st.builds(
    Story,
    quantities=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    stock=st.integers(1, 10),
    payments=st.lists(st.sampled_from(PAYMENT_FAULTS), max_size=12),
    worker=st.lists(st.sampled_from(("ok", "fails", "silent")), max_size=8),
    crashes=st.sets(st.integers(0, 12), max_size=3),
    cancels=st.sets(st.integers(0, 6), max_size=2),
    lose=st.integers(0, 2),
    copies=st.integers(1, 2),
    forget_acks=st.integers(0, 2),
)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(stories)
def test_every_execution_ends_completed_or_undone_and_the_books_balance(story: Story) -> None:
    asyncio.run(_play(story))


async def _play(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        payments = Payments(Path(folder) / "payments.db")
        await payments.start()
        stage = Stage(Path(folder), payments, carrier=_carrier(story))
        await stage.open()
        try:
            await _live(stage, story)
            _check(stage, story)
        finally:
            await stage.close()
            await payments.stop()


def _carrier(story: Story) -> Carrier:
    moods = list(story.worker)

    def worker(call: OutsideCall) -> OutsideResult | None:
        mood = moods.pop(0) if moods else "ok"
        if mood == "silent":
            return None
        return parcel(call) if mood == "ok" else OutsideResult(call.key, False, error="no boxes")

    carrier = Carrier(worker)
    carrier.lose, carrier.copies, carrier.forget_acks = story.lose, story.copies, story.forget_acks
    return carrier


async def _live(stage: Stage, story: Story) -> None:
    stage.payments.faults.extend(story.payments)
    product = await stage.product(stock=story.stock)
    ids = [(await stage.order(product, quantity))[1] for quantity in story.quantities]
    moment = 0

    async def disturb() -> None:
        nonlocal moment
        if moment in story.crashes:
            await stage.restart()
        if moment in story.cancels:
            await _cancel(stage, ids[moment % len(ids)])
        moment += 1

    for _ in range(13):
        wish = await stage.quiet()
        await disturb()
        await stage.clock.advance(max(0.05, min(wish - stage.clock.tick(), 0.5)))
    await stage.ends(*ids)


async def _cancel(stage: Stage, id: str) -> None:
    status = str(stage.one("SELECT status FROM executions WHERE id = ?", id))
    if status in ("pending", "running"):
        await stage.flow.order(id, "cancel")


def _check(stage: Stage, story: Story) -> None:
    statuses = {str(status) for _, status, _ in stage.executions()}
    assert statuses <= {"completed", "compensated", "failed", "cancelled"}
    orders = "SELECT id FROM orders WHERE status = 'fulfilled' ORDER BY id"
    fulfilled = [str(order) for (order,) in stage.all(orders)]
    assert stage.payments.captured() == fulfilled
    completed = stage.one("SELECT count(*) FROM executions WHERE status = 'completed'")
    assert completed == len(fulfilled)
    sold = stage.one(
        "SELECT coalesce(sum(quantity), 0) FROM order_lines JOIN orders"
        " ON orders.id = order_lines.\"order\" WHERE orders.status = 'fulfilled'"
    )
    assert stage.one("SELECT stock FROM products") == story.stock - int(str(sold))
    assert stage.one("SELECT count(*) FROM notifications") == len(fulfilled)
    assert (
        stage.one("SELECT count(*) FROM orders WHERE status NOT IN ('fulfilled','cancelled')") == 0
    )
    _newest_first(stage)


def _newest_first(stage: Stage) -> None:
    undone = stage.all(
        "SELECT execution, position FROM steps WHERE phase = 'compensate'"
        " ORDER BY execution, ended_at, position DESC"
    )
    assert undone == sorted(undone, key=lambda row: (str(row[0]), -int(str(row[1]))))
