"""What was asked is done once, also when its answer is lost on the way and it is asked again."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.queue.redis.conftest import RULES, engine_on
from tests.queue.redis.lossy import LossyRoad
from tests.servers.valkey import RedisServer

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.errors import Fault
from backstay.queue.model import Periodic, Subscription, Task
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Fire,
    Nack,
    Op,
    OpResult,
    Redrive,
    Reschedule,
    SetPeriodic,
    Subscribe,
    TakeNotices,
)
from backstay.queue.store.lua import APPLY
from backstay.queue.store.redis import RedisEngine
from backstay.queue.store.redis_address import RedisAddress, RedisStore
from backstay.queue.store.redis_layout import CHANNEL, keys_of

CLOCK = SystemClock()
NEW = Uuid7(CLOCK).new


class Lossy:
    """An engine behind a road that loses answers on demand."""

    def __init__(self, engine: RedisEngine, road: LossyRoad) -> None:
        self.engine = engine
        self._road = road

    async def do(self, *ops: Op) -> list[OpResult]:
        return await self.engine.apply(ops, CLOCK.now())

    async def lose(self, *ops: Op) -> list[OpResult]:
        """The same, with the first answer lost."""
        before = self._road.lost
        self._road.lose()
        results = await self.do(*ops)
        assert self._road.lost == before + 1
        return results

    async def held(self, **fields: object) -> Task:
        await self.do(Create(NEW(), "default", "PACK", "{}", **fields))
        [tasks] = await self.do(Claim("w", (NEW(),), 60.0, ("PACK",)))
        assert isinstance(tasks, list)
        [task] = tasks
        assert isinstance(task, Task)
        return task

    async def now(self, task: Task) -> Task:
        found = await self.engine.task("*", task.id)
        assert found is not None
        return found


@pytest.fixture
async def lossy(store: RedisServer) -> AsyncIterator[Lossy]:
    async with LossyRoad(store) as road:
        where = RedisStore(RedisAddress.parse(road.address))
        engine = RedisEngine(where, RULES, CLOCK, SystemDice(), Uuid7(CLOCK))
        await engine.open()
        yield Lossy(engine, road)
        await engine.close()


def hold(task: Task) -> dict[str, str]:
    return {
        "tenant": task.tenant,
        "id": task.id,
        "worker": task.worker,
        "token": task.lease_token,
    }


async def test_a_created_task_is_there_once(lossy: Lossy):
    ops = [Create(NEW(), "default", "PACK", str(n)) for n in range(5)]
    made = await lossy.lose(*ops)
    [stats] = await lossy.engine.stats("PACK")
    assert stats.ready == 5
    assert [task.payload for task in made if isinstance(task, Task)] == list("01234")


async def test_a_claim_gives_the_tasks_it_leased_the_first_time(lossy: Lossy):
    await lossy.do(*(Create(NEW(), "default", "PACK", str(n)) for n in range(5)))
    tokens = (NEW(), NEW())
    [tasks] = await lossy.lose(Claim("w", tokens, 60.0, ("PACK",), count=2))
    assert isinstance(tasks, list)
    assert [(task.payload, task.lease_token) for task in tasks if isinstance(task, Task)] == [
        ("0", tokens[0]),
        ("1", tokens[1]),
    ]
    [stats] = await lossy.engine.stats("PACK")
    assert (stats.ready, stats.in_progress) == (3, 2)


@pytest.mark.parametrize("shown", [True, False])
async def test_a_result_counts_once_and_is_answered_well(lossy: Lossy, shown: bool):
    task = await lossy.held()
    fields = hold(task) if shown else {**hold(task), "token": ""}
    [done] = await lossy.lose(Finish(**fields, ok=True, result='{"n":1}'))
    assert isinstance(done, Task)
    assert (done.state, done.result) == ("completed", '{"n":1}')


async def test_a_failed_attempt_counts_once(lossy: Lossy):
    task = await lossy.held()
    [back] = await lossy.lose(Nack(**hold(task), reason="broke", delay=60.0))
    assert isinstance(back, Task)
    assert (back.state, back.attempts, back.error) == ("delayed", 1, "broke")
    assert [each.outcome for each in await lossy.engine.attempts("*", task.id)] == ["nacked"]


async def test_the_last_attempt_that_failed_is_a_dead_letter(lossy: Lossy):
    task = await lossy.held(max_attempts=1, webhook="http://127.0.0.1/hook")
    [dead] = await lossy.lose(Nack(**hold(task), reason="broke"))
    assert isinstance(dead, Task)
    assert dead.state == "dead"
    waiting = await lossy.engine.deliveries(None, given_up=False, limit=9)
    assert len(waiting) == 1


async def test_a_delivery_is_given_back_once(lossy: Lossy):
    task = await lossy.held()
    [back] = await lossy.lose(Abandon(**hold(task)))
    assert isinstance(back, Task)
    assert (back.state, back.attempts) == ("delayed", 0)


async def test_a_heartbeat_and_a_cancel_may_come_twice(lossy: Lossy):
    task = await lossy.held()
    [longer] = await lossy.lose(Extend(**hold(task), seconds=600.0))
    assert isinstance(longer, Task)
    assert longer.lease_until - task.lease_until > 500
    [gone] = await lossy.lose(Cancel("default", task.id, "enough"))
    assert isinstance(gone, Task)
    assert (gone.state, gone.error) == ("cancelled", "enough")


async def test_a_redrive_and_a_reschedule_are_done_once(lossy: Lossy):
    task = await lossy.held()
    await lossy.do(Finish(**hold(task), ok=False, error="no"))
    later = CLOCK.now() + 900
    [again] = await lossy.lose(Redrive("default", task.id, later))
    assert isinstance(again, Task)
    assert (again.state, again.due_at) == ("delayed", later)
    assert len(await lossy.engine.attempts("*", task.id)) == 1
    [now] = await lossy.lose(Reschedule("default", task.id))
    assert isinstance(now, Task)
    assert now.state == "ready"


async def test_the_calendar_makes_one_task(lossy: Lossy):
    at = CLOCK.now()
    await lossy.do(SetPeriodic(Periodic("default", "nightly", "PACK", "{}", "@daily", next_at=at)))
    task = Create(NEW(), "default", "PACK", "{}")
    [made] = await lossy.lose(Fire("default", "nightly", at, at + 60, task))
    assert isinstance(made, Task)
    [stats] = await lossy.engine.stats("PACK")
    assert stats.ready == 1
    [kept] = await lossy.engine.periodics("default")
    assert (kept.last_at, kept.next_at) == (at, at + 60)


async def test_a_subscriber_is_told_although_the_first_answer_was_lost(lossy: Lossy):
    wish = Subscription("default", "s", "http://127.0.0.1/", ("PACK",), CLOCK.now() + 600)
    await lossy.do(Subscribe(wish))
    [told] = await lossy.lose(TakeNotices("default", "PACK"))
    assert isinstance(told, list)
    assert len(told) == 1
    [again] = await lossy.do(TakeNotices("default", "PACK"))
    assert again == []


async def test_a_lost_answer_without_token_does_not_act_on_the_next_lease(lossy: Lossy):
    """The worker of the same name has claimed again before the repeated call arrives: what the
    first call did must not be done to the new lease."""
    task = await lossy.held(max_attempts=9)
    nack = Nack("default", task.id, "w", "", "broke", 0.0)
    await lossy.do(nack)
    [_] = await lossy.do(Reschedule("default", task.id))
    [[again]] = await lossy.do(Claim("w", (NEW(),), 60.0, ("PACK",)))  # type: ignore[misc]
    # As the engine repeats a call: marked, and with the time of the first one.
    engine = lossy.engine
    part = engine._part(nack, task.claimed_at)
    wires = [part.wire]
    blobs = await _again(engine, wires)
    assert blobs[0][0] == 4, blobs
    assert (await lossy.now(again)).state == "leased"


async def _again(engine: RedisEngine, wires: list[object]) -> list[list[object]]:
    calls = engine._calls
    call = calls.envelope(wires, "PACK")
    call[1] = True
    sent = msgspec.msgpack.encode(call)
    answer = await engine._link.run(APPLY, keys_of("PACK"), sent, CHANNEL)
    results: list[list[object]] = msgspec.msgpack.decode(answer[0])[0]
    return results


async def test_a_store_that_stays_away_is_told_in_the_end(mortal: RedisServer):
    engine = engine_on(mortal)
    await engine.open()
    mortal.kill()
    with pytest.raises(Fault) as caught:
        await engine.apply([Create(NEW(), "default", "PACK", "{}")], CLOCK.now())
    assert (caught.value.entry.code, caught.value.entry.status) == ("QUEUE031", 503)
    assert caught.value.entry.retryable
    mortal.restart()
    [made] = await engine.apply([Create(NEW(), "default", "PACK", "{}")], CLOCK.now())
    assert isinstance(made, Task)
    await engine.close()
