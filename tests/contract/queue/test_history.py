"""What is remembered of each delivery, and of a task that is driven again or put to another time."""

import pytest
from tests.contract.queue.conftest import Bench

from backstay.core.errors import Fault
from backstay.queue.model import ANY_TENANT, Attempt, Task, TaskQuery
from backstay.queue.operations import Create, Redrive, Reschedule


async def history(bench: Bench, task: Task) -> list[tuple[int, str, str, str]]:
    found = await bench.engine.attempts(task.tenant, task.id)
    return [(each.number, each.worker, each.outcome, each.error) for each in found]


async def test_a_task_nobody_claimed_has_no_history(bench: Bench):
    assert await history(bench, await bench.create()) == []


async def test_each_delivery_is_told_with_its_worker_its_times_and_its_error(bench: Bench):
    start = bench.clock.now()
    made = await bench.create()
    await bench.nack(await bench.claim_one("anna"), reason="disk full", delay=5.0)
    await bench.after(5)
    await bench.claim_one("bob", lease_seconds=30)
    await bench.after(30)
    await bench.after(10)
    await bench.abandon(await bench.claim_one("carl"))
    await bench.after(1)
    task = await bench.claim_one("dora")
    told = await bench.engine.attempts("default", made.id)
    assert told == [
        Attempt(1, "anna", start, start, "nacked", "disk full"),
        Attempt(2, "bob", start + 5, start + 35, "expired", "LEASE_EXPIRED"),
        Attempt(3, "carl", start + 45, start + 45, "abandoned"),
        Attempt(4, "dora", start + 46, 0.0, "leased"),
    ]
    bench.clock.advance_now(2)
    await bench.finish(task)
    told = await bench.engine.attempts("default", made.id)
    assert told[3] == Attempt(4, "dora", start + 46, start + 48, "completed")


@pytest.mark.parametrize(
    ("end", "outcome", "error"),
    [
        ("completed", "completed", ""),
        ("failed", "failed", "card declined"),
        ("nacked to death", "nacked", "broke"),
        ("expired to death", "expired", "LEASE_EXPIRED"),
        ("cancelled", "cancelled", "no longer wanted"),
    ],
)
async def test_the_last_delivery_is_told_by_how_the_task_ended(
    bench: Bench, end: str, outcome: str, error: str
):
    await bench.create(max_attempts=1)
    task = await bench.claim_one("anna", lease_seconds=30)
    if end == "completed":
        await bench.finish(task)
    elif end == "failed":
        await bench.finish(task, ok=False, result="", error=error)
    elif end == "nacked to death":
        await bench.nack(task, reason=error)
    elif end == "cancelled":
        await bench.cancel(task, error)
    else:
        await bench.after(30)
    assert await history(bench, task) == [(1, "anna", outcome, error)]


async def test_a_cancel_while_it_waits_is_no_delivery(bench: Bench):
    await bench.create()
    task = await bench.claim_one("anna")
    await bench.nack(task)
    await bench.cancel(task)
    assert await history(bench, task) == [(1, "anna", "nacked", "broke")]


async def test_a_history_is_its_tenants_own(bench: Bench):
    await bench.create(tenant="a")
    task = await bench.claim_one()
    assert await bench.engine.attempts("b", task.id) == []
    assert await bench.engine.attempts("a", "nowhere") == []
    assert len(await bench.engine.attempts(ANY_TENANT, task.id)) == 1


async def test_a_history_outlives_the_process_and_goes_with_its_task(bench: Bench):
    await bench.create()
    task = await bench.claim_one()
    await bench.nack(task, delay=1.0)
    await bench.after(1)
    before = await history(bench, task)
    await bench.reopen()
    assert await history(bench, task) == before != []
    await bench.finish(await bench.claim_one())
    await bench.after(3601)
    assert await bench.engine.attempts(ANY_TENANT, task.id) == []
    assert await bench.engine.audit(repair=False) == []


async def test_of_a_task_that_is_handed_back_for_ever_the_newest_hundred_are_kept(bench: Bench):
    made = await bench.create()
    for number in range(1, 120):
        await bench.abandon(await bench.claim_one(f"w{number}"))
        await bench.after(1)
    told = await history(bench, made)
    assert [(number, worker) for number, worker, *_ in told] == [
        (number, f"w{number}") for number in range(20, 120)
    ]


async def test_the_start_of_a_delivery_is_on_the_task(bench: Bench):
    await bench.create()
    bench.clock.advance_now(7)
    task = await bench.claim_one()
    assert task.claimed_at == bench.clock.now()
    bench.clock.advance_now(7)
    done = await bench.finish(task)
    assert isinstance(done, Task)
    assert done.claimed_at == task.claimed_at


# --- progress --------------------------------------------------------------------------------


async def test_progress_is_kept_until_it_is_told_anew(bench: Bench):
    await bench.create()
    task = await bench.claim_one()
    await bench.extend(task, progress='{"done":1}')
    kept = await bench.extend(task)
    assert isinstance(kept, Task)
    assert kept.progress == '{"done":1}'
    await bench.nack(task, delay=1.0)
    await bench.after(1)
    again = await bench.claim_one()
    assert again.progress == '{"done":1}'
    await bench.finish(again)
    found = await bench.engine.task("default", task.id)
    assert found is not None
    assert found.progress == '{"done":1}'


