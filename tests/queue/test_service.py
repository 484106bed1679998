"""Use cases on the virtual clock: who is woken, when, and what time does by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backstay.core import logs
from backstay.core.backoff import Backoff
from backstay.core.clock import Uuid7
from backstay.core.errors import Fault
from backstay.core.metrics import Registry
from backstay.core.service import run
from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.loops.mover import Mover
from backstay.queue.metrics import QueueMetrics
from backstay.queue.model import ANY_TENANT, Rules, Task
from backstay.queue.operations import Create, Finish, Leased
from backstay.queue.service import Hold, Queue, Verdict, Want
from backstay.queue.store.sqlite import SqliteEngine

WANT = Want("w", ANY_TENANT, ("PACK",), lease_seconds=30.0)


class House:
    """A queue with its mover on a clock that the test owns. Its store is real, so a step of the
    clock is followed by real time for the store's thread to answer."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        rules = Rules(backoff=Backoff("fixed", 10.0, 10.0))
        self.engine = SqliteEngine(folder / "queue.db", rules, self.clock, FixedDice(), "process")
        self.registry = Registry((), self.clock)
        self.metrics = QueueMetrics(self.registry, self.clock)
        self.ids = Uuid7(self.clock)
        self.queue = Queue(self.engine, self.clock, self.ids, self.metrics)
        self.mover = Mover(self.engine, self.clock)

    async def create(self, command: str = "PACK", **fields: object) -> Task:
        fields.setdefault("tenant", "default")
        [task] = await self.queue.create(
            [Create(self.ids.new(), command=command, payload="{}", **fields)]
        )
        assert isinstance(task, Task)
        return task

    async def advance(self, seconds: float) -> None:
        """In steps, each begun when the mover sleeps until a planned time."""
        for _ in range(4):
            await until(self._planned)
            await self.clock.advance(seconds / 4)
        await until(self._planned)
        await settle()

    def _planned(self) -> bool:
        wish = self.mover.planned
        return wish != float("inf") and wish > self.clock.now() and not self.mover.wake.is_set()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0.002)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.002)


