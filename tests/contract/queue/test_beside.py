"""What is kept beside tasks: the calendar, subscriptions, callbacks."""

import pytest
from msgspec.structs import replace
from tests.contract.queue.conftest import Bench

from backstay.core.errors import Fault
from backstay.queue.model import ANY_TENANT, Delivery, Periodic, Subscription, Task, TaskQuery
from backstay.queue.operations import (
    Create,
    Fire,
    Purge,
    Redrive,
    SetPeriodic,
    SettleDelivery,
    Subscribe,
    TakeDeliveries,
    TakeNotices,
)
from backstay.queue.store import Happened

# --- the calendar ----------------------------------------------------------------------------


async def periodic(bench: Bench, name: str = "nightly", **fields: object) -> Periodic:
    fields.setdefault("next_at", bench.clock.now() + 60)
    made = Periodic("default", name, "REPORT", '{"n":1}', "0 3 * * *", **fields)
    assert await bench.one(SetPeriodic(made)) == 1
    return made


def fire(bench: Bench, of: Periodic, *, task: bool = True, **changes: object) -> Fire:
    made = Create(bench.ids.new(), of.tenant, of.command, of.payload, tags=of.tags)
    given = Fire(of.tenant, of.name, of.next_at, of.next_at + 60, made if task else None)
    return replace(given, **changes)


async def test_a_periodic_task_is_kept_replaced_and_removed(bench: Bench):
    await periodic(bench, timezone="Europe/Berlin", tags=("a",), key="k", webhook="http://x/")
    kept = await periodic(bench, timezone="Asia/Tokyo", paused=True, priority=3, max_attempts=2)
    other = await periodic(bench, "hourly")
    assert await bench.engine.periodics("default") == [other, kept]
    await bench.reopen()
    assert await bench.engine.periodics(None) == [other, kept]
    assert await bench.engine.periodics("other") == []
    assert await bench.one(SetPeriodic(kept, remove=True)) == 1
    assert await bench.one(SetPeriodic(kept, remove=True)) == 0
    assert await bench.engine.periodics(None) == [other]


async def test_a_fire_makes_the_task_and_moves_on_and_the_second_comes_too_late(bench: Bench):
    kept = await periodic(bench)
    first, second = fire(bench, kept), fire(bench, kept)
    results = await bench.engine.apply([first, second], bench.clock.now())
    assert isinstance(results[0], Task)
    assert results[0].command == "REPORT"
    assert results[1] == 0
    assert await bench.one(fire(bench, kept)) == 0
    [moved] = await bench.engine.periodics(None)
    assert (moved.next_at, moved.last_at) == (kept.next_at + 60, kept.next_at)
    assert len(await bench.claim(count=9)) == 1
    await bench.reopen()
    assert await bench.one(fire(bench, kept)) == 0
    assert isinstance(await bench.one(fire(bench, moved)), Task)


async def test_a_fire_without_a_task_only_moves_on(bench: Bench):
    kept = await periodic(bench, last_at=5.0)
    assert await bench.one(fire(bench, kept, task=False, next_at=99.0)) == 1
    [moved] = await bench.engine.periodics(None)
    assert (moved.next_at, moved.last_at) == (99.0, 5.0)
    assert await bench.claim() == []


async def test_a_fire_of_nothing_and_of_anothers_is_none(bench: Bench):
    kept = await periodic(bench)
    assert await bench.one(fire(bench, kept, name="unknown")) == 0
    assert await bench.one(fire(bench, kept, tenant="other")) == 0
    assert await bench.one(SetPeriodic(kept, remove=True)) == 1
    assert await bench.one(fire(bench, kept)) == 0
    assert await bench.claim() == []


async def test_a_fire_whose_task_is_refused_has_not_fired(bench: Bench):
    kept = await periodic(bench)
    await bench.create("REPORT", idempotency_key="k", fingerprint="f")
    given = fire(bench, kept)
    clash = replace(given, task=replace(given.task, idempotency_key="k", fingerprint="g"))
    assert isinstance(await bench.one(clash), Fault)
    assert await bench.engine.periodics(None) == [kept]


async def test_who_waits_hears_of_a_fire_and_of_a_new_periodic_task(bench: Bench):
    heard: list[Happened] = []
    bench.engine.listen(heard.append)
    kept = await periodic(bench)
    assert heard.pop().periodics
    await bench.one(fire(bench, kept))
    assert heard.pop().ready == {("default", "REPORT"): 1}


# --- subscriptions ---------------------------------------------------------------------------


