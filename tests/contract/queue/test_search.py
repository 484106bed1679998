"""Finding tasks: all that is asked for must hold, in either order, page by page."""

import pytest
from tests.contract.queue.conftest import Bench

from backstay.queue.model import ANY_TENANT, State, Task, TaskQuery
from backstay.queue.operations import Purge


async def found(bench: Bench, **query: object) -> list[str]:
    """Payloads of all pages, three at a time."""
    seen: list[str] = []
    after = ""
    while True:
        page = await bench.engine.page(TaskQuery(after=after, limit=3, **query))
        seen += [task.payload for task in page.items]
        after = page.next
        if not after:
            return seen


async def each_state(bench: Bench, tenant: str = "default") -> None:
    """One task in each state, called by it."""
    for state in ("completed", "failed", "dead", "cancelled", "leased"):
        await bench.create("DO", tenant=tenant, payload=state, max_attempts=1)
        task = await bench.claim_one(tenants=(tenant,), lease_seconds=900)
        if state == "completed":
            await bench.finish(task)
        elif state == "failed":
            await bench.finish(task, ok=False, error="no")
        elif state == "dead":
            await bench.nack(task)
        elif state == "cancelled":
            await bench.cancel(task)
    await bench.create("DO", tenant=tenant, payload="delayed", due_at=bench.clock.now() + 900)
    await bench.create("DO", tenant=tenant, payload="ready")


STATES: tuple[State, ...] = (
    "completed",
    "failed",
    "dead",
    "cancelled",
    "leased",
    "delayed",
    "ready",
)


@pytest.mark.parametrize("state", STATES)
async def test_by_state(bench: Bench, state: State):
    await each_state(bench)
    await each_state(bench, "other")
    assert await found(bench, states=(state,)) == [state, state]
    assert await found(bench, tenant="other", command="DO", states=(state,)) == [state]
    assert await found(bench, command="DONE", states=(state,)) == []


async def test_by_several_states_newest_first(bench: Bench):
    await each_state(bench)
    wanted: tuple[State, ...] = ("dead", "ready", "completed", "delayed")
    assert await found(bench, states=wanted, newest_first=True) == [
        "ready",
        "delayed",
        "dead",
        "completed",
    ]


async def test_by_tag_in_any_state_and_only_by_the_whole_tag(bench: Bench):
    for number in range(8):
        tags = ("even",) if number % 2 == 0 else ("odd", "eve")
        await bench.create(payload=str(number), tags=(*tags, "all"), priority=number)
    await bench.finish(await bench.claim_one())
    assert await found(bench, tag="even") == ["0", "2", "4", "6"]
    assert await found(bench, tag="eve", newest_first=True) == ["7", "5", "3", "1"]
    assert await found(bench, tag="all", states=("completed",)) == ["7"]
    assert await found(bench, tag="even", tenant="other") == []
    assert await found(bench, tag="ev%") == []


async def test_the_same_tag_twice_is_one(bench: Bench):
    await bench.create(payload="x", tags=("t", "t"))
    assert await found(bench, tag="t") == ["x"]


async def test_a_tag_goes_with_its_task(bench: Bench):
    await bench.create(tags=("t",))
    await bench.finish(await bench.claim_one())
    await bench.after(3601)
    assert await found(bench, tag="t") == []
    assert await bench.engine.audit(repair=False) == []


async def test_by_key_and_by_worker(bench: Bench):
    for number in range(7):
        await bench.create(payload=str(number), key="ab"[number % 2])
    await bench.claim(worker="anna", count=3)
    assert await found(bench, key="a") == ["0", "2", "4", "6"]
    assert await found(bench, key="a", newest_first=True) == ["6", "4", "2", "0"]
    assert await found(bench, worker="anna") == ["0", "1", "2"]
    assert await found(bench, worker="anna", key="b") == ["1"]
    assert await found(bench, worker="bob") == []


async def test_by_age(bench: Bench):
    start = bench.clock.now()
    for number in range(5):
        await bench.create(payload=str(number))
        bench.clock.advance_now(10)
    assert await found(bench, created_after=start + 10) == ["2", "3", "4"]
    assert await found(bench, created_before=start + 10) == ["0"]
    assert await found(bench, created_after=start, created_before=start + 30) == ["1", "2"]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_do_not_lose_or_repeat_what_was_there_while_others_come(
    bench: Bench, newest_first: bool
):
    made = [(await bench.create(payload=str(number))).id for number in range(10)]
    seen: list[str] = []
    after = ""
    while True:
        query = TaskQuery(after=after, limit=3, newest_first=newest_first)
        page = await bench.engine.page(query)
        seen += [task.id for task in page.items]
        after = page.next
        if not after:
            break
        await bench.create(payload="later")
    old = [each for each in seen if each in made]
    assert old == (made[::-1] if newest_first else made)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_outcomes_come_in_the_order_of_their_end(bench: Bench, newest_first: bool):
    for number in range(5):
        await bench.create(payload=str(number), reply_to="app")
    held = await bench.claim(count=5)
    for task in (held[3], held[0], held[4], held[1], held[2]):
        await bench.finish(task)
        bench.clock.advance_now(1)
    ends = ["3", "0", "4", "1", "2"]
    expected = ends[::-1] if newest_first else ends
    assert await found(bench, reply_to="app", newest_first=newest_first) == expected


async def test_purge_takes_only_the_states_it_names(bench: Bench):
    await each_state(bench)
    bench.clock.advance_now(1)
    now = bench.clock.now()
    assert await bench.one(Purge(ANY_TENANT, "DO", now, states=("dead", "cancelled"))) == 2
    assert await found(bench) == ["completed", "failed", "leased", "delayed", "ready"]
    assert await bench.one(Purge("other", "DO", now)) == 0
    assert await bench.one(Purge("default", "DO", now, limit=1)) == 1
    assert await bench.one(Purge("default", "", now)) == 1
    assert await found(bench) == ["leased", "delayed", "ready"]


async def test_purge_makes_an_idempotency_key_free_again(bench: Bench):
    first = await bench.create(idempotency_key="k", fingerprint="f")
    await bench.finish(await bench.claim_one())
    bench.clock.advance_now(1)
    await bench.one(Purge(ANY_TENANT, "", bench.clock.now()))
    again = await bench.create(idempotency_key="k", fingerprint="g")
    assert isinstance(again, Task)
    assert again.id != first.id
