"""kill -9 of the store and of the server at random points under load (Q46): with appendfsync always,
every accepted task is done or a dead letter in the end, and no acknowledged result is undone."""

import random
import time
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, until
from tests.queue.test_kill import CONFIG, Load, _judge, _open
from tests.servers.valkey import RedisServer, system_binary, wheel_binary


class Patient(Load):
    """Clients that come again when they are told that the store is away."""

    def _call(self, path: str, body: object) -> Any:
        answer = super()._call(path, body)
        if answer is not None and answer.status == 503:
            assert answer.json["retryable"], answer.body
            time.sleep(0.02)  # as the answer asks for
            return None
        return answer


def rounds(folder: Path, binary: str, points: int, seed: int) -> None:
    dice = random.Random(seed)
    store = RedisServer(binary, folder / "store")
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    env = {"REDIS_ADDR": store.address}
    server = Server(folder / "data", "--config", str(config), env=env).start()
    load = Patient(server, seed)
    try:
        for _ in range(points):
            time.sleep(dice.uniform(0.05, 0.5))  # the random point, not a wait for something
            if dice.random() < 0.7:
                store.kill()
                time.sleep(dice.choice((0.0, 0.3)))  # how long nobody starts it again
                store.restart()
            else:
                server.kill()
                server.start()
        load.no_more()
        until(lambda: _open(server) == 0, 60)
        load.stop()
        _judge(server, load.ledger)
        assert server.post("/admin/audit", {"repair": False}).json["inconsistencies"] == []
    finally:
        load.stop()
        server.kill()
        store.stop()


@pytest.mark.seed("Q46")
def test_nothing_accepted_is_lost_when_the_store_is_killed(tmp_path: Path):
    binary = system_binary()
    assert binary is not None
    rounds(tmp_path, binary, points=6, seed=46)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_the_store_is_killed_for_as_long_as_the_torture_lasts(
    tmp_path: Path, torture_seconds: float, chance: random.Random, kind: str
):
    binary = system_binary() if kind == "redis" else wheel_binary()
    assert binary is not None
    end = time.monotonic() + torture_seconds
    while time.monotonic() < end:
        folder = tmp_path / str(int(time.monotonic() * 1000))
        folder.mkdir()
        rounds(folder, binary, points=10, seed=chance.randrange(10**6))
