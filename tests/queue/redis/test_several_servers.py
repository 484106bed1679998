"""Several engines on one store: they wake each other, share the work, and judge leases alike."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.queue.redis.conftest import empty, engine_on
from tests.servers.valkey import RedisNodes, RedisServer, system_binary

from backstay.core.clock import SystemClock, Uuid7
from backstay.core.errors import Fault
from backstay.core.virtual import VirtualClock
from backstay.queue.model import Policy, Task, TaskQuery
from backstay.queue.operations import Claim, Create, Finish, Move, Op, OpResult, SetPolicy
from backstay.queue.store import Happened
from backstay.queue.store.lua import APPLY
from backstay.queue.store.redis import RedisEngine
from backstay.queue.store.redis_layout import CLOCK as CLOCK_KEY
from backstay.queue.store.redis_layout import command_of, split_id, tag_of

CLOCK = SystemClock()
NEW = Uuid7(CLOCK).new


class Ears:
    """What an engine tells those who wait."""

    def __init__(self, engine: RedisEngine) -> None:
        self.heard: list[Happened] = []
        self._news = asyncio.Event()
        engine.listen(self._hear)

    def _hear(self, happened: Happened) -> None:
        self.heard.append(happened)
        self._news.set()

    async def until(self, true: object, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not any(true(happened) for happened in self.heard):  # type: ignore[operator]
                self._news.clear()
                await self._news.wait()


async def do(engine: RedisEngine, *ops: Op) -> list[OpResult]:
    return await engine.apply(ops, CLOCK.now())


def task(command: str = "PACK", **fields: object) -> Create:
    return Create(NEW(), "default", command, "{}", **fields)


def claim(count: int = 1, commands: tuple[str, ...] = ("PACK",), *, seconds: float = 60.0) -> Claim:
    return Claim("w", tuple(NEW() for _ in range(count)), seconds, commands, count=count)


@pytest.fixture
async def two(store: RedisServer) -> AsyncIterator[tuple[RedisEngine, RedisEngine]]:
    engines = (engine_on(store), engine_on(store))
    for engine in engines:
        await engine.open()
    yield engines
    for engine in engines:
        await engine.close()


async def test_a_task_that_one_server_takes_wakes_the_other(
    two: tuple[RedisEngine, RedisEngine],
):
    one, other = two
    ears = Ears(other)
    await do(one, task())
    await ears.until(lambda happened: happened.ready == {("default", "PACK"): 1})
    [[found]] = await do(other, claim())  # type: ignore[misc]
    await do(other, Finish("default", found.id, "w", found.lease_token, ok=True))
    heard = Ears(one)
    await do(other, task("LATER", due_at=CLOCK.now() + 0.2, reply_to="app"))
    await heard.until(lambda happened: happened.earliest < CLOCK.now() + 5)


async def test_the_end_of_a_task_and_its_reader_are_told_to_the_other(
    two: tuple[RedisEngine, RedisEngine],
):
    one, other = two
    [made] = await do(one, task(reply_to="app"))
    assert isinstance(made, Task)
    ears = Ears(one)
    [[held]] = await do(other, claim())  # type: ignore[misc]
    await do(other, Finish("default", held.id, "w", held.lease_token, ok=True))
    await ears.until(lambda happened: made.id in happened.ended)
    await ears.until(lambda happened: "app" in happened.replies)


async def test_a_lost_message_strands_nobody(store: RedisServer):
    """Whoever hears no messages finds what is there by looking."""
    deaf, other = engine_on(store), engine_on(store)
    await deaf.open()
    await other.open()
    deaf._watch._tasks[0].cancel()  # the one that listens
    ears = Ears(deaf)
    try:
        await do(other, task(reply_to="app"))
        await ears.until(lambda happened: ("default", "PACK") in happened.ready)
        [[held]] = await do(other, claim())  # type: ignore[misc]
        await do(other, Finish("default", held.id, "w", held.lease_token, ok=True))
        await ears.until(lambda happened: "app" in happened.replies)
        assert len((await deaf.page(TaskQuery(reply_to="app"))).items) == 1
    finally:
        await deaf.close()
        await other.close()


async def test_a_claim_of_anything_finds_commands_that_another_server_made(
    two: tuple[RedisEngine, RedisEngine],
):
    one, other = two
    ears = Ears(other)
    await do(one, task("FIRST"), task("SECOND"))
    await ears.until(lambda happened: ("default", "SECOND") in happened.ready)
    [found] = await do(other, claim(5, ()))
    assert isinstance(found, list)
    assert {each.command for each in found if isinstance(each, Task)} == {"FIRST", "SECOND"}


async def test_many_claims_on_several_servers_lease_no_task_twice(
    two: tuple[RedisEngine, RedisEngine],
):
    await do(two[0], *(task() for _ in range(200)))
    claims = [do(two[n % 2], claim(3)) for n in range(100)]
    found = [each.id for [tasks] in await asyncio.gather(*claims) for each in tasks]  # type: ignore[union-attr]
    assert len(found) == len(set(found)) == 200


async def test_several_movers_move_each_task_once(two: tuple[RedisEngine, RedisEngine]):
    due = CLOCK.now() + 0.05
    await do(two[0], *(task(due_at=due, max_attempts=1) for _ in range(100)))
    moved = 0
    async with asyncio.timeout(10):
        while moved < 100:
            for results in await asyncio.gather(*(do(engine, Move(30)) for engine in two)):
                moved += results[0]  # type: ignore[operator]
    assert moved == 100
    [stats] = await two[0].stats("PACK")
    assert (stats.ready, stats.delayed) == (100, 0)


async def test_a_pause_on_one_server_holds_on_all(two: tuple[RedisEngine, RedisEngine]):
    one, other = two
    await do(one, task(), SetPolicy(Policy("default", "PACK", paused=True)))
    assert await do(other, claim()) == [[]]
    ears = Ears(other)
    await do(one, SetPolicy(Policy("default", "PACK")))
    await ears.until(lambda happened: ("default", "PACK") in happened.ready)


# --- time ------------------------------------------------------------------------------------


async def test_servers_of_different_wall_clocks_judge_leases_alike(store: RedisServer):
    """One server's clock is a day ahead, and has counted for another time since it started."""
    ahead, behind = VirtualClock(now=1_750_086_400.0, tick=5.0), VirtualClock(tick=9000.0)
    one, other = engine_on(store, ahead), engine_on(store, behind)
    await one.open()
    await other.open()
    try:
        await one.apply([task()], ahead.now())
        await one.apply([Claim("w", ("t",), 30.0, ("PACK",))], ahead.now())
        for clock in (ahead, behind):
            clock.advance_now(29)
        assert await other.apply([Move()], behind.now()) == [0]
        for clock in (ahead, behind):
            clock.advance_now(1.5)
        await other._watch.look()
        assert await other.apply([Move()], behind.now()) == [1]
    finally:
        await one.close()
        await other.close()