async def subscribe(bench: Bench, id: str = "s", **fields: object) -> Subscription:
    fields.setdefault("tenant", "default")
    fields.setdefault("commands", ("A", "B"))
    fields.setdefault("expires_at", bench.clock.now() + 300)
    made = Subscription(id=id, url=f"http://127.0.0.1/{id}", **fields)
    assert await bench.one(Subscribe(made)) == 1
    return made


async def told(bench: Bench, command: str = "A", tenant: str = "default") -> list[str]:
    found = await bench.one(TakeNotices(tenant, command))
    assert isinstance(found, list)
    return sorted(each.id for each in found)


async def test_a_subscription_is_kept_renewed_and_removed(bench: Bench):
    kept = await subscribe(bench)
    longer = replace(kept, expires_at=kept.expires_at + 300)
    assert await bench.one(Subscribe(longer)) == 1
    await bench.reopen()
    assert await bench.engine.subscriptions("default") == [longer]
    assert await bench.engine.subscriptions(None) == [longer]
    assert await bench.engine.subscriptions("other") == []
    assert await bench.one(Subscribe(kept, remove=True)) == 1
    assert await bench.one(Subscribe(kept, remove=True)) == 0
    assert await bench.engine.subscriptions(None) == []


async def test_those_of_the_queue_are_told_and_no_others(bench: Bench):
    await subscribe(bench, "ab")
    await subscribe(bench, "c", commands=("C",))
    await subscribe(bench, "any command", commands=())
    await subscribe(bench, "other tenant", tenant="other")
    await subscribe(bench, "any tenant", tenant=ANY_TENANT)
    assert await told(bench) == ["ab", "any command", "any tenant"]
    assert await told(bench, "C", "other") == []
    assert await told(bench, "B", "other") == ["other tenant"]


async def test_one_is_told_once_in_its_interval_also_after_a_restart(bench: Bench):
    await subscribe(bench, min_interval=5.0)
    assert await told(bench) == ["s"]
    bench.clock.advance_now(4.9)
    await bench.reopen()
    assert await told(bench) == []
    bench.clock.advance_now(0.1)
    assert await told(bench, "B") == ["s"]


async def test_one_that_ended_is_told_nothing_and_goes(bench: Bench):
    await subscribe(bench, expires_at=bench.clock.now() + 10)
    bench.clock.advance_now(10)
    assert [each.id for each in await bench.engine.subscriptions(None)] == ["s"]
    assert await told(bench) == []
    assert await bench.engine.subscriptions(None) == []


async def test_a_clock_that_was_set_back_silences_nobody(bench: Bench):
    await subscribe(bench, min_interval=5.0)
    assert await told(bench) == ["s"]
    bench.clock.jump(-3600)
    assert await told(bench) == ["s"]
    assert await told(bench) == []


# --- callbacks -------------------------------------------------------------------------------


async def ended(bench: Bench, way: str = "finish", tenant: str = "default") -> Task:
    """A task with a webhook that has come to its end in this way."""
    task = await bench.create(tenant=tenant, webhook="http://127.0.0.1/hook", max_attempts=1)
    if way != "cancel while it waits":
        task = await bench.claim_one(lease_seconds=30)
    if way == "expire":
        await bench.after(30)
    elif way == "fail":
        await bench.finish(task, ok=False, error="no")
    else:
        await getattr(bench, way.partition(" ")[0])(task)
    return task


async def waiting(bench: Bench, **choice: object) -> list[Delivery]:
    return await bench.engine.deliveries(None, **{"given_up": False, "limit": 50, **choice})


async def take(bench: Bench, seconds: float = 30.0, limit: int = 50) -> list[Delivery]:
    found = await bench.one(TakeDeliveries(seconds, limit))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    "way", ["finish", "fail", "nack", "expire", "cancel", "cancel while it waits"]
)
async def test_every_way_to_end_stores_a_callback(bench: Bench, way: str):
    heard: list[Happened] = []
    bench.engine.listen(heard.append)
    task = await ended(bench, way)
    [stored] = await waiting(bench)
    assert stored == Delivery(
        stored.id, "default", task.id, "http://127.0.0.1/hook", bench.clock.now()
    )
    assert stored.id
    assert sum(happened.deliveries for happened in heard) == 1
    await bench.reopen()
    assert await waiting(bench) == [stored]


async def test_a_task_without_a_webhook_and_one_that_goes_on_store_none(bench: Bench):
    await bench.create()
    await bench.finish(await bench.claim_one())
    await bench.create(webhook="http://127.0.0.1/hook")
    await bench.nack(await bench.claim_one())
    assert await waiting(bench) == []
    assert await bench.engine.delivery_due() is None


