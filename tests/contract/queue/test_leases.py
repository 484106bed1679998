"""Who may act on a task, and until when (decisions 1 and 2)."""

import pytest
from tests.contract.queue.conftest import Bench, Ears

from backstay.core.errors import Fault
from backstay.queue.model import ANY_TENANT, Policy, Task
from backstay.queue.operations import SetPolicy
from backstay.queue.store import Expired

ACTS = ("finish", "nack", "abandon", "extend")


def code(result: object) -> str:
    return result.entry.code if isinstance(result, Fault) else type(result).__name__


async def test_a_claim_leases_and_counts_a_delivery(bench: Bench):
    made = await bench.create()
    task = await bench.claim_one("anna", lease_seconds=30)
    assert (task.id, task.state, task.worker, task.attempts) == (made.id, "leased", "anna", 1)
    assert task.lease_until == bench.clock.now() + 30
    assert task.lease_token
    assert await bench.claim() == []


@pytest.mark.parametrize("act", ACTS)
async def test_the_holder_may_act_with_its_token_and_without(bench: Bench, act: str):
    for changes in ({}, {"token": ""}):
        await bench.create()
        task = await bench.claim_one()
        assert code(await getattr(bench, act)(task, **changes)) == "Task"


@pytest.mark.parametrize("act", ACTS)
async def test_a_wrong_token_is_refused(bench: Bench, act: str):
    await bench.create()
    task = await bench.claim_one()
    assert code(await getattr(bench, act)(task, token="stale")) == "QUEUE004"
    assert await bench.state(task) == "leased"


@pytest.mark.parametrize("act", ACTS)
async def test_another_worker_is_refused_with_and_without_a_token(bench: Bench, act: str):
    await bench.create()
    task = await bench.claim_one("anna")
    for token in ("", "guess", task.lease_token):
        assert code(await getattr(bench, act)(task, worker="bob", token=token)) == "QUEUE002"


@pytest.mark.parametrize("act", ACTS)
async def test_an_unknown_id_and_another_tenants_id_look_the_same(bench: Bench, act: str):
    await bench.create()
    task = await bench.claim_one()
    assert code(await getattr(bench, act)(task, id="nowhere")) == "QUEUE001"
    assert code(await getattr(bench, act)(task, tenant="other")) == "QUEUE001"
    assert code(await getattr(bench, act)(task, tenant=ANY_TENANT)) == "Task"


@pytest.mark.parametrize("act", ACTS)
async def test_late_with_its_token_before_the_task_moved_is_accepted(bench: Bench, act: str):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    bench.clock.advance_now(31)
    assert code(await getattr(bench, act)(task)) == "Task"


@pytest.mark.parametrize("act", ACTS)
async def test_late_without_a_token_is_refused(bench: Bench, act: str):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    bench.clock.advance_now(31)
    assert code(await getattr(bench, act)(task, token="")) == "QUEUE004"


@pytest.mark.parametrize("act", ACTS)
async def test_after_the_task_moved_even_its_token_is_refused(bench: Bench, act: str):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    await bench.after(31)
    assert await bench.state(task) == "ready"
    assert code(await getattr(bench, act)(task)) == "QUEUE003"
    again = await bench.claim_one()
    assert again.id == task.id
    assert code(await getattr(bench, act)(task)) == "QUEUE004"


async def test_a_living_lease_is_never_given_away_and_an_ended_one_is(bench: Bench):
    await bench.create()
    first = await bench.claim_one("anna", lease_seconds=30)
    await bench.after(29.9)
    assert await bench.claim("bob") == []
    assert await bench.after(0.2) == 1
    assert [task.id for task in await bench.claim("bob")] == [first.id]


async def test_a_first_lease_that_ends_puts_its_task_back_at_once(bench: Bench):
    """A worker that died says nothing about the task."""
    made = await bench.create()
    await bench.claim_one("anna", lease_seconds=30)
    ears = Ears(bench)
    await bench.after(30)
    found = await bench.engine.task("default", made.id)
    assert found is not None
    assert (found.state, found.due_at, found.worker) == ("ready", bench.clock.now(), "")
    assert (found.attempts, found.error) == (1, "LEASE_EXPIRED")
    assert ears.ready() == {("default", "PACK")}
    assert (await bench.claim_one("bob")).attempts == 2


