"""The redis engine on real servers: Debian's Redis for most, Valkey and a cluster for some."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.contract.queue.conftest import RULES, Bench
from tests.queue.support import Server, serving
from tests.servers.require import absent
from tests.servers.valkey import RedisNodes, RedisServer, system_binary

from backstay.core.clock import Clock, SystemClock, SystemDice, Uuid7
from backstay.core.virtual import FixedDice, VirtualClock
from backstay.queue.model import Rules
from backstay.queue.store.redis import RedisEngine
from backstay.queue.store.redis_address import RedisAddress, RedisStore

Store = RedisServer | RedisNodes
SERVERS = ("redis_server", "valkey", "redis_cluster")


def empty(store: Store) -> None:
    """Every test begins on an empty store."""
    for node in store.nodes if isinstance(store, RedisNodes) else [store]:
        assert node.ask("FLUSHALL") == "+OK"


def engine_on(
    store: Store, clock: Clock | None = None, rules: Rules = RULES, pool: int = 10
) -> RedisEngine:
    """Not yet open. Without a clock it lives in real time."""
    where = RedisStore(RedisAddress.parse(store.address), pool=pool)
    dice = FixedDice() if isinstance(clock, VirtualClock) else SystemDice()
    return RedisEngine(where, rules, clock or SystemClock(), dice, Uuid7(SystemClock()))


@pytest.fixture
def store(redis_server: RedisServer) -> RedisServer:
    """Debian's Redis, empty."""
    empty(redis_server)
    return redis_server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    """A store of this test alone, for what kills it: another process may take its port meanwhile,
    and then no other test must suffer."""
    binary = system_binary()
    if binary is None:
        absent("redis-server", "Debian: sudo apt-get install redis-server")
    found = RedisServer(binary, tmp_path / "mortal")
    yield found
    found.stop()


@pytest.fixture(params=SERVERS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """What the contract suite runs on, once for each server."""
    where = request.getfixturevalue(request.param)
    empty(where)
    bench = Bench(lambda clock: engine_on(where, clock))
    await bench.engine.open()
    yield bench
    await bench.engine.close()


@pytest.fixture
def server(tmp_path: Path, store: RedisServer) -> Iterator[Server]:
    with serving(tmp_path / "data", env={"REDIS_ADDR": store.address}) as server:
        yield server
