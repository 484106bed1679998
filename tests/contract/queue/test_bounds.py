"""What a policy allows: pauses, leases at once, claims a second, of a queue and of a key. And that
whoever waits hears of each way in which a bound is lifted."""

import pytest
from tests.contract.queue.conftest import Bench, Ears

from backstay.queue.model import ANY_TENANT, Policy, Task, TaskQuery
from backstay.queue.operations import Cancel, Reschedule, SetPolicy


async def bound(bench: Bench, command: str = "PACK", tenant: str = "default", **fields: object):
    assert await bench.one(SetPolicy(Policy(tenant, command, **fields))) == 1


async def fill(bench: Bench, *keys: str, **fields: object) -> None:
    for number, key in enumerate(keys):
        await bench.create(payload=f"{key}{number}", key=key, **fields)


async def served(bench: Bench, count: int = 100, **claim: object) -> list[str]:
    return [task.payload for task in await bench.claim(count=count, **claim)]


# --- what is kept ----------------------------------------------------------------------------


async def test_policies_are_kept_replaced_and_removed(bench: Bench):
    await bound(bench, concurrency=3)
    await bound(bench, rate=2.0, burst=5, updated_at=7.0)
    await bound(bench, tenant=ANY_TENANT, paused=True)
    await bound(bench, tenant="other", key_rate=1.0)
    mine = [
        Policy(ANY_TENANT, "PACK", paused=True),
        Policy("default", "PACK", rate=2.0, burst=5, updated_at=7.0),
    ]
    assert await bench.engine.policies("default") == mine
    await bench.reopen()
    assert await bench.engine.policies("default") == mine
    assert len(await bench.engine.policies(None)) == 3
    await bound(bench)
    assert [policy.tenant for policy in await bench.engine.policies("default")] == [ANY_TENANT]


# --- pauses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tenant", ["default", ANY_TENANT])
async def test_a_paused_queue_takes_tasks_but_gives_none(bench: Bench, tenant: str):
    await bound(bench, tenant=tenant, paused=True)
    await bench.create()
    await bench.create("OTHER", payload="other")
    assert await served(bench) == ["other"]
    [pack] = await bench.engine.stats("PACK")
    assert (pack.ready, pack.paused) == (1, True)
    await bench.reopen()
    assert await bench.claim() == []
    await bound(bench, tenant=tenant)
    assert len(await bench.claim()) == 1
    assert [stats.paused for stats in await bench.engine.stats("PACK")] == [False]


async def test_a_pause_for_everybody_holds_beside_a_policy_of_its_own(bench: Bench):
    await bound(bench, concurrency=5)
    await bound(bench, tenant=ANY_TENANT, paused=True)
    await bench.create()
    assert await bench.claim() == []
    await bound(bench, tenant=ANY_TENANT)
    assert len(await bench.claim()) == 1


async def test_of_its_own_policy_and_that_of_everybody_the_tighter_bound_holds(bench: Bench):
    """Otherwise a tenant's admin could lift what whoever runs the queue has bounded."""
    await bound(bench, tenant=ANY_TENANT, concurrency=2, key_rate=1.0, burst=3)
    await bound(bench, concurrency=5, key_concurrency=1)
    await bound(bench, tenant="other", concurrency=1)
    for tenant in ("default", "other", "third"):
        await fill(bench, "a", "a", "b", "c", "d", tenant=tenant)
    found = await bench.claim(count=15)
    by_tenant = {
        tenant: [task.payload for task in found if task.tenant == tenant]
        for tenant in ("default", "other", "third")
    }
    assert by_tenant == {"default": ["a0", "b2"], "other": ["a0"], "third": ["a0", "a1"]}


async def test_the_tighter_rate_and_the_tighter_burst_hold(bench: Bench):
    await bound(bench, tenant=ANY_TENANT, rate=2.0, burst=2)
    await bound(bench, rate=100.0, burst=50)
    await fill(bench, *"abcdef")
    assert len(await bench.claim(count=6)) == 2
    bench.clock.advance_now(0.5)
    assert len(await bench.claim(count=6)) == 1


async def test_a_burst_without_a_rate_is_no_bound(bench: Bench):
    await bound(bench, tenant=ANY_TENANT, concurrency=9, burst=1)
    await bound(bench, rate=1.0, burst=3)
    await fill(bench, *"abcdef")
    assert len(await bench.claim(count=6)) == 3


