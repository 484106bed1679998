"""Each engine under bounds that are set, changed and lifted, and whose commits fail: STORIES=5000
for more of them, and new ones each time."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.queue.bounds.story import MOST, RULES, WEIGHTS, Frame, Judged, Life, Step
from tests.queue.redis.conftest import empty, engine_on
from tests.servers.valkey import RedisServer

from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.store import Engine
from backstay.queue.store.sqlite import SqliteEngine

STORIES = int(os.environ.get("STORIES", "250"))
MEMORY = Path("/dev/shm")

_number = st.integers(0, MOST)
_kinds = st.sampled_from([kind for kind, weight in WEIGHTS.items() for _ in range(weight)])
_steps = st.lists(st.tuples(_kinds, _number, _number, _number), min_size=20, max_size=60)
# Without a bound at the start half of them would be about none.
_first = st.tuples(st.just("policy"), _number, _number, st.just(0))
stories = st.builds(lambda first, rest: [first, *rest], _first, _steps)
frames = st.builds(
    Frame,
    rate=st.sampled_from((0.0, 0.5, 2.0)),
    key_rate=st.sampled_from((0.0, 0.25, 1.0)),
    burst=st.sampled_from((1, 2, 3)),
)
many = settings(
    max_examples=STORIES,
    deadline=None,
    derandomize="STORIES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
fewer = settings(many, max_examples=max(1, STORIES // 8))  # each step is a call to a server


def live(frame: Frame, judged: Judged, steps: Sequence[Step]) -> None:
    life = Life(frame, judged)
    try:
        with structlog.testing.capture_logs():  # restarts and failed commits, all meant
            asyncio.run(life.run(steps))
    except AssertionError as broken:
        told = "\n".join(map(str, life.told[-8:]))
        raise AssertionError(f"{broken}\nafter\n{told}") from broken


@many
@given(frames, stories)
def test_sqlite_lets_through_what_the_memory_engine_does(frame: Frame, steps: list[Step]):
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:

        async def make(clock: VirtualClock) -> Engine:
            path = Path(folder) / "queue.db"
            engine = SqliteEngine(path, RULES, clock, FixedDice(), "process")
            await engine.open()
            return engine

        live(frame, Judged(make, alone=True), steps)


@fewer
@given(frames, stories)
def test_redis_lets_through_what_the_memory_engine_does(
    redis_server: RedisServer, frame: Frame, steps: list[Step]
):
    empty(redis_server)

    async def make(clock: VirtualClock) -> Engine:
        engine = engine_on(redis_server, clock, RULES)
        await engine.open()
        return engine

    live(frame, Judged(make, alone=False), steps)
