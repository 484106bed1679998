"""What is served, in which order, to whom; and what a task's end leaves behind."""

import pytest
from tests.contract.queue.conftest import Bench

from backstay.core.errors import Fault
from backstay.queue.model import Task, TaskQuery
from backstay.queue.operations import Ack, Create, Purge, Redrive


async def served(bench: Bench, count: int = 100, **claim: object) -> list[str]:
    """Payloads in the order of their delivery, one claim at a time."""
    found = []
    for _ in range(count):
        tasks = await bench.claim(**claim)
        if not tasks:
            break
        found += [task.payload for task in tasks]
    return found


async def test_priority_first_then_arrival(bench: Bench):
    for name, priority in (("a", 0), ("b", 9), ("c", 0), ("d", 9), ("e", 5)):
        await bench.create(payload=name, priority=priority)
        bench.clock.advance_now(1)
    assert await served(bench) == ["b", "d", "e", "a", "c"]


async def test_arrival_decides_inside_one_instant_and_one_batch(bench: Bench):
    ops = [Create(f"n{n}", "default", "PACK", str(n)) for n in range(20)]
    await bench.engine.apply(ops, bench.clock.now())
    assert await served(bench) == [str(n) for n in range(20)]


async def test_a_due_task_stands_by_its_due_time(bench: Bench):
    now = bench.clock.now()
    await bench.create(payload="late", due_at=now + 20)
    await bench.create(payload="soon", due_at=now + 10)
    await bench.create(payload="now")
    bench.clock.advance_now(15)
    await bench.create(payload="after soon")
    await bench.after(10)
    assert await served(bench) == ["now", "soon", "after soon", "late"]


async def test_a_delayed_task_is_not_served_before_its_time(bench: Bench):
    await bench.create(due_at=bench.clock.now() + 10)
    await bench.after(9.9)
    assert await bench.claim() == []
    await bench.after(0.2)
    assert len(await bench.claim()) == 1


async def test_a_requeued_task_keeps_its_arrival_number(bench: Bench):
    await bench.create(payload="first")
    task = await bench.claim_one()
    await bench.nack(task, delay=5.0)
    bench.clock.advance_now(5)
    await bench.create(payload="second")
    await bench.move()
    assert await served(bench) == ["first", "second"]


async def test_given_commands_are_an_order_of_preference(bench: Bench):
    for command in ("C", "A", "B"):
        for n in (1, 2):
            await bench.create(command, payload=f"{command}{n}")
    assert await served(bench, commands=("B", "A")) == ["B1", "B2", "A1", "A2"]


async def test_without_commands_they_take_turns(bench: Bench):
    for command in ("A", "B", "C"):
        for n in (1, 2):
            await bench.create(command, payload=f"{command}{n}")
    found = await served(bench)
    assert sorted(found[:3]) == ["A1", "B1", "C1"]
    assert sorted(found[3:]) == ["A2", "B2", "C2"]


async def test_commands_keep_their_case(bench: Bench):
    await bench.create("Render")
    assert await bench.claim(commands=("RENDER",)) == []
    assert len(await bench.claim(commands=("Render",))) == 1


async def test_tenants_take_turns_when_all_are_served(bench: Bench):
    for _ in range(30):
        await bench.create(tenant="loud", payload="loud", priority=9)
    for _ in range(3):
        await bench.create(tenant="quiet", payload="quiet")
    assert (await served(bench, count=6)).count("quiet") == 3


async def test_a_batch_is_shared_between_tenants_too(bench: Bench):
    for tenant in ("a", "b", "c"):
        for _ in range(10):
            await bench.create(tenant=tenant, payload=tenant)
    found = [task.payload for task in await bench.claim(count=9)]
    assert {tenant: found.count(tenant) for tenant in "abc"} == {"a": 3, "b": 3, "c": 3}
    assert len(await bench.claim(count=50)) == 21


async def test_a_tenant_is_served_its_own_tasks_only(bench: Bench):
    await bench.create(tenant="a", payload="a")
    await bench.create(tenant="b", payload="b")
    assert await served(bench, tenants=("b",)) == ["b"]
    assert await served(bench, tenants=("c",)) == []


