"""The harness that is shipped to users: their functions on the queue's own rules, without waiting."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from backstay.core.backoff import Backoff
from backstay.queue.client import QueueClient, Refused
from backstay.queue.testing import Harness
from backstay.queue.worker import Job, Reject, Retry, Worker, WorkerSettings


def a_worker(**settings: float) -> Worker:
    # As in somebody's module: it knows nothing of tests, and where it points nobody listens.
    made = WorkerSettings(concurrency=4, **settings)  # type: ignore[arg-type]
    return Worker(lambda: QueueClient("http://127.0.0.1:1"), made)


async def test_a_function_is_run_and_its_result_read():
    worker = a_worker()

    @worker.task("DOUBLE")
    async def double(payload: int) -> dict[str, int]:
        return {"twice": payload * 2}

    async with Harness(worker) as harness:
        task = await harness.client.create_task("DOUBLE", 21)
        assert await harness.result(task.id) == {"twice": 42}


async def test_retries_of_hours_pass_in_no_time():
    worker = a_worker()
    tries: list[int] = []

    @worker.task("FLAKY", retry=Backoff("fixed", base=3600.0, cap=3600.0))
    def flaky(payload: object, job: Job) -> str:
        tries.append(job.attempt)
        if job.attempt < 3:
            raise ConnectionError("the bank is away")
        return "paid"

    async with Harness(worker) as harness:
        began = harness.clock.tick()
        task = await harness.client.create_task("FLAKY", {})
        assert await harness.result(task.id, within=3 * 3600) == {"value": "paid"}
        assert tries == [1, 2, 3]
        assert 7200 <= harness.clock.tick() - began <= 7230


async def test_a_failure_is_told_with_its_reason():
    worker = a_worker()

    @worker.task("PAY")
    async def pay(payload: str) -> None:
        if payload == "bad":
            raise Reject("card declined")
        raise Retry("later", 1.0)

    async with Harness(worker, max_attempts=2) as harness:
        bad = await harness.client.create_task("PAY", "bad")
        with pytest.raises(AssertionError, match="FAILED: card declined"):
            await harness.result(bad.id)
        slow = await harness.client.create_task("PAY", "slow")
        ended = await harness.ended(slow.id)
        assert (ended.attempts, ended.error) == (2, "later")
        assert (await harness.client.get_queue_stats("PAY")).dlq == 1


async def test_a_long_function_keeps_its_lease_and_its_progress_is_seen():
    worker = a_worker(lease=30.0)

    @worker.task("RENDER")
    async def render(payload: object, job: Job) -> None:
        job.progress("half")
        await harness.clock.sleep(harness.clock.tick() + 600)

    async with Harness(worker) as harness:
        task = await harness.client.create_task("RENDER", {})
        await harness.advance(300)
        seen = await harness.client.get_task(task.id)
        assert (seen.status, seen.progress, seen.attempts) == ("IN_PROGRESS", "half", 1)
        assert (await harness.ended(task.id)).attempts == 1


async def test_work_whose_task_is_cancelled_is_cancelled():
    worker = a_worker(lease=30.0)
    ends: list[str] = []

    @worker.task("RENDER")
    async def render(payload: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async with Harness(worker) as harness:
        task = await harness.client.create_task("RENDER", {})
        await harness.settle()
        await harness.client.cancel_task(task.id)
        await harness.advance(15)
    assert ends == ["cancelled"]


async def test_what_is_not_ended_in_time_is_shown():
    async with Harness() as harness:
        task = await harness.client.create_task("NOBODY", {}, delay_seconds=10)
        with pytest.raises(TimeoutError, match="PENDING"):
            await harness.ended(task.id, within=60)


async def test_the_same_test_takes_the_same_time_again():
    async def once() -> tuple[float, int]:
        worker = a_worker()
        worker.task("A")(_fail)
        async with Harness(worker) as harness:
            task = await harness.client.create_task("A", {})
            ended = await harness.ended(task.id)
            return harness.clock.tick(), ended.attempts

    assert await once() == await once()


async def _fail(payload: object) -> None:
    raise ValueError("always")


async def test_the_worker_and_the_test_of_the_documentation_do_what_it_says():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-worker.md"
    module, _, test = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[:3]
    names: dict[str, Any] = {"__name__": "documented"}
    exec(module.replace("worker.run()", ""), names)
    exec(test, names)
    await names["test_an_order_is_packed"]()


async def test_a_policy_bounds_and_a_periodic_task_fires_as_on_a_server():
    worker = a_worker()
    harness = Harness(worker)
    running: list[int] = []
    most: list[int] = []

    @worker.task("REPORT")
    async def report(payload: object) -> None:
        running.append(1)
        most.append(len(running))
        await harness.clock.sleep(harness.clock.tick() + 60)
        running.pop()

    async with harness:
        await harness.client.set_policy("REPORT", concurrency=1)
        for name in ("one", "two"):
            await harness.client.set_periodic(name, "REPORT", "*/15 * * * *")
        await harness.advance(20 * 60)
        assert most == [1, 1], "one after the other, each at its time"


async def test_what_the_harness_does_not_do_it_says():
    """It calls nobody: a result callback is kept, a subscription refused with the reason."""
    async with Harness() as harness:
        with pytest.raises(Refused, match="subscription") as refused:
            await harness.client.create_subscription("http://127.0.0.1:1/")
        assert refused.value.code == "QUEUE017"
        task = await harness.client.create_task("PACK", 1, webhook="http://127.0.0.1:1/")
        await harness.client.cancel_task(task.id)
        await harness.advance(60)
        [call] = await harness.client.list_deliveries()
        assert (call.task_id, call.attempts) == (task.id, 0)
