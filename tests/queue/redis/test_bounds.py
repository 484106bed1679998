"""What only many tasks show of bounds on Redis, where no step looks at more than a thousand."""

from collections.abc import AsyncIterator

import pytest
from tests.contract.queue.conftest import Bench
from tests.queue.redis.conftest import engine_on
from tests.servers.valkey import RedisServer

from backstay.queue.model import ANY_TENANT, Policy
from backstay.queue.operations import Create, SetPolicy


@pytest.fixture
async def bench(store: RedisServer) -> AsyncIterator[Bench]:
    bench = Bench(lambda clock: engine_on(store, clock))
    await bench.engine.open()
    yield bench
    await bench.engine.close()


async def test_a_bound_of_all_tenants_is_lifted_for_each_however_many_tasks_the_first_has(
    bench: Bench,
):
    await bench.one(SetPolicy(Policy(ANY_TENANT, "PACK", key_concurrency=1)))
    for tenant, count in (("loud", 2100), ("mild", 3), ("next", 3)):
        tasks = [Create(bench.ids.new(), tenant, "PACK", "{}", key="k") for _ in range(count)]
        await bench.engine.apply(tasks, bench.clock.now())
        assert len(await bench.claim(count=9, tenants=(tenant,))) == 1
        assert await bench.claim(tenants=(tenant,)) == []
    await bench.one(SetPolicy(Policy(ANY_TENANT, "PACK")))
    for _ in range(6):
        await bench.move()
    assert len(await bench.claim(count=9, tenants=("mild",))) == 2
    assert len(await bench.claim(count=9, tenants=("next",))) == 2
    loud = [await bench.claim(count=100, tenants=("loud",)) for _ in range(21)]
    assert sum(map(len, loud)) == 2099