async def test_a_jump_of_the_stores_clock_ends_no_lease_and_is_written_down(store: RedisServer):
    """To a server that counts 100 s where the store's clock counts none, that clock was set back."""
    clock = VirtualClock()
    engine = engine_on(store, clock)
    await engine.open()
    try:
        await engine.apply([task(), Claim("w", ("t",), 160.0, ("PACK",))], clock.now())
        clock.advance_now(100)
        await engine._leases.sync(engine._link)
        shift = await engine._link.ask("HGET", CLOCK_KEY, "shift")
        assert float(shift) == pytest.approx(-100, abs=2)
        # Another server starts now: it counts from where the first one is.
        other = engine_on(store, clock)
        await other.open()
        assert other._leases.now() == pytest.approx(engine._leases.now(), abs=1)
        assert await other.apply([Move()], clock.now()) == [0]
        clock.advance_now(61)
        assert await other.apply([Move()], clock.now()) == [1]
        await other.close()
    finally:
        await engine.close()


async def test_a_store_clock_that_was_set_back_while_nobody_ran_is_noticed(store: RedisServer):
    engine = engine_on(store)
    await engine.open()
    before = engine._leases.now()
    # As if the newest time that was told were an hour ahead of the store's clock.
    await engine._link.ask("HSET", CLOCK_KEY, "last", f"{before + 3600:.6f}")
    other = engine_on(store)
    await other.open()
    assert other._leases.now() == pytest.approx(before + 3600, abs=5)
    await other.close()
    await engine.close()


async def test_a_server_that_stood_still_follows_the_others(store: RedisServer):
    """Its process was stopped for an hour: it must not turn everybody's clock back."""
    going, stopped = VirtualClock(), VirtualClock()
    one, other = engine_on(store, going), engine_on(store, stopped)
    await one.open()
    await other.open()
    going.advance_now(3600)
    await one._leases.sync(one._link)
    await other._leases.sync(other._link)
    assert other._leases.now() == pytest.approx(one._leases.now(), abs=1)
    await one.close()
    await other.close()


