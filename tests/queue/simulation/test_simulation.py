"""Two thousand histories of the SQLite engine: on a disk that loses its power between any two
writes or tears the last, under clients that die and lie, and a wall clock that is set.

Each must be one that the memory engine allows and in which the checker finds no broken promise.
"""

import asyncio
import random
import time
from pathlib import Path

import pytest
from tests.queue.history.events import Seen
from tests.queue.simulation.running import report
from tests.queue.simulation.simulation import Simulation

HISTORIES, CHUNK = 2000, 50


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_no_history_breaks_a_promise(first: int):
    found = report(range(first, first + CHUNK))
    assert not found, found


def test_a_seed_gives_the_same_history_again(tmp_path: Path):
    def history(seed: int, run: int) -> list[Seen]:
        simulation = Simulation(seed, tmp_path / f"{seed}-{run}.db")
        asyncio.run(simulation.run())
        return simulation.history

    assert history(7, 1) == history(7, 2)
    assert history(7, 3) != history(8, 1)


@pytest.mark.slow
def test_histories_for_as_long_as_the_torture_lasts(torture_seconds: float, chance: random.Random):
    end = time.monotonic() + torture_seconds
    seen = 0
    while time.monotonic() < end:
        found = report([chance.randrange(HISTORIES, 2**48)])
        assert not found, found
        seen += 1
    print(f"{seen} histories")
