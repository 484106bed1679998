"""kill -9 of the real server, of workers and of Redis at random points under load (Q46).

Clients go on through every death and write down what they were answered; the checker judges. In
the end every accepted task was done once, or is a dead letter, or was cancelled; no acknowledged
result was undone; no living lease was given away; every callback was made or is still owed.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue.killing.rounds import Rounds
from tests.servers.valkey import RedisServer, system_binary

_SEED = 46


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    binary = system_binary()
    if binary is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(binary, tmp_path / "redis")
    yield server
    server.stop()


def _floor(seconds: float) -> int:
    """So many kills at least, however long they take. A round of twenty took under a minute on two
    cores with a load of ten; both engines together make hundreds of them in `make torture`."""
    return max(100 if seconds >= 60 else 20, int(seconds / 4))


def _report(rounds: Rounds, points: int) -> str:
    """Empty, or what was broken, also printed whole."""
    told = "\n".join(map(str, rounds.run(points)[:5]))
    print(told)
    return told


@pytest.mark.timeout(300)
@pytest.mark.seed("Q46")
def test_nothing_accepted_is_lost_and_no_result_is_undone_by_kill_9(tmp_path: Path):
    assert not _report(Rounds(tmp_path / "rounds", _SEED), 10)


@pytest.mark.timeout(300)
@pytest.mark.seed("Q46")
def test_nothing_accepted_is_lost_when_the_server_or_its_redis_is_killed(
    tmp_path: Path, redis: RedisServer
):
    env = {"REDIS_ADDR": redis.address}
    assert not _report(Rounds(tmp_path / "rounds", _SEED, store=redis, env=env, servers=2), 10)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_kill_9_for_as_long_as_the_torture_lasts(
    tmp_path: Path, torture_seconds: float, chance: random.Random, engine: str
):
    end = time.monotonic() + torture_seconds
    killed = 0
    # A slow machine takes longer: it does not pass with few.
    while time.monotonic() < end or killed < _floor(torture_seconds):
        folder = tmp_path / str(killed)
        seed = chance.randrange(10**6)
        print(f"seed {seed}")
        if engine == "sqlite":
            rounds = Rounds(folder, seed)
            assert not _report(rounds, 20)
        else:
            binary = system_binary()
            if binary is None:
                pytest.skip("redis-server is not installed")
            redis = RedisServer(binary, folder / "redis")
            try:
                env = {"REDIS_ADDR": redis.address}
                rounds = Rounds(folder, seed, store=redis, env=env, servers=2)
                assert not _report(rounds, 20)
            finally:
                redis.stop()
        killed += len(rounds.killed)
    print(f"{killed} kills")
    assert killed >= _floor(torture_seconds)