# --- the store -------------------------------------------------------------------------------


async def test_a_store_that_forgot_its_scripts_learns_them_again(
    two: tuple[RedisEngine, RedisEngine], store: RedisServer
):
    await do(two[0], task())
    assert store.ask("SCRIPT", "FLUSH") == "+OK"
    [found] = await do(two[0], claim())
    assert isinstance(found, list)
    assert len(found) == 1
    exists = await two[0]._link.ask("SCRIPT", "EXISTS", APPLY.sha)
    assert list(exists) in ([1], [True])


async def test_after_a_restart_of_the_store_all_goes_on(mortal: RedisServer):
    one, other = engine_on(mortal), engine_on(mortal)
    await one.open()
    await other.open()
    await do(one, task())
    ears = Ears(other)
    mortal.kill()
    mortal.restart()
    [found] = await do(other, claim())
    assert isinstance(found, list)
    assert len(found) == 1
    await do(one, task("AFTER"))
    # Messages are heard again, too, or what they tell is seen.
    await ears.until(lambda happened: ("default", "AFTER") in happened.ready)
    await one.close()
    await other.close()


async def test_a_store_that_does_not_answer_holds_nobody_for_ever(mortal: RedisServer):
    engine = engine_on(mortal)
    await engine.open()
    mortal.kill()
    async with asyncio.timeout(10):
        with pytest.raises(Fault) as caught:
            await engine.stats(None)
        assert caught.value.entry.code == "QUEUE031"
        await engine.close()


async def test_keys_of_one_command_lie_on_one_node_and_commands_on_several(
    redis_cluster: RedisNodes,
):
    empty(redis_cluster)
    engine = engine_on(redis_cluster)
    await engine.open()
    names = [f"KIND-{n}" for n in range(30)]
    await do(engine, *(task(name) for name in names))
    sizes = [int(node.ask("DBSIZE")[1:]) for node in redis_cluster.nodes]
    assert min(sizes) >= 5, sizes
    [found] = await do(engine, claim(100, ()))
    assert isinstance(found, list)
    assert len(found) == 30
    await engine.close()


@pytest.mark.slow
async def test_a_lost_node_is_told_and_commands_go_on_when_it_is_back(tmp_path: Path):
    binary = system_binary()
    assert binary is not None
    nodes = RedisNodes(binary, tmp_path / "nodes")
    engine = engine_on(nodes, pool=4)
    try:
        await engine.open()
        names = [f"KIND-{n}" for n in range(12)]
        await do(engine, *(task(name) for name in names))
        nodes.nodes[1].kill()
        told = []
        for name in names:
            try:
                await do(engine, task(name))
            except Fault as fault:
                told.append(fault.entry.code)
        assert set(told) == {"QUEUE031"}
        nodes.nodes[1].restart()
        async with asyncio.timeout(30):
            found: set[str] = set()
            while found != set(names):
                # A claim whose answer was lost for good has its tasks until their leases end.
                claims = [do(engine, Move(), claim(1, (name,), seconds=1.0)) for name in names]
                for result in await asyncio.gather(*claims, return_exceptions=True):
                    if isinstance(result, BaseException):
                        assert isinstance(result, Fault)
                        continue
                    _, tasks = result
                    found |= {each.command for each in tasks}  # type: ignore[union-attr]
        await engine.close()
    finally:
        nodes.stop()


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["PACK", "pack", "a.b", "{x}", "}{", "über:größe", "~41", "a/b?c", "日本", "%41"]
)
async def test_any_command_can_be_served_and_its_ids_say_where_the_task_is(
    redis_cluster: RedisNodes, command: str
):
    empty(redis_cluster)
    engine = engine_on(redis_cluster)
    await engine.open()
    [made] = await do(engine, task(command))
    assert isinstance(made, Task)
    assert made.command == command
    assert command_of(tag_of(command)) == command
    assert split_id(made.id)[1] == tag_of(command)
    assert set(made.id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-")
    assert await engine.task("default", made.id) == made
    [[held]] = await do(engine, claim(1, (command,)))  # type: ignore[misc]
    assert held.id == made.id
    [done] = await do(engine, Finish("default", held.id, "w", held.lease_token, ok=True))
    assert isinstance(done, Task)
    await engine.close()


def test_no_two_commands_share_a_tag():
    names = ["a", "A", "~61", "a~", "a.", "a-", "a_", "{a}", "ä", "a:", "é"]
    assert len({tag_of(name) for name in names}) == len(names)
