"""Time's own loop, on a virtual clock."""

import pytest
from tests.queue.loops import RULES

from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.loops.mover import Mover
from backstay.queue.operations import Cancel, Claim, Create
from backstay.queue.store.memory import MemoryEngine


class Hasty(MemoryEngine):
    """Says that something is due although there is nothing (any more)."""

    says_due = 0

    async def due(self, now: float) -> float | None:
        self.says_due -= 1
        return now if self.says_due >= 0 else None


def made() -> tuple[VirtualClock, Hasty, Mover]:
    clock = VirtualClock()
    engine = Hasty(RULES, clock, FixedDice())
    return clock, engine, Mover(engine, clock)


async def test_who_finds_its_work_done_by_another_looks_again_at_once():
    clock, engine, mover = made()
    for _ in range(3):
        engine.says_due = 1
        wish = await mover.step()
        assert wish is not None
        assert wish < clock.tick() + 0.001
        wish = await mover.step()
        assert wish is not None
        assert wish > clock.tick() + 1, "then it sleeps until something is due"


async def test_a_contradiction_in_the_store_does_not_make_it_spin():
    clock, engine, mover = made()
    engine.says_due = 100
    wishes = [await mover.step() for _ in range(6)]
    waits = [wish - clock.tick() for wish in wishes if wish is not None]
    assert waits == pytest.approx([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], abs=0.001)


async def test_a_lease_that_was_met_too_early_by_a_last_digit_is_ended_a_moment_later():
    """A due time is a wall time, the end of a lease is not: their digits differ."""
    clock = VirtualClock(now=1_750_000_060.0)
    engine = MemoryEngine(RULES, clock, FixedDice())
    for n in range(50):
        mover = Mover(engine, clock)
        lease = 0.3 + n / 7
        await engine.apply([Create(f"t{n}", "t", "A", "1")], clock.now())
        await engine.apply([Claim("w", (f"k{n}",), lease)], clock.now())
        end = clock.tick() + lease
        while (wish := await mover.step()) is not None and wish > clock.tick():
            clock.advance_now(wish - clock.tick())
        found = await engine.task("t", f"t{n}")
        assert found is not None
        assert found.state == "ready"
        assert clock.tick() - end < 0.001
        await engine.apply([Cancel("t", f"t{n}")], clock.now())
