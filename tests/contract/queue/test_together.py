"""Many results at once: each is judged as it would be alone, whatever its neighbours are."""

from pathlib import Path

import pytest
from tests.contract.queue.conftest import ENGINES, Bench
from tests.queue.together import TogetherEngine

from backstay.core.errors import Fault
from backstay.queue.model import Policy, Task
from backstay.queue.operations import Claim, Finish, FinishAll, Finished, OpResult, SetPolicy


def result(task: Task, **changes: object) -> Finish:
    hold = {
        "tenant": task.tenant,
        "id": task.id,
        "worker": task.worker,
        "token": task.lease_token,
        "ok": True,
        "result": '{"n":1}',
    }
    return Finish(**{**hold, **changes})  # type: ignore[arg-type]


async def ended(bench: Bench, *items: Finish) -> list[OpResult]:
    """As a face asks: what came of each, in the order of the results."""
    finished = await bench.one(FinishAll(items))
    assert isinstance(finished, Finished)
    told: list[OpResult] = []
    for at, item in enumerate(items):
        if at in finished.others:
            told.append(finished.others[at])
            continue
        task = await bench.engine.task("*", item.id)
        assert task is not None
        assert (task.state, task.ended_at) == ("completed", finished.at)
        told.append(task)
    plain = len(items) - len(finished.others)
    assert sum(len(times) for times in finished.created.values()) == plain
    return told


async def test_each_of_many_results_is_stored(bench: Bench):
    made = [await bench.create(reply_to="app" if n == 3 else "") for n in range(6)]
    tasks = await bench.claim(count=6)
    items = [result(task, result=f'{{"n":{n}}}') for n, task in enumerate(tasks)]
    told = await ended(bench, *items)
    assert [each.result for each in told if isinstance(each, Task)] == [i.result for i in items]
    assert [await bench.state(task) for task in made] == ["completed"] * 6
    assert await bench.claim(count=6) == []


async def test_a_refused_result_leaves_its_neighbours_standing(bench: Bench):
    for _ in range(5):
        await bench.create()
    tasks = await bench.claim(count=5)
    told = await ended(
        bench,
        result(tasks[0]),
        result(tasks[1], token="old"),
        result(tasks[2], id="unknown"),
        result(tasks[3], tenant="other"),
        result(tasks[4], ok=False, error="broke", result=""),
    )
    refused = [each.entry.code if isinstance(each, Fault) else each.state for each in told]  # type: ignore[union-attr]
    assert refused == ["completed", "QUEUE004", "QUEUE001", "QUEUE001", "failed"]
    states = [await bench.state(task) for task in tasks]
    assert states == ["completed", "leased", "leased", "leased", "failed"]


async def test_the_first_of_two_results_for_one_task_counts(bench: Bench):
    await bench.create()
    [task] = await bench.claim()
    told = await ended(bench, result(task, ok=False, error="no", result=""), result(task))
    assert isinstance(told[0], Task)
    assert told[0].state == "failed"
    assert isinstance(told[1], Fault)
    assert await bench.state(task) == "failed"


@pytest.mark.parametrize("late_first", [True, False])
async def test_two_results_for_one_task_are_judged_by_their_tokens(bench: Bench, late_first: bool):
    await bench.create()
    await bench.create()
    [task, other] = await bench.claim(count=2)
    pair = [result(task, token="old"), result(task)]
    told = await ended(bench, *(pair if late_first else reversed(pair)), result(other))
    assert [isinstance(each, Fault) for each in told] == [late_first, not late_first, False]
    assert [await bench.state(each) for each in (task, other)] == ["completed", "completed"]


async def test_the_same_results_again_are_answered_as_the_first_time(bench: Bench):
    for _ in range(3):
        await bench.create()
    tasks = await bench.claim(count=3)
    items = [result(task) for task in tasks]
    first = await ended(bench, *items)
    await bench.after(1.0)
    assert await ended(bench, *items) == first


@pytest.mark.parametrize(
    ("fields", "size"),
    [({"webhook": "http://there/"}, 10), ({}, 5000), ({"reply_to": "app"}, 10), ({"key": "k"}, 10)],
    ids=["webhook", "large", "reply_to", "key"],
)
async def test_what_hangs_on_a_task_happens_for_each_of_many(
    bench: Bench, fields: dict[str, object], size: int
):
    for _ in range(3):
        await bench.create(**fields)
    tasks = await bench.claim(count=3)
    text = f'{{"n":"{"x" * size}"}}'
    told = await ended(bench, *(result(task, result=text) for task in tasks))
    assert [each.result for each in told if isinstance(each, Task)] == [text] * 3
    calls = await bench.engine.deliveries(None, given_up=False, limit=10)
    assert len(calls) == (3 if "webhook" in fields else 0)


async def test_many_results_make_room_under_a_policy(bench: Bench):
    await bench.one(SetPolicy(Policy("default", "PACK", concurrency=2)))
    for _ in range(4):
        await bench.create()
    tasks = await bench.claim(count=4)
    assert len(tasks) == 2
    await ended(bench, *map(result, tasks))
    assert len(await bench.claim(count=4)) == 2


async def test_results_and_the_next_claim_are_one_commit(bench: Bench):
    for _ in range(4):
        await bench.create()
    tasks = await bench.claim(count=2)
    items = tuple(map(result, tasks))
    claim = Claim("w", ("next-0", "next-1", "next-2"), 60.0, count=3)
    _, taken = await bench.engine.apply([FinishAll(items), claim], bench.clock.now())
    assert isinstance(taken, list)
    assert [task.lease_token for task in taken if isinstance(task, Task)] == ["next-0", "next-1"]


async def test_nothing_at_all_is_fine(bench: Bench):
    assert await ended(bench) == []


async def test_the_batch_is_really_done_as_one(tmp_path: Path):
    """Else the suites over `TogetherEngine` would judge the other way a second time."""
    bench = Bench(ENGINES["sqlite, together"](tmp_path))
    engine = bench.engine
    assert isinstance(engine, TogetherEngine)
    await engine.open()
    for _ in range(3):
        await bench.create()
    tasks = await bench.claim(count=3)
    assert engine.together == 3
    await engine.apply([result(task) for task in tasks], bench.clock.now())
    assert engine.together == 6
    await engine.close()