async def test_what_was_leased_before_the_pause_can_still_end(bench: Bench):
    await bench.create()
    task = await bench.claim_one()
    await bound(bench, paused=True)
    assert isinstance(await bench.finish(task), Task)


async def test_a_paused_queue_makes_nobody_hear_of_its_tasks(bench: Bench):
    await bound(bench, paused=True)
    ears = Ears(bench)
    await bench.create()
    assert ears.ready() == set()
    await bound(bench)
    assert ears.ready() == {("default", "PACK")}


# --- leases at once --------------------------------------------------------------------------


async def test_no_more_leases_at_once_than_the_policy_says(bench: Bench):
    await bound(bench, concurrency=2)
    await fill(bench, *[""] * 5)
    assert await served(bench) == ["0", "1"]
    assert await bench.claim() == []


@pytest.mark.parametrize("way", ["finish", "nack", "abandon", "cancel", "expire", "raise"])
async def test_every_way_in_which_room_comes_is_heard_and_used(bench: Bench, way: str):
    await bound(bench, concurrency=1)
    await bench.create(payload="first")
    await bench.create(payload="second", priority=-1)
    held = await bench.claim_one(lease_seconds=30)
    assert await bench.claim() == []
    ears = Ears(bench)
    if way == "expire":
        await bench.after(30)
    elif way == "raise":
        await bound(bench, concurrency=2)
    else:
        await getattr(bench, way)(held)
    assert ears.ready() == {("default", "PACK")}
    # A first lease that ends alone puts its own task back in front.
    assert (await bench.claim_one()).payload == ("first" if way == "expire" else "second")


async def test_the_end_of_a_lease_is_no_news_where_nothing_waits(bench: Bench):
    await bound(bench, concurrency=1)
    await bench.create()
    task = await bench.claim_one()
    ears = Ears(bench)
    await bench.finish(task)
    assert ears.ready() == set()


async def test_leases_of_before_the_restart_and_of_before_the_policy_count(bench: Bench):
    await fill(bench, *[""] * 5)
    held = await bench.claim(count=2)
    await bound(bench, concurrency=2)
    assert await bench.claim() == []
    await bench.reopen()
    assert await bench.claim() == []
    for task in held:
        await bench.finish(task)
    assert len(await bench.claim(count=5)) == 2


async def test_a_bound_that_was_lifted_for_a_while_counts_the_leases_anew(bench: Bench):
    await bound(bench, concurrency=2)
    await fill(bench, "", "", "", "")
    held = await bench.claim(count=2)
    await bound(bench)
    for task in held:
        await bench.finish(task)
    await bench.claim_one()
    await bound(bench, concurrency=2)
    assert len(await bench.claim(count=9)) == 1


async def test_a_full_queue_does_not_hold_up_the_others(bench: Bench):
    await bound(bench, "A", concurrency=1)
    for command in ("A", "B"):
        for _ in range(3):
            await bench.create(command, payload=command)
    assert sorted(await served(bench)) == ["A", "B", "B", "B"]


# --- claims a second -------------------------------------------------------------------------


async def test_no_more_claims_a_second_than_the_policy_says(bench: Bench):
    await bound(bench, rate=2.0)
    await fill(bench, *[""] * 9)
    assert await served(bench) == ["0"]
    bench.clock.advance_now(0.4)
    assert await served(bench) == []
    bench.clock.advance_now(0.1)
    assert await served(bench) == ["1"]
    bench.clock.advance_now(60)
    assert await served(bench) == ["2"]


async def test_a_burst_may_be_taken_at_once_and_comes_back(bench: Bench):
    await bound(bench, rate=1.0, burst=3)
    await fill(bench, *[""] * 9)
    assert len(await served(bench)) == 3
    bench.clock.advance_now(2)
    assert len(await served(bench)) == 2


async def test_the_next_token_of_a_rate_is_waited_for_and_heard(bench: Bench):
    await bound(bench, rate=0.5)
    await fill(bench, "", "")
    await bench.claim_one(lease_seconds=600)
    assert await bench.claim() == []
    assert await bench.engine.due(bench.clock.now()) == pytest.approx(bench.clock.now() + 2)
    ears = Ears(bench)
    assert await bench.after(1.9) == 0
    assert ears.ready() == set()
    assert await bench.after(0.1) == 1
    assert ears.ready() == {("default", "PACK")}
    assert len(await bench.claim()) == 1


