"""Time's own loop, on a virtual clock."""

from tests.queue.loops import RULES

from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.loops.mover import Mover
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
        assert await mover.step() == clock.tick()
        wish = await mover.step()
        assert wish is not None
        assert wish > clock.tick() + 1, "then it sleeps until something is due"


async def test_a_contradiction_in_the_store_does_not_make_it_spin():
    clock, engine, mover = made()
    engine.says_due = 100
    wishes = [await mover.step() for _ in range(6)]
    waits = [wish - clock.tick() for wish in wishes if wish is not None]
    assert waits == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