async def test_each_lease_that_ends_alone_is_told_with_what_its_task_became(bench: Bench):
    made = await bench.create(max_attempts=3)
    ears = Ears(bench)
    for state in ("ready", "delayed", "dead"):
        task = await bench.claim_one("anna", lease_seconds=30)
        await bench.after(30)
        assert ears.expired() == [Expired(made.id, "PACK", "anna", task.attempts, state)]
        await bench.after(10)


async def test_from_the_second_lease_that_ends_the_policys_delay_is_waited_for(bench: Bench):
    """A task that kills its workers does not spin."""
    made = await bench.create()
    await bench.claim_one(lease_seconds=30)
    await bench.after(30)
    await bench.claim_one(lease_seconds=30)
    await bench.after(30)
    found = await bench.engine.task("default", made.id)
    assert found is not None
    assert (found.state, found.due_at) == ("delayed", bench.clock.now() + 10)
    await bench.after(9.9)
    assert await bench.claim() == []
    await bench.after(0.2)
    assert (await bench.claim_one()).attempts == 3


async def test_what_was_handed_back_unworked_was_no_delivery_to_lose(bench: Bench):
    made = await bench.create()
    await bench.abandon(await bench.claim_one())
    await bench.after(1)
    await bench.claim_one(lease_seconds=30)
    await bench.after(30)
    assert await bench.state(made) == "ready"


async def test_a_lease_that_ends_after_a_failure_waits_like_one(bench: Bench):
    made = await bench.create()
    await bench.nack(await bench.claim_one(), delay=1.0)
    await bench.after(1)
    await bench.claim_one(lease_seconds=30)
    await bench.after(30)
    assert await bench.state(made) == "delayed"


async def test_a_key_that_a_dead_worker_held_is_free_for_one_task_again(bench: Bench):
    await bench.one(SetPolicy(Policy("default", "PACK", key_concurrency=1)))
    made = {(await bench.create(key="a")).id for _ in range(2)}
    await bench.claim_one(lease_seconds=30)
    assert await bench.claim() == []
    await bench.after(30)
    [held] = await bench.claim(count=2)
    await bench.finish(held)
    [other] = await bench.claim(count=2)
    assert {held.id, other.id} == made


async def test_a_heartbeat_moves_the_end_of_the_lease(bench: Bench):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    bench.clock.advance_now(20)
    await bench.extend(task, 30)
    await bench.after(20)
    assert await bench.state(task) == "leased"
    await bench.after(10.1)
    assert await bench.state(task) == "ready"


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_a_jump_of_the_wall_clock_ends_no_lease(bench: Bench, jump: float):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    bench.clock.jump(jump)
    await bench.after(29)
    assert await bench.state(task) == "leased"
    assert code(await bench.finish(task, token="")) == "Task"


async def test_what_is_left_of_a_lease_is_recomputed_at_the_next_start(bench: Bench):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    bench.clock.advance_now(10)
    await bench.reopen()
    await bench.after(19)
    assert await bench.state(task) == "leased"
    await bench.after(1.1)
    assert await bench.state(task) == "ready"


async def test_a_jump_while_it_was_down_gives_a_lease_its_length_at_most(bench: Bench):
    await bench.create()
    task = await bench.claim_one(lease_seconds=30)
    bench.clock.jump(-86_400)
    await bench.reopen()
    await bench.after(30.1)
    assert await bench.state(task) == "ready"


async def test_due_tells_when_time_has_work_next(bench: Bench):
    assert await bench.engine.due(bench.clock.now()) is None
    start = bench.clock.now()
    await bench.create(due_at=start + 100)
    assert await bench.engine.due(bench.clock.now()) == start + 100
    await bench.create("OTHER")
    await bench.claim_one(commands=("OTHER",), lease_seconds=30)
    bench.clock.advance_now(10)
    assert await bench.engine.due(bench.clock.now()) == pytest.approx(start + 30)