async def test_a_task_that_comes_before_the_token_is_heard_with_it(bench: Bench):
    await bound(bench, rate=1.0)
    await bench.create()
    await bench.finish(await bench.claim_one())
    ears = Ears(bench)
    await bench.create()
    assert ears.ready() == set()
    await bench.after(1)
    assert ears.ready() == {("default", "PACK")}


async def test_a_jump_of_the_wall_clock_makes_no_tokens(bench: Bench):
    await bound(bench, rate=1.0)
    await fill(bench, "", "")
    await bench.claim_one()
    bench.clock.jump(3600)
    assert await bench.claim() == []


async def test_a_rate_that_is_taken_away_lets_all_through(bench: Bench):
    await bound(bench, rate=0.001)
    await fill(bench, *[""] * 4)
    assert len(await served(bench)) == 1
    ears = Ears(bench)
    await bound(bench)
    assert ears.ready() == {("default", "PACK")}
    assert len(await served(bench)) == 3


@pytest.mark.parametrize("whose", ["queue", "key"])
async def test_a_rate_that_is_raised_is_not_waited_for_as_the_old_one_was(bench: Bench, whose: str):
    """However long the next token of the old rate would have taken."""
    name = "rate" if whose == "queue" else "key_rate"
    await bound(bench, **{name: 0.001})
    await fill(bench, *"aaa")
    assert await served(bench, lease_seconds=900) == ["a0"]
    await bound(bench, **{name: 1.0})
    await served(bench, lease_seconds=900)
    await bench.after(1)
    assert await served(bench, lease_seconds=900) in (["a1"], ["a2"])


# --- keys ------------------------------------------------------------------------------------


async def test_a_key_at_its_bound_does_not_hold_up_those_behind_it(bench: Bench):
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a", "a", "b", "", "a", "b", "")
    assert await served(bench) == ["a0", "b3", "4", "7"]
    assert await served(bench) == []


async def test_the_first_of_a_key_comes_next_when_it_has_room_again(bench: Bench):
    await bound(bench, key_concurrency=1)
    await bench.create(payload="a-low", key="a")
    await bench.create(payload="a-high", key="a", priority=5)
    await bench.create(payload="a-mid", key="a", priority=2)
    found = []
    for _ in range(3):
        task = await bench.claim_one()
        found.append(task.payload)
        assert await bench.claim() == []
        await bench.finish(task)
    assert found == ["a-high", "a-mid", "a-low"]


async def test_one_that_comes_later_but_is_more_urgent_goes_before_those_that_waited(
    bench: Bench,
):
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a", "a")
    held = await bench.claim_one()
    assert await bench.claim() == []
    await bench.create(payload="urgent", key="a", priority=9)
    await bench.create(payload="other", key="b", priority=-1)
    assert await served(bench) == ["other"]
    await bench.finish(held)
    assert await served(bench) == ["urgent"]


@pytest.mark.parametrize("way", ["finish", "nack", "abandon", "cancel", "expire", "raise", "end"])
async def test_every_way_in_which_a_key_has_room_again_is_heard_and_used(bench: Bench, way: str):
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a")
    held = await bench.claim_one(lease_seconds=30)
    assert await bench.claim() == []
    ears = Ears(bench)
    if way == "expire":
        await bench.after(30)
    elif way == "raise":
        await bound(bench, key_concurrency=2)
    elif way == "end":
        await bound(bench)
    else:
        await getattr(bench, way)(held)
    assert ears.ready() == {("default", "PACK")}
    assert (await bench.claim_one()).payload == "a1"


@pytest.mark.parametrize("how", ["cancel", "later", "now"])
async def test_when_the_one_let_through_leaves_the_next_of_its_key_follows(bench: Bench, how: str):
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a", "a")
    held = await bench.claim_one()
    assert await bench.claim() == []
    await bench.finish(held)
    [first, _] = (await bench.engine.page(TaskQuery(states=("ready",)))).items
    await bench.after(1)
    ways = {
        "cancel": Cancel("default", first.id),
        "later": Reschedule("default", first.id, bench.clock.now() + 900),
        # Ready as before, but behind the other.
        "now": Reschedule("default", first.id, 0.0),
    }
    await bench.one(ways[how])
    assert await served(bench) == ["a2"]