@pytest.fixture(params=[True, False], ids=["debug", "info"])
def debug(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Where each task is logged by itself, each is asked for by itself."""
    told: bool = request.param
    monkeypatch.setattr(logs._configured, "threshold", 10 if told else 20)
    assert logs.debugs() == told
    return told


def results_of(task: Task) -> Finish:
    return Finish(task.tenant, task.id, task.worker, task.lease_token, ok=True, result='{"n":1}')


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.engine.open()
    stopping = asyncio.Event()
    living = asyncio.create_task(run([house.mover], house.clock, stopping))
    yield house
    stopping.set()
    await living
    await house.engine.close()


def waiting(house: House, want: Want = WANT, wait: float = 20.0) -> "asyncio.Task[list[Task]]":
    return asyncio.create_task(house.queue.claim(want, wait))


async def test_a_waiting_claim_is_woken_by_an_arrival(house: House):
    claim = waiting(house)
    await until(lambda: house.queue.waiting("PACK") == 1)
    made = await house.create()
    assert [task.id for task in await asyncio.wait_for(claim, 10)] == [made.id]
    assert house.queue.waiting("PACK") == 0


async def test_a_waiting_claim_ends_empty_when_its_time_is_up(house: House):
    claim = waiting(house, wait=20.0)
    await house.advance(19)
    assert not claim.done()
    await house.advance(1.1)
    assert await asyncio.wait_for(claim, 10) == []


async def test_a_waiting_claim_is_woken_when_a_delayed_task_becomes_due(house: House):
    await house.create(due_at=house.clock.now() + 8)
    claim = waiting(house)
    await house.advance(7.9)
    assert not claim.done()
    await house.advance(0.2)
    assert len(await asyncio.wait_for(claim, 10)) == 1


async def test_a_waiting_claim_is_woken_when_a_lease_ends_and_when_its_retry_is_due(house: House):
    await house.create()
    [held] = await house.queue.claim(WANT)
    claim = waiting(house, msgspec_replace(WANT, worker="other"), wait=60.0)
    await house.advance(29.9)
    assert not claim.done()
    await house.advance(0.3)  # no quarter of it ends at the very digit of the lease
    [again] = await asyncio.wait_for(claim, 10)
    assert (again.id, again.attempts, again.error) == (held.id, 2, "LEASE_EXPIRED")
    claim = waiting(house, msgspec_replace(WANT, worker="third"), wait=60.0)
    await house.advance(30.1)
    assert not claim.done()
    await house.advance(10.1)
    [third] = await asyncio.wait_for(claim, 10)
    assert (third.id, third.attempts) == (held.id, 3)
    assert house.registry.counter("codeq_lease_expired_total").value("PACK") == 2


def msgspec_replace(want: Want, **changes: object) -> Want:
    import msgspec

    return msgspec.structs.replace(want, **changes)


async def test_leases_end_while_nobody_asks(house: House):
    made = await house.create(max_attempts=1)
    await house.queue.claim(WANT)
    await house.advance(30.1)
    task = await house.queue.task("default", made.id)
    assert (task.state, task.error) == ("dead", "LEASE_EXPIRED")


async def test_as_many_are_woken_as_there_are_tasks(house: House):
    claims = [waiting(house) for _ in range(5)]
    await until(lambda: house.queue.waiting("PACK") == 5)
    await asyncio.gather(*(house.create() for _ in range(3)))
    await until(lambda: sum(claim.done() for claim in claims) == 3)
    assert house.queue.waiting("PACK") == 2
    for claim in claims:
        claim.cancel()


async def test_others_are_not_woken(house: House):
    other = waiting(house, msgspec_replace(WANT, commands=("OTHER",)))
    foreign = waiting(house, msgspec_replace(WANT, tenant="foreign"))
    anything = waiting(house, msgspec_replace(WANT, commands=()))
    await until(lambda: house.queue.waiting("PACK") == 2)
    await house.create()
    assert len(await asyncio.wait_for(anything, 10)) == 1
    assert not other.done()
    assert not foreign.done()
    other.cancel()
    foreign.cancel()


async def test_a_claim_whose_client_left_gives_its_task_back(house: House, debug: bool):
    made = await house.create()
    claim = waiting(house, msgspec_replace(WANT, shown=not debug), wait=0.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    await settle()
    task = await house.queue.task("default", made.id)
    assert (task.state, task.attempts) == ("delayed", 0)
    await house.advance(1.1)
    assert len(await house.queue.claim(WANT)) == 1


async def test_a_result_is_waited_for(house: House):
    made = await house.create()
    [held] = await house.queue.claim(WANT)
    result = asyncio.create_task(house.queue.result(ANY_TENANT, made.id, 20.0))
    await settle()
    assert not result.done()
    hold = Hold(ANY_TENANT, held.id, "w", held.lease_token)
    await house.queue.finish([Verdict(hold, ok=True, result='{"n":1}')])
    assert (await asyncio.wait_for(result, 10)).result == '{"n":1}'


async def test_outcomes_are_waited_for(house: House):
    reading = asyncio.create_task(house.queue.outcomes("*", "app", 20.0, 10))
    await settle()
    made = await house.create(reply_to="app", max_attempts=1)
    [held] = await house.queue.claim(WANT)
    await house.queue.nack(Hold(ANY_TENANT, held.id, "w", held.lease_token), "broke", None)
    [outcome] = await asyncio.wait_for(reading, 10)
    assert (outcome.id, outcome.state, outcome.error) == (made.id, "dead", "broke")


async def test_draining_sends_everybody_home(house: House):
    claim, reading = waiting(house), asyncio.create_task(house.queue.outcomes("*", "app", 20.0, 10))
    await until(lambda: house.queue.waiting("PACK") == 1)
    await settle()
    house.queue.drain()
    assert await asyncio.wait_for(claim, 10) == []
    assert list(await asyncio.wait_for(reading, 10)) == []
    with pytest.raises(Fault) as caught:
        await house.queue.claim(WANT, 20.0)
    assert caught.value.entry.code == "QUEUE019"


async def test_leases_that_nobody_hears_of_are_given_back_however_they_were_asked_for(
    house: House, debug: bool
):
    made = [await house.create() for _ in range(3)]
    leased = await house.queue.claim_now(msgspec_replace(WANT, count=5, shown=True))
    assert [each.count for each in leased if isinstance(each, Leased)] == ([] if debug else [3])
    handing = asyncio.create_task(house.queue.handed(leased))
    await settle()
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
    await settle()
    found = [await house.queue.task("default", task.id) for task in made]
    assert [(task.state, task.attempts) for task in found] == [("delayed", 0)] * 3


async def test_many_results_at_once_are_heard_by_those_who_wait(house: House, debug: bool):
    made = [await house.create(reply_to="app") for _ in range(2)]
    held = await house.queue.claim(msgspec_replace(WANT, count=2))
    waits = [asyncio.create_task(house.queue.result(ANY_TENANT, task.id, 20.0)) for task in made]
    reading = asyncio.create_task(house.queue.outcomes("*", "app", 20.0, 10))
    await settle()
    results = [results_of(task) for task in held]
    finished = await house.queue.finish_all(results)
    assert len(finished.others) == (2 if debug else 0)
    for wait in waits:
        assert (await asyncio.wait_for(wait, 10)).state == "completed"
    assert len(await asyncio.wait_for(reading, 10)) == 2


async def test_while_draining_an_exchange_takes_results_and_gives_nothing(
    house: House, debug: bool
):
    for _ in range(2):
        await house.create()
    [held] = await house.queue.claim(WANT)
    house.queue.drain()
    finished, given = await house.queue.exchange([results_of(held)], WANT)
    assert (len(finished.others), list(given)) == (1 if debug else 0, [])
    assert (await house.queue.task("default", held.id)).state == "completed"


async def test_a_lease_that_took_long_is_given_back_when_its_client_has_left(house: House):
    task = await house.create()
    tasks = await house.queue.claim_now(WANT)
    handing = asyncio.create_task(house.queue.handed(tasks))
    await settle()
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
    await settle()
    await house.advance(1.5)
    [again] = await house.queue.claim_now(WANT)
    assert (again.id, again.attempts) == (task.id, 1)  # the lost delivery does not count
    staying = asyncio.create_task(house.queue.handed([again]))
    await settle()
    await house.advance(0.1)
    assert await staying == [again]


async def test_a_claim_at_once_is_refused_while_the_queue_drains(house: House):
    house.queue.drain()
    with pytest.raises(Fault) as refused:
        await house.queue.claim_now(WANT)
    assert refused.value.entry.code == "QUEUE019"
