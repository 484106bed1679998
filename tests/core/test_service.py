"""The runner: order of start, drain and stop, and loops that outlive a bad step."""

import asyncio

import pytest

from backstay.core.service import run
from backstay.core.virtual import VirtualClock


class Recorded:
    def __init__(self, name: str, diary: list[str], fails: bool = False) -> None:
        self.name = name
        self._diary = diary
        self._fails = fails

    async def start(self) -> None:
        self._diary.append(f"start {self.name}")
        if self._fails:
            raise RuntimeError(f"{self.name} cannot start")

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:
        self._diary.append(f"drain {self.name} {seconds:.0f}")

    async def stop(self) -> None:
        self._diary.append(f"stop {self.name}")


class Ticking:
    name = "ticking"

    def __init__(self, clock: VirtualClock, every: float | None, fails_first: bool = False) -> None:
        self.wake = asyncio.Event()
        self.steps = 0
        self._clock = clock
        self._every = every
        self._fails_first = fails_first

    async def step(self) -> float | None:
        self.steps += 1
        if self._fails_first and self.steps == 1:
            raise RuntimeError("bad step")
        return None if self._every is None else self._clock.tick() + self._every


async def test_services_stop_in_the_reverse_of_their_order() -> None:
    diary: list[str] = []
    stopping = asyncio.Event()
    stopping.set()
    await run([Recorded("a", diary), Recorded("b", diary)], VirtualClock(), stopping, grace=9)
    assert diary == ["start a", "start b", "drain b 9", "drain a 9", "stop b", "stop a"]


async def test_a_failing_start_stops_what_had_started_and_is_told() -> None:
    diary: list[str] = []
    parts = [Recorded("a", diary), Recorded("b", diary, fails=True), Recorded("c", diary)]
    with pytest.raises(RuntimeError, match="b cannot start"):
        await run(parts, VirtualClock(), asyncio.Event())
    assert diary == ["start a", "start b", "stop b", "stop a"]


async def test_a_loop_steps_when_it_wished_to_and_when_it_is_woken() -> None:
    clock, stopping = VirtualClock(), asyncio.Event()
    timed, idle = Ticking(clock, every=10.0), Ticking(clock, every=None)
    running = asyncio.create_task(run([timed, idle], clock, stopping))
    await clock.advance(9.0)
    assert (timed.steps, idle.steps) == (1, 1)
    await clock.advance(1.0)
    assert timed.steps == 2
    idle.wake.set()
    await clock.advance(0.0)
    assert idle.steps == 2
    stopping.set()
    await running


async def test_a_loop_outlives_a_failing_step() -> None:
    clock, stopping = VirtualClock(), asyncio.Event()
    loop = Ticking(clock, every=100.0, fails_first=True)
    running = asyncio.create_task(run([loop], clock, stopping))
    await clock.advance(2.0)
    assert loop.steps == 2
    stopping.set()
    await running


class Deaf:
    """A loop whose library takes the first cancellation for a lost connection."""

    name = "deaf"

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.lost = self.asked = False

    async def step(self) -> float | None:
        if self.lost:
            return None
        self.asked = True
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.lost = True
            raise ConnectionError("the connection is lost") from None
        return None


async def test_a_loop_ends_though_its_first_cancellation_was_taken_for_something_else() -> None:
    clock, stopping, loop = VirtualClock(), asyncio.Event(), Deaf()
    running = asyncio.create_task(run([loop], clock, stopping))
    while not loop.asked:
        await asyncio.sleep(0)
    stopping.set()
    async with asyncio.timeout(60):
        await running
    assert loop.lost