async def test_a_claim_over_everything_finds_work_of_before_the_restart(bench: Bench):
    await bench.create("A", tenant="x", payload="A")
    await bench.create("B", tenant="y", payload="B")
    await bench.reopen()
    assert sorted(await served(bench)) == ["A", "B"]


# --- idempotency -----------------------------------------------------------------------------


async def test_the_same_key_is_the_same_task_also_after_its_end(bench: Bench):
    first = await bench.create(idempotency_key="k", fingerprint="f")
    again = await bench.create(idempotency_key="k", fingerprint="f")
    assert again == first
    await bench.finish(await bench.claim_one())
    assert (await bench.create(idempotency_key="k", fingerprint="f")).id == first.id
    assert await bench.claim() == []


async def test_a_key_with_another_body_is_refused(bench: Bench):
    await bench.create(idempotency_key="k", fingerprint="f")
    clash = Create("x", "default", "PACK", "{}", idempotency_key="k", fingerprint="g")
    result = await bench.one(clash)
    assert isinstance(result, Fault)
    assert (result.entry.code, result.entry.status) == ("QUEUE005", 409)


async def test_a_key_is_one_tenants_and_one_commands(bench: Bench):
    tasks = [
        await bench.create(command, tenant=tenant, idempotency_key="k")
        for command, tenant in (("A", "x"), ("B", "x"), ("A", "y"))
    ]
    assert len({task.id for task in tasks}) == 3


async def test_a_refused_operation_leaves_its_neighbours_in_the_batch_alone(bench: Bench):
    await bench.create(idempotency_key="k", fingerprint="f")
    ops = [
        Create("n1", "default", "PACK", "1"),
        Create("n2", "default", "PACK", "2", idempotency_key="k", fingerprint="g"),
        Create("n3", "default", "PACK", "3"),
    ]
    results = await bench.engine.apply(ops, bench.clock.now())
    assert [type(result) for result in results] == [Task, Fault, Task]
    assert await served(bench) == ["{}", "1", "3"]


# --- replies, retention, looking on ----------------------------------------------------------


async def outcomes(bench: Bench, name: str = "app") -> list[tuple[str, str]]:
    page = await bench.engine.page(TaskQuery(reply_to=name))
    return [(task.payload, task.state) for task in page.items]


async def test_every_kind_of_end_waits_for_its_reader_until_acknowledged(bench: Bench):
    for name in ("done", "failed", "dead", "cancelled", "open"):
        await bench.create(name, payload=name, reply_to="app", max_attempts=1)
    await bench.create("other", payload="other", reply_to="another app")
    await bench.finish(await bench.claim_one(commands=("done",)))
    await bench.finish(await bench.claim_one(commands=("failed",)), ok=False, error="no")
    await bench.nack(await bench.claim_one(commands=("dead",)))
    [open_] = (await bench.engine.page(TaskQuery(command="cancelled"))).items
    await bench.cancel(open_)
    expected = [
        ("done", "completed"),
        ("failed", "failed"),
        ("dead", "dead"),
        ("cancelled", "cancelled"),
    ]
    assert await outcomes(bench) == expected
    await bench.reopen()
    assert await outcomes(bench) == expected
    [first, *_] = (await bench.engine.page(TaskQuery(reply_to="app"))).items
    assert await bench.one(Ack("*", "another app", (first.id,))) == 0
    assert await bench.one(Ack("*", "app", (first.id, "unknown"))) == 1
    assert await bench.one(Ack("*", "app", (first.id,))) == 0
    assert await outcomes(bench) == expected[1:]


async def test_a_lease_that_ends_at_the_last_delivery_is_an_outcome_too(bench: Bench):
    await bench.create(payload="x", reply_to="app", max_attempts=1)
    await bench.claim_one(lease_seconds=5)
    await bench.after(5)
    assert await outcomes(bench) == [("x", "dead")]


async def test_ended_tasks_go_after_retention_unless_somebody_waits_for_them(bench: Bench):
    plain = await bench.create(idempotency_key="k")
    await bench.finish(await bench.claim_one())
    awaited = await bench.create(reply_to="app")
    await bench.finish(await bench.claim_one())
    await bench.after(3599)
    assert await bench.state(plain) == "completed"
    await bench.after(1.1)
    assert await bench.state(plain) == "gone"
    assert await bench.state(awaited) == "completed"
    await bench.one(Ack("*", "app", (awaited.id,)))
    await bench.after(1)
    assert await bench.state(awaited) == "gone"
    assert await bench.engine.audit(repair=False) == []


