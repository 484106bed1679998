"""A command that nothing is in for a day is forgotten, and nothing else with it."""

from typing import Any

import pytest
from tests.queue.redis.conftest import engine_on
from tests.servers.valkey import RedisServer

from backstay.core.clock import SystemClock
from backstay.queue.model import ANY_TENANT
from backstay.queue.operations import Cancel, Claim, Create, Op, OpResult, Purge
from backstay.queue.store.redis import RedisEngine
from backstay.queue.store.redis_layout import COMMANDS

CLOCK = SystemClock()


async def do(engine: RedisEngine, op: Op) -> OpResult:
    [found] = await engine.apply([op], CLOCK.now())
    return found


async def empty_for_a_day(engine: RedisEngine, store: RedisServer) -> None:
    task: Any = await do(engine, Create("t1", "default", "RARE", "{}"))
    await do(engine, Cancel("default", task.id))
    assert await do(engine, Purge(ANY_TENANT, "RARE", CLOCK.now() + 9)) == 1
    store.ask("ZADD", COMMANDS, "1", "RARE")


async def test_a_command_that_is_not_used_any_more_leaves_nothing(store: RedisServer):
    engine = engine_on(store)
    await engine.open()
    await empty_for_a_day(engine, store)
    assert store.ask("EXISTS", "codeq:{RARE}:seq") == ":1"
    await engine._watch.look()
    assert store.ask("EXISTS", "codeq:{RARE}:seq") == ":0"
    assert store.ask("ZCARD", COMMANDS) == ":0"
    await engine.close()


@pytest.mark.parametrize("step", ["ZSCORE", "forget"])
async def test_a_task_that_comes_while_its_command_is_forgotten_is_not_lost(
    store: RedisServer, monkeypatch: pytest.MonkeyPatch, step: str
):
    """Another server begins to use it after each step of the one that forgets it."""
    one, other = engine_on(store), engine_on(store)
    await one.open()
    await empty_for_a_day(one, store)
    await other.open()
    real_ask, real_read = one._link.ask, one._link.read

    async def ask(*words: Any) -> Any:
        found = await real_ask(*words)
        if words[0] == step:
            await do(other, Create("t2", "default", "RARE", "{}"))
        return found

    async def read(script: Any, *given: Any) -> Any:
        found = await real_read(script, *given)
        if script.name == step:
            await do(other, Create("t2", "default", "RARE", "{}"))
        return found

    monkeypatch.setattr(one._link, "ask", ask)
    monkeypatch.setattr(one._link, "read", read)
    store.ask("ZADD", COMMANDS, "1", "RARE")
    await one._watch.look()
    assert store.ask("ZSCORE", COMMANDS, "RARE").startswith("$")
    late = engine_on(store)
    await late.open()
    assert await late.audit(repair=False) == []
    [task] = await do(late, Claim("w", ("k",), 60.0))  # type: ignore[misc]
    assert task.payload == "{}"
    for engine in (one, other, late):
        await engine.close()
