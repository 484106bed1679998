"""Many histories, and what to do about one that fails: the shortest one, and how to see it again."""

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog.testing
from tests.queue.history.events import Violation
from tests.queue.simulation.model import Divergence
from tests.queue.simulation.simulation import STEPS, Simulation

from backstay.queue.store.sqlite import SqliteEngine

Spoil = Callable[[SqliteEngine], None]


def broken(
    seed: int, steps: int = STEPS, *, strict: bool = True, spoil: Spoil | None = None
) -> list[Violation]:
    """What one history breaks. Any exception is a violation, too: clients would have seen it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queue.db"
        simulation = Simulation(seed, path, steps=steps, strict=strict, spoil=spoil)
        try:
            with structlog.testing.capture_logs():  # thousands of restarts and jumps, all meant
                return asyncio.run(simulation.run())
        except Divergence as found:
            return [Violation("model", str(found))]
        except Exception as failure:  # noqa: BLE001 - which one is the answer
            return [Violation("failure", repr(failure))]


def report(seeds: Iterable[int]) -> str:
    """Of the first history that fails: empty when none does."""
    for seed in seeds:
        if broken(seed):
            steps = _fewest(seed)
            said = "\n".join(map(str, broken(seed, steps)))
            again = f"python -m tests.queue.simulation {seed} --steps {steps} --trace"
            return f"seed {seed} fails after {steps} steps\n{said}\nsee it again: {again}"
    return ""


def _fewest(seed: int) -> int:
    """A shorter run of the same seed is the beginning of it, so bisection finds the step."""
    low, high = 0, STEPS
    while low < high:
        middle = (low + high) // 2
        if broken(seed, middle):
            high = middle
        else:
            low = middle + 1
    return low if broken(seed, low) else STEPS
