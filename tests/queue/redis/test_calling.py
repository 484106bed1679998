"""Two real servers on one store: the calendar, callbacks and notices are one server's each time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.queue.loops import until as eventually
from tests.queue.receiver import Receiver, hanging, status
from tests.queue.redis.conftest import empty, engine_on
from tests.queue.redis.test_server import complete
from tests.queue.support import Server, until
from tests.servers.valkey import RedisNodes, RedisServer

from backstay.core.clock import SystemClock
from backstay.queue.model import Periodic, TaskQuery
from backstay.queue.operations import SetPeriodic

# After three times this and 2 s, the calls of a killed server come again.
QUICK = {"WEBHOOK_TIMEOUT_SECONDS": "0.4", "RESULT_WEBHOOK_MAX_ATTEMPTS": "1000"}


def two_on(tmp_path: Path, store: RedisServer | RedisNodes, **more: str) -> tuple[Server, Server]:
    env = {"REDIS_ADDR": store.address, **more}
    return Server(tmp_path / "a", env=env), Server(tmp_path / "b", env=env)


@pytest.fixture
def two(tmp_path: Path, store: RedisServer) -> Iterator[tuple[Server, Server]]:
    servers = two_on(tmp_path, store)
    try:
        yield servers
    finally:
        for server in servers:
            server.kill()


@pytest.mark.parametrize(
    "where", ["redis_server", pytest.param("redis_cluster", marks=pytest.mark.slow)]
)
@pytest.mark.timeout(300)  # a busy machine syncs the logs of three nodes slowly
async def test_two_servers_that_start_at_once_and_die_fire_each_time_once(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
):
    store = request.getfixturevalue(where)
    empty(store)
    engine, clock, count = engine_on(store), SystemClock(), 100
    await engine.open()
    due = datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC).timestamp()
    missed = [
        Periodic("default", f"n{n}", f"C{n % 5}", "{}", "@yearly", next_at=due)
        for n in range(count)
    ]
    await engine.apply([SetPeriodic(one) for one in missed], clock.now())

    async def keys() -> list[str]:
        found, cursor = [], ""
        while True:
            page = await engine.page(TaskQuery(after=cursor, limit=200))
            found += [task.idempotency_key for task in page.items]
            cursor = page.next
            if not cursor:
                return found

    async def all_fired() -> bool:
        return len(await keys()) >= count

    one, other = two_on(tmp_path, store)
    try:
        one.launch()
        other.launch()
        await eventually(keys, 60.0)
        one.kill()
        await eventually(all_fired, 120.0)
        one.start()
        shown = one.get("/admin/periodic").json["data"]
    finally:
        one.kill()
        other.kill()
    found = await keys()
    await engine.close()
    assert len(found) == len(set(found)) == count
    assert all(each["lastFire"] and each["lastFire"] < each["nextFires"][0] for each in shown)


def test_weakness_11_what_a_killed_server_had_to_tell_another_tells(
    tmp_path: Path, store: RedisServer
):
    one, other = two_on(tmp_path, store, **QUICK)
    try:
        one.start()
        with Receiver(hanging(lambda: receiver)) as receiver:
            ids = {complete(one, "PACK", webhook=receiver.url) for _ in range(5)}
            until(lambda: receiver.calls)
            one.kill()
            receiver.behave = status(200)
            before = len(receiver.calls)
            other.start()
            until(lambda: {call.json["taskId"] for call in receiver.calls[before:]} >= ids, 20.0)
            until(lambda: other.get("/admin/deliveries").json["data"] == [], 20.0)
    finally:
        one.kill()
        other.kill()


def test_both_servers_call_back_and_no_call_is_made_twice(two: tuple[Server, Server]):
    one, other = (server.start() for server in two)
    with Receiver() as receiver:
        ids = {complete((one, other)[n % 2], "PACK", webhook=receiver.url) for n in range(30)}
        until(lambda: len(receiver.calls) >= 30)
        until(lambda: one.get("/admin/deliveries").json["data"] == [])
        told = [body["taskId"] for body in receiver.bodies]
    assert len(told) == 30
    assert set(told) == ids


def test_a_subscriber_of_one_server_hears_of_the_others_tasks(two: tuple[Server, Server]):
    one, other = (server.start() for server in two)
    with Receiver() as receiver:
        made = one.post(
            "/workers/subscriptions",
            {"callbackUrl": receiver.url, "eventTypes": ["PACK"], "minIntervalSeconds": 0.1},
        )
        assert made.status == 200
        # The other one reads who subscribed every few seconds.
        until(lambda: other.create("PACK") and receiver.calls, 20.0)
        assert receiver.bodies[0]["subscriptionId"] == made.json["subscriptionId"]
        gone = other.call("DELETE", f"/workers/subscriptions/{made.json['subscriptionId']}")
        assert gone.status == 204
