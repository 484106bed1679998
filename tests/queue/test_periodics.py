"""Periodic tasks: each time once, whatever servers, crashes and clocks do."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from tests.queue.loops import RULES

from backstay.core.clock import rfc3339
from backstay.core.errors import Fault
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.loops.cron import Cron
from backstay.queue.model import Periodic, TaskQuery
from backstay.queue.operations import Create, SetPeriodic
from backstay.queue.service.periodics import Periodics
from backstay.queue.store.memory import MemoryEngine

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC).timestamp()


def no_count(_: str) -> None:
    """Most tests look at the tasks themselves."""


class Calendar:
    """The loop on a virtual clock that begins at noon; `periodics` is what people do."""

    def __init__(self, start: float = NOON) -> None:
        self.clock = VirtualClock(now=start)
        self.engine = MemoryEngine(RULES, self.clock, FixedDice())
        self.cron = Cron(self.engine, self.clock, CountingIds("t"), no_count)
        self.periodics = Periodics(self.engine, self.clock)

    async def put(self, cron: str, name: str = "report", **fields: object) -> Periodic:
        fields = {"tenant": "default", "command": "REPORT", "payload": "{}", **fields}
        return await self.periodics.put(Periodic(name=name, cron=cron, **fields))

    async def run(self, seconds: float, *others: Cron) -> None:
        """Let time pass as a process does: sleep as long as the loop wishes, then step."""
        end = self.clock.tick() + seconds
        while True:
            wishes = [await each.step() for each in (self.cron, *others)]
            tick = self.clock.tick()
            wish = max(min(wish for wish in wishes if wish is not None), tick)
            if wish > end:
                self.clock.advance_now(end - tick)
                return
            self.clock.advance_now(wish - tick)

    async def times(self) -> list[str]:
        """The fire times that made a task, as the tasks tell them."""
        page = await self.engine.page(TaskQuery(limit=10_000))
        return [
            task.idempotency_key.partition(":")[2].partition(":")[2][11:19] for task in page.items
        ]

    async def next(self) -> str:
        [one] = await self.engine.periodics(None)
        return rfc3339(one.next_at)[:19]


async def test_it_fires_at_its_times_and_not_before():
    calendar = Calendar()
    await calendar.put("*/10 * * * *", priority=7, tags=("a",), key="k", webhook="http://x/")
    await calendar.run(599)
    assert await calendar.times() == []
    await calendar.run(2)
    [task] = (await calendar.engine.page(TaskQuery())).items
    assert (task.tenant, task.command, task.priority) == ("default", "REPORT", 7)
    assert (task.tags, task.key, task.webhook) == (("a",), "k", "http://x/")
    assert task.idempotency_key == "periodic:report:2026-03-10T12:10:00.000000Z"
    assert task.created_at == NOON + 600
    await calendar.run(1800)
    assert await calendar.times() == ["12:10:00", "12:20:00", "12:30:00", "12:40:00"]
    [one] = await calendar.engine.periodics(None)
    assert one.last_at == NOON + 2400


async def test_after_a_silence_the_latest_missed_time_makes_one_task_and_the_rest_none():
    calendar = Calendar()
    await calendar.put("0 * * * *")
    calendar.clock.advance_now(10 * 86_400 + 1800)
    await calendar.run(1)
    assert await calendar.times() == ["12:00:00"]
    [one] = await calendar.engine.periodics(None)
    assert one.last_at == NOON + 10 * 86_400
    assert one.next_at == NOON + 10 * 86_400 + 3600


async def test_several_servers_fire_each_time_once():
    calendar = Calendar()
    await calendar.put("* * * * *")
    others = [
        Cron(calendar.engine, calendar.clock, CountingIds(f"s{n}"), no_count) for n in range(4)
    ]
    await calendar.run(600, *others)
    times = await calendar.times()
    assert len(times) == len(set(times)) == 10


async def test_servers_that_look_at_the_same_moment_fire_once():
    calendar = Calendar()
    await calendar.put("* * * * *")
    others = [
        Cron(calendar.engine, calendar.clock, CountingIds(f"s{n}"), no_count) for n in range(4)
    ]
    calendar.clock.advance_now(60)
    # All have read before the first has stored: the store decides.
    read = await calendar.engine.periodics(None)

    async def as_read(_: str | None) -> list[Periodic]:
        await asyncio.sleep(0)
        return read

    plain, calendar.engine.periodics = calendar.engine.periodics, as_read  # type: ignore[method-assign]
    await asyncio.gather(*(each.step() for each in (calendar.cron, *others)))
    calendar.engine.periodics = plain  # type: ignore[method-assign]
    assert await calendar.times() == ["12:01:00"]


async def test_servers_whose_clocks_differ_fire_each_time_once():
    calendar = Calendar()
    await calendar.put("* * * * *")

    class Behind(VirtualClock):
        def now(self) -> float:
            return calendar.clock.now() - 20.0

        def tick(self) -> float:
            return calendar.clock.tick()

    await calendar.run(600, Cron(calendar.engine, Behind(), CountingIds("s"), no_count))
    times = await calendar.times()
    assert len(times) == len(set(times)) == 10


async def test_a_crash_between_computing_and_storing_neither_loses_nor_doubles_a_time():
    calendar = Calendar()
    await calendar.put("* * * * *")
    calendar.clock.advance_now(61)
    plain = calendar.engine.apply

    async def dies(*_: object) -> None:
        raise OSError("killed here")

    calendar.engine.apply = dies  # type: ignore[method-assign]
    with pytest.raises(OSError, match="killed"):
        await calendar.cron.step()
    calendar.engine.apply = plain  # type: ignore[method-assign]
    restarted = Cron(calendar.engine, calendar.clock, CountingIds("again"), no_count)
    await restarted.step()
    await restarted.step()
    assert await calendar.times() == ["12:01:00"]


async def test_a_wall_clock_that_jumps_a_year_ahead_fires_once_and_back_again_does_not_stall():
    calendar = Calendar()
    await calendar.put("* * * * *")
    calendar.clock.jump(365 * 86_400)
    await calendar.run(1)
    assert len(await calendar.times()) == 1, "a year of minutes must not flood the queue"
    calendar.clock.jump(-365 * 86_400)
    await calendar.run(300)
    assert (await calendar.times())[1:] == [
        "12:01:00",
        "12:02:00",
        "12:03:00",
        "12:04:00",
        "12:05:00",
    ]


async def test_a_wall_clock_set_back_does_not_fire_the_same_times_again():
    calendar = Calendar()
    await calendar.put("*/10 * * * *")
    await calendar.run(3700)
    before = await calendar.times()
    assert len(before) == 6
    calendar.clock.jump(-3600)
    await calendar.run(3600)
    assert await calendar.times() == before
    await calendar.run(600)
    assert (await calendar.times())[6:] == ["13:10:00"]


async def test_a_clock_that_trembles_fires_once():
    calendar = Calendar()
    await calendar.put("* * * * *")
    await calendar.run(60.5)
    for _ in range(5):
        calendar.clock.jump(-2)
        await calendar.run(1)
    assert await calendar.times() == ["12:01:00"]


async def test_while_paused_times_pass_without_a_task_and_none_is_made_up_for():
    calendar = Calendar()
    await calendar.put("* * * * *")
    paused = await calendar.periodics.pause("default", "report", paused=True)
    assert calendar.periodics.coming(paused, 5) == []
    await calendar.run(600)
    assert await calendar.times() == []
    await calendar.periodics.pause("default", "report", paused=False)
    await calendar.run(61)
    assert await calendar.times() == ["12:11:00"]


async def test_a_time_that_is_due_survives_a_change_of_what_is_made():
    calendar = Calendar()
    await calendar.put("* * * * *")
    calendar.clock.advance_now(61)
    await calendar.put("* * * * *", command="OTHER")
    await calendar.run(1)
    [task] = (await calendar.engine.page(TaskQuery())).items
    assert (task.command, await calendar.times()) == ("OTHER", ["12:01:00"])


async def test_a_task_that_is_refused_does_not_hold_up_the_times_after_it():
    calendar = Calendar()
    await calendar.put("* * * * *")
    taken = "periodic:report:2026-03-10T12:01:00.000000Z"
    mine = Create("x", "default", "REPORT", "{}", idempotency_key=taken, fingerprint="a person's")
    await calendar.engine.apply([mine], NOON)
    await calendar.run(121)
    assert await calendar.times() == ["12:01:00", "12:02:00"]
    [one] = await calendar.engine.periodics(None)
    assert one.last_at == NOON + 120


async def test_one_whose_zone_is_no_longer_known_neither_fires_nor_spins_nor_stops_the_others():
    calendar = Calendar()
    gone = Periodic("default", "gone", "A", "{}", "* * * * *", "Mars/Base", next_at=NOON - 60)
    await calendar.engine.apply([SetPeriodic(gone)], NOON)
    wish = await calendar.cron.step()
    assert wish == calendar.clock.tick() + 5.0
    assert calendar.periodics.coming(gone, 3) == []
    await calendar.put("* * * * *")
    await calendar.run(61)
    assert await calendar.times() == ["12:01:00"]


async def test_spring_and_autumn_in_berlin():
    for day, times in (
        ("2026-03-29", ["01:00:00"]),  # 02:30 is missing: 03:00 summer time
        ("2026-10-25", ["00:30:00"]),  # 02:30 comes twice: the first, summer time
    ):
        midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin"))
        calendar = Calendar(midnight.timestamp())
        await calendar.put("30 2 * * *", timezone="Europe/Berlin")
        await calendar.run(8 * 3600)
        assert await calendar.times() == times, day


async def test_a_thousand_of_them_fire_in_few_steps():
    calendar = Calendar()
    for number in range(1000):
        await calendar.put("* * * * *", name=f"n{number:04}", command=f"C{number % 7}")
    calendar.clock.advance_now(60)
    commits = 0
    plain = calendar.engine.apply

    async def counting(ops, now):
        nonlocal commits
        commits += 1
        return await plain(ops, now)

    calendar.engine.apply = counting  # type: ignore[method-assign]
    made: list[str] = []
    await Cron(calendar.engine, calendar.clock, CountingIds("m"), made.append).step()
    assert len(made) == 1000
    assert len(await calendar.times()) == 1000
    assert commits == 10


async def test_next_fire_times_are_shown():
    calendar = Calendar()
    one = await calendar.put("0 12 * * MON", timezone="Europe/Berlin")
    coming = [rfc3339(at)[:16] for at in calendar.periodics.coming(one, 4)]
    # Summer time begins on 29 March.
    assert coming == [
        "2026-03-16T11:00",
        "2026-03-23T11:00",
        "2026-03-30T10:00",
        "2026-04-06T10:00",
    ]


async def test_what_never_fires_is_refused_with_its_field():
    calendar = Calendar()
    with pytest.raises(Fault) as caught:
        await calendar.put("0 0 30 2 *")
    assert caught.value.entry.code == "QUEUE060"
    assert caught.value.values["field"] == "cron"