# --- deliveries ------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3])
async def test_max_attempts_counts_deliveries_that_fail(bench: Bench, limit: int):
    made = await bench.create(max_attempts=limit)
    for delivery in range(1, limit + 1):
        task = await bench.claim_one()
        assert task.attempts == delivery
        assert await bench.state(made) == "leased"
        await bench.nack(task, reason=f"try {delivery}")
        await bench.after(10)
    assert await bench.claim() == []
    dead = await bench.engine.task("default", made.id)
    assert dead is not None
    assert (dead.state, dead.attempts, dead.error) == ("dead", limit, f"try {limit}")


async def test_max_attempts_counts_leases_that_end_alone(bench: Bench):
    made = await bench.create(max_attempts=2)
    for _ in range(2):
        await bench.claim_one(lease_seconds=5)
        await bench.after(5)
        await bench.after(10)
    dead = await bench.engine.task("default", made.id)
    assert dead is not None
    assert (dead.state, dead.error) == ("dead", "LEASE_EXPIRED")


async def test_abandon_gives_the_delivery_back_after_a_second(bench: Bench):
    await bench.create(max_attempts=1)
    for _ in range(3):
        task = await bench.claim_one()
        assert task.attempts == 1
        back = await bench.abandon(task)
        assert isinstance(back, Task)
        assert back.attempts == 0
        await bench.after(0.9)
        assert await bench.claim() == []
        await bench.after(0.2)


async def test_a_nack_waits_the_policys_delay_or_the_one_it_names(bench: Bench):
    await bench.create()
    for named, waits in ((None, 10.0), (3.0, 3.0)):
        task = await bench.claim_one()
        put_off = await bench.nack(task, delay=named)
        assert isinstance(put_off, Task)
        assert put_off.due_at == bench.clock.now() + waits
        assert put_off.error == "broke"
        await bench.after(waits - 0.1)
        assert await bench.claim() == []
        await bench.after(0.2)


# --- ends ------------------------------------------------------------------------------------


async def test_a_result_ends_the_task_for_good(bench: Bench):
    await bench.create()
    task = await bench.claim_one()
    done = await bench.finish(task)
    assert isinstance(done, Task)
    assert (done.state, done.result, done.ended_at) == ("completed", '{"n":1}', bench.clock.now())
    assert code(await bench.nack(task)) == "QUEUE003"
    assert code(await bench.cancel(task)) == "QUEUE003"
    await bench.after(100)
    assert await bench.claim() == []


async def test_a_failed_result_is_terminal_but_no_dead_letter(bench: Bench):
    await bench.create()
    task = await bench.claim_one()
    await bench.finish(task, ok=False, result="", error="card declined")
    assert await bench.state(task) == "failed"
    assert [stats.dead for stats in await bench.engine.stats(None)] == []


async def test_the_same_result_again_is_answered_as_the_first_time(bench: Bench):
    await bench.create()
    task = await bench.claim_one()
    first = await bench.finish(task)
    bench.clock.advance_now(5)
    assert await bench.finish(task) == first
    assert code(await bench.finish(task, result='{"n":2}')) == "QUEUE003"
    assert code(await bench.finish(task, ok=False, error="no")) == "QUEUE003"


@pytest.mark.parametrize("state", ["ready", "delayed", "leased"])
async def test_cancel_ends_what_has_not_ended(bench: Bench, state: str):
    made = await bench.create(due_at=bench.clock.now() + 50 if state == "delayed" else 0)
    held = await bench.claim() if state == "leased" else []
    assert await bench.state(made) == state
    assert code(await bench.cancel(made, "changed my mind")) == "Task"
    assert code(await bench.cancel(made)) == "Task"
    for task in held:
        assert code(await bench.finish(task)) == "QUEUE003"
    await bench.after(100)
    assert await bench.claim() == []