async def test_retention_counts_from_the_end_not_from_the_creation(bench: Bench):
    task = await bench.create(due_at=bench.clock.now() + 10_000)
    await bench.after(9_999)
    assert await bench.state(task) == "delayed"


async def test_purge_takes_ended_tasks_of_one_command(bench: Bench):
    for command in ("A", "B"):
        await bench.create(command)
        await bench.finish(await bench.claim_one(commands=(command,)))
        await bench.create(command)
    bench.clock.advance_now(1)
    assert await bench.one(Purge("default", "A", bench.clock.now())) == 1
    left = (await bench.engine.page(TaskQuery())).items
    assert sorted((task.command, task.state) for task in left) == [
        ("A", "ready"),
        ("B", "completed"),
        ("B", "ready"),
    ]


async def test_a_dead_letter_can_be_driven_again(bench: Bench):
    await bench.create(max_attempts=1)
    task = await bench.claim_one()
    await bench.nack(task)
    assert await bench.state(task) == "dead"
    await bench.one(Redrive("default", task.id))
    again = await bench.claim_one()
    assert (again.id, again.attempts, again.error) == (task.id, 1, "")


async def test_stats_are_right_in_each_state_and_per_tenant(bench: Bench):
    now = bench.clock.now()
    for tenant in ("a", "b"):
        await bench.create(tenant=tenant, max_attempts=1)
        await bench.nack(await bench.claim_one(tenants=(tenant,)))
        for _ in range(2):
            await bench.create(tenant=tenant)
        await bench.claim_one(tenants=(tenant,))
        await bench.create(tenant=tenant, due_at=now + 50)
    for stats in await bench.engine.stats("PACK"):
        assert (stats.ready, stats.delayed, stats.in_progress, stats.dead) == (1, 1, 1, 1)
        assert stats.oldest_ready_at == now
        assert stats.last_claim_at == 0 or stats.last_claim_at == now
    assert [stats.tenant for stats in await bench.engine.stats(None)] == ["a", "b"]
    assert await bench.engine.stats("NONE") == []


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_show_every_task_once_in_the_order_of_arrival(bench: Bench, limit: int):
    made = [(await bench.create(payload=str(n))).id for n in range(7)]
    seen: list[str] = []
    after = ""
    while True:
        page = await bench.engine.page(TaskQuery(tenant="default", after=after, limit=limit))
        seen += [task.id for task in page.items]
        after = page.next
        if not after:
            break
    assert seen == made


async def test_a_cursor_that_no_page_gave_is_refused(bench: Bench):
    with pytest.raises(Fault) as caught:
        await bench.engine.page(TaskQuery(after="nonsense"))
    assert caught.value.entry.code == "QUEUE018"


async def test_what_was_answered_is_there_after_a_restart(bench: Bench):
    tasks = [await bench.create(payload=str(n), priority=n % 3) for n in range(30)]
    held = await bench.claim(count=10)
    await bench.finish(held[0])
    before = [await bench.engine.task("default", task.id) for task in tasks]
    await bench.reopen()
    assert [await bench.engine.task("default", task.id) for task in tasks] == before


async def test_when_a_tenants_queue_was_last_asked_tells_nothing_of_other_tenants(bench: Bench):
    """Whoever serves all tenants asks for each."""
    for tenant in ("a", "b"):
        await bench.create(tenant=tenant)
        await bench.create(tenant=tenant)

    async def asked() -> list[float]:
        return [stats.last_claim_at for stats in await bench.engine.stats("PACK")]

    began = bench.clock.now()
    assert await asked() == [0.0, 0.0]
    await bench.claim(commands=("PACK",), tenants=("b",))
    assert await asked() == [0.0, began]
    bench.clock.advance_now(5)
    await bench.claim(commands=("PACK",), tenants=("nobody",))
    assert await asked() == [0.0, began]
    await bench.claim()
    assert await asked() == [0.0, began], "a claim of any command is no interest in one"
    await bench.claim(commands=("PACK",))
    assert await asked() == [began + 5, began + 5]