# --- driven again ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["dead", "failed", "cancelled"])
async def test_a_redrive_begins_anew_but_remembers(bench: Bench, end: str):
    await bench.create(max_attempts=1)
    task = await bench.claim_one("anna")
    await bench.extend(task, progress="1")
    if end == "dead":
        await bench.nack(task)
    elif end == "failed":
        await bench.finish(task, ok=False, error="no")
    else:
        await bench.cancel(task)
    bench.clock.advance_now(3)
    back = await bench.one(Redrive("default", task.id))
    assert isinstance(back, Task)
    assert (back.state, back.attempts, back.due_at) == ("ready", 0, bench.clock.now())
    assert (back.worker, back.lease_token, back.error, back.result) == ("", "", "", "")
    assert (back.progress, back.claimed_at, back.ended_at) == ("", 0.0, 0.0)
    assert [each[:2] for each in await history(bench, task)] == [(1, "anna")]
    again = await bench.claim_one("bob")
    assert (again.id, again.attempts) == (task.id, 1)
    assert [each[:3] for each in await history(bench, task)][1:] == [(2, "bob", "leased")]


async def test_a_redrive_can_wait_so_that_many_are_spread(bench: Bench):
    await bench.create(max_attempts=1)
    task = await bench.claim_one()
    await bench.nack(task)
    then = bench.clock.now() + 50
    back = await bench.one(Redrive("default", task.id, due_at=then))
    assert isinstance(back, Task)
    assert (back.state, back.due_at) == ("delayed", then)
    assert await bench.engine.due(bench.clock.now()) == then
    await bench.after(49)
    assert await bench.claim() == []
    await bench.after(1)
    assert (await bench.claim_one()).id == task.id


@pytest.mark.parametrize("state", ["ready", "delayed", "leased", "completed"])
async def test_only_what_ended_without_success_is_driven_again(bench: Bench, state: str):
    task = await bench.create(due_at=bench.clock.now() + 50 if state == "delayed" else 0)
    if state in ("leased", "completed"):
        task = await bench.claim_one()
    if state == "completed":
        await bench.finish(task)
    refused = await bench.one(Redrive("default", task.id))
    assert isinstance(refused, Fault)
    assert refused.entry.code == "QUEUE003"
    assert await bench.state(task) == state


# --- another time ----------------------------------------------------------------------------


async def test_a_waiting_task_can_be_put_to_another_time(bench: Bench):
    task = await bench.create()
    then = bench.clock.now() + 100
    moved = await bench.one(Reschedule("default", task.id, then))
    assert isinstance(moved, Task)
    assert (moved.state, moved.due_at) == ("delayed", then)
    assert await bench.claim() == []
    sooner = bench.clock.now() + 20
    await bench.one(Reschedule("default", task.id, sooner))
    assert await bench.engine.due(bench.clock.now()) == sooner
    await bench.after(20)
    assert len(await bench.claim()) == 1


async def test_retry_now_keeps_the_tries_that_were_counted(bench: Bench):
    await bench.create()
    await bench.nack(await bench.claim_one(), delay=500.0)
    [task] = (await bench.engine.page(TaskQuery())).items
    now = await bench.one(Reschedule("default", task.id))
    assert isinstance(now, Task)
    assert (now.state, now.attempts, now.due_at) == ("ready", 1, bench.clock.now())
    assert (await bench.claim_one()).attempts == 2


@pytest.mark.parametrize("tenant", ["other", "default"])
async def test_what_runs_or_ended_or_is_anothers_is_not_rescheduled(bench: Bench, tenant: str):
    await bench.create()
    task = await bench.claim_one()
    refused = await bench.one(Reschedule(tenant, task.id, 0))
    assert isinstance(refused, Fault)
    assert refused.entry.code == ("QUEUE001" if tenant == "other" else "QUEUE003")
    await bench.finish(task)
    assert isinstance(await bench.one(Reschedule(ANY_TENANT, task.id, 0)), Fault)


async def test_everything_a_task_was_created_with_is_kept(bench: Bench):
    given = Create(
        bench.ids.new(),
        "t",
        "PACK",
        '{"n":1}',
        priority=3,
        max_attempts=2,
        idempotency_key="i",
        fingerprint="f",
        reply_to="app",
        webhook="http://127.0.0.1/x",
        tags=("blue", "two words", "ü"),
        key="customer 7",
        trace="00-abc-def-01",
    )
    made = await bench.one(given)
    assert isinstance(made, Task)
    for name in given.__struct_fields__:
        if name not in ("id", "fingerprint", "due_at"):
            assert getattr(made, name) == getattr(given, name), name
    assert await bench.engine.task("t", made.id) == made
    await bench.reopen()
    assert await bench.engine.task("t", made.id) == made
    assert (await bench.claim_one()).tags == made.tags


@pytest.mark.parametrize("size", [10, 300, 5_000, 300_000])
async def test_bodies_of_every_size_come_back_whole(bench: Bench, size: int):
    made = await bench.create(payload='"' + "p" * size + '"')
    task = await bench.claim_one()
    assert task.payload == made.payload
    await bench.finish(task, result='"' + "r" * size + '"')
    found = await bench.engine.task("default", made.id)
    assert found is not None
    assert (found.payload, len(found.result)) == (made.payload, size + 2)
    assert await bench.engine.audit(repair=False) == []