async def test_within_one_claim_those_that_waited_for_their_key_are_served_in_their_order(
    bench: Bench,
):
    """Room for two of a key that came bit by bit: the second stands before what arrived later."""
    await bound(bench, key_rate=1.0, burst=2)
    await fill(bench, *"aaaa")
    assert await served(bench, 3, lease_seconds=900) == ["a0", "a1"]
    await bench.create(payload="later", key="b")
    await bench.after(1)
    await bench.after(1)
    assert await served(bench, 2, lease_seconds=900) == ["a2", "a3"]
    assert await served(bench, 2, lease_seconds=900) == ["later"]


async def test_a_bound_of_keys_holds_after_a_restart(bench: Bench):
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a", "b", "b")
    held = await bench.claim(count=10)
    assert await bench.claim() == []
    await bench.reopen()
    assert await bench.claim() == []
    await bench.finish(held[1])
    assert await served(bench) == ["b3"]


async def test_a_key_has_a_rate_of_its_own(bench: Bench):
    await bound(bench, key_rate=1.0)
    await fill(bench, "a", "a", "b", "a", "")
    assert await served(bench, lease_seconds=900) == ["a0", "b2", "4"]
    assert await bench.engine.due(bench.clock.now()) == pytest.approx(bench.clock.now() + 1)
    ears = Ears(bench)
    await bench.after(1)
    assert ears.ready() == {("default", "PACK")}
    assert await served(bench, lease_seconds=900) == ["a1"]
    await bench.after(1)
    assert await served(bench, lease_seconds=900) == ["a3"]


async def test_a_rate_of_keys_lets_its_tasks_through_after_a_restart(bench: Bench):
    await bound(bench, key_rate=0.01)
    await fill(bench, "a", "a")
    await bench.claim_one(lease_seconds=500)
    assert await bench.claim() == []
    await bench.reopen()
    await bench.move()
    assert len(await bench.claim(lease_seconds=500)) <= 1
    await bench.after(100)
    await bench.after(0)
    await bench.claim()
    assert [stats.ready for stats in await bench.engine.stats("PACK")] in ([], [0])


async def test_keys_are_one_queues_own(bench: Bench):
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a")
    await fill(bench, "a", "a", tenant="other")
    assert sorted(task.tenant for task in await bench.claim(count=9)) == [
        "default",
        "other",
        "other",
    ]


async def test_tasks_that_wait_for_their_key_are_counted_and_shown_as_ready(bench: Bench):
    start = bench.clock.now()
    await bound(bench, key_concurrency=1)
    await fill(bench, "a", "a", "a")
    await bench.claim_one()
    assert await bench.claim() == []
    [pack] = await bench.engine.stats("PACK")
    assert (pack.ready, pack.in_progress, pack.oldest_ready_at) == (2, 1, start)
    shown = (await bench.engine.page(TaskQuery(states=("ready",)))).items
    assert [task.payload for task in shown] == ["a1", "a2"]
    assert await bench.engine.audit(repair=False) == []


async def test_all_bounds_hold_together(bench: Bench):
    await bound(bench, concurrency=3, rate=10.0, burst=4, key_concurrency=2)
    await fill(bench, "a", "a", "a", "b", "b", "b", "c")
    assert await served(bench) == ["a0", "a1", "b3"]
    assert await served(bench) == []


async def test_strict_order_under_key_bounds_is_that_of_a_plain_sort(bench: Bench):
    """Fifty tasks of few keys, finished one at a time: each time the first one whose key is free."""
    await bound(bench, key_concurrency=1)
    waiting = []
    for number in range(50):
        task = await bench.create(
            payload=str(number), key="abcd"[number * 7 % 4], priority=number * 5 % 3
        )
        waiting.append(task)
    waiting.sort(key=lambda task: -task.priority)
    held: list[Task] = []
    while waiting or held:
        busy = {task.key for task in held}
        first = next((task for task in waiting if task.key not in busy), None)
        got = await bench.claim()
        assert [task.id for task in got] == ([first.id] if first else [])
        if first:
            waiting.remove(first)
            held += got
        else:
            await bench.finish(held.pop(len(waiting) % len(held)))