async def test_the_same_result_again_stores_no_second_callback(bench: Bench):
    await bench.create(webhook="http://127.0.0.1/hook")
    task = await bench.claim_one()
    await bench.finish(task)
    await bench.finish(task)
    assert len(await waiting(bench)) == 1


async def test_what_one_takes_another_does_not_unless_the_first_is_gone_for_long(bench: Bench):
    await ended(bench)
    start = bench.clock.now()
    assert await bench.engine.delivery_due() == start
    [taken] = await take(bench)
    assert taken.due_at == start + 30
    assert await take(bench) == []
    assert await bench.engine.delivery_due() == start + 30
    bench.clock.advance_now(30)
    assert [each.id for each in await take(bench)] == [taken.id]


async def test_the_oldest_are_taken_first_and_no_more_than_the_limit(bench: Bench):
    tasks = []
    for _ in range(3):
        tasks.append(await ended(bench))
        bench.clock.advance_now(1)
    first = await take(bench, limit=2)
    assert [each.task_id for each in first] == [task.id for task in tasks[:2]]
    assert [each.task_id for each in await take(bench)] == [tasks[2].id]


async def test_a_callback_that_was_made_is_gone(bench: Bench):
    await ended(bench)
    [taken] = await take(bench)
    assert await bench.one(SettleDelivery(taken.id)) == 1
    assert await bench.one(SettleDelivery(taken.id)) == 0
    assert await waiting(bench) == await waiting(bench, given_up=True) == []


async def test_one_that_failed_is_tried_again_and_given_up_at_last(bench: Bench):
    await ended(bench)
    [taken] = await take(bench)
    then = bench.clock.now() + 7
    assert await bench.one(SettleDelivery(taken.id, "refused", due_at=then)) == 1
    [kept] = await waiting(bench)
    assert (kept.attempts, kept.error, kept.due_at) == (1, "refused", then)
    bench.clock.advance_now(7)
    await take(bench)
    assert await bench.one(SettleDelivery(taken.id, "410 Gone")) == 1
    assert await waiting(bench) == []
    assert await bench.engine.delivery_due() is None
    [gone] = await waiting(bench, given_up=True)
    assert (gone.attempts, gone.error, gone.given_up) == (2, "410 Gone", True)
    assert await take(bench) == []


async def test_a_person_may_let_a_given_up_one_be_tried_again_from_the_beginning(bench: Bench):
    await ended(bench)
    [taken] = await take(bench)
    await bench.one(SettleDelivery(taken.id, "refused"))
    now = bench.clock.now()
    assert await bench.one(SettleDelivery(taken.id, due_at=now)) == 1
    [again] = await waiting(bench)
    assert (again.attempts, again.due_at, again.given_up) == (0, now, False)
    assert [each.id for each in await take(bench)] == [taken.id]


@pytest.mark.parametrize("unknown", ["", "x", "t-000001.1", "t-000001.x", "t-000001:99999"])
async def test_an_unknown_callback_is_not_settled(bench: Bench, unknown: str):
    await bench.create()
    assert await bench.one(SettleDelivery(unknown, "e")) == 0


async def test_callbacks_are_looked_at_by_tenant(bench: Bench):
    await ended(bench)
    await ended(bench, tenant="other")
    for tenant, count in ((None, 2), ("other", 1), ("third", 0)):
        found = await bench.engine.deliveries(tenant, given_up=False, limit=50)
        assert len(found) == count
    assert len(await bench.engine.deliveries(None, given_up=False, limit=1)) == 1


@pytest.mark.parametrize("how", ["retention", "purge"])
async def test_callbacks_go_with_their_task(bench: Bench, how: str):
    await ended(bench)
    [taken] = await take(bench)
    await bench.one(SettleDelivery(taken.id, "refused"))
    await ended(bench)
    bench.clock.advance_now(1)
    if how == "purge":
        assert await bench.one(Purge(ANY_TENANT, "", bench.clock.now())) == 2
    else:
        assert await bench.after(3601) == 2
    assert await waiting(bench) == await waiting(bench, given_up=True) == []
    assert (await bench.engine.page(TaskQuery())).items == []
    assert await bench.engine.audit(repair=False) == []


async def test_a_task_that_ends_twice_has_two_callbacks(bench: Bench):
    task = await ended(bench, "nack")
    await bench.one(Redrive("default", task.id))
    await bench.finish(await bench.claim_one())
    first, second = await waiting(bench)
    assert first.task_id == second.task_id == task.id
    assert first.id != second.id
