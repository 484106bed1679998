"""The redis engine beside the memory engine, which is the specification: the same random life,
operation by operation, must be answered alike.

What may differ is left out of the comparison: whose turn it is among tenants and commands when a
claim serves several, and the tag that ids carry.
"""

import os
import random
from typing import Any

import msgspec
import pytest
from tests.queue.redis.conftest import empty, engine_on
from tests.servers.valkey import RedisServer

from backstay.core.backoff import Backoff
from backstay.core.errors import Fault
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.model import Delivery, Periodic, Policy, Rules, Subscription, Task, TaskQuery
from backstay.queue.operations import (
    Abandon,
    Ack,
    Cancel,
    Claim,
    Create,
    Extend,
    Finish,
    Fire,
    Move,
    Nack,
    Op,
    Purge,
    Redrive,
    Reschedule,
    SetPeriodic,
    SetPolicy,
    SettleDelivery,
    Subscribe,
    TakeDeliveries,
    TakeNotices,
)
from backstay.queue.store import Engine
from backstay.queue.store.memory import MemoryEngine

RULES = Rules(backoff=Backoff("exponential", 2.0, 60.0), retention=300.0)
TENANTS = ("red", "blue")
COMMANDS = ("PACK", "SHIP")
STATES = ("ready", "delayed", "leased", "completed", "failed", "dead", "cancelled")


class Life:
    """One random life, lived by two engines."""

    def __init__(self, one: Engine, two: Engine, clock: VirtualClock, dice: random.Random) -> None:
        self.engines = (one, two)
        self.clock = clock
        self.dice = dice
        self.ids = CountingIds("t")
        self.tasks: list[tuple[str, str]] = []
        self.held: list[Task] = []
        self.calls: list[tuple[str, str]] = []
        self.periodic: dict[tuple[str, str], float] = {}
        self.story: list[object] = []

    async def step(self) -> None:
        kind = self.dice.choices(*zip(*_WEIGHTS.items(), strict=True))[0]
        if kind == "wait":
            self.clock.advance_now(self.dice.choice((0.0, 0.5, 1, 2, 5, 20, 100)))
            if self.dice.random() < 0.1:
                self.clock.jump(self.dice.choice((-50.0, 50.0)))
            self.story.append(("wait", self.clock.now(), self.clock.tick()))
            op: Op = Move()
        else:
            op = getattr(self, f"a_{kind}")()
        await self.do(op)

    async def do(self, op: Op) -> None:
        self.story.append(op)
        mine, theirs = [await self.ask(engine, op) for engine in self.engines]
        assert plain(mine) == plain(theirs), f"{op!r} after {self.story[-8:]}"
        if isinstance(op, Claim):
            self.held += theirs
        if isinstance(op, TakeDeliveries):
            self.calls += pairs_of(mine, theirs)
        if isinstance(op, Create | Fire) and isinstance(mine, Task):
            self.tasks.append((mine.id, theirs.id))

    async def ask(self, engine: Engine, op: Op) -> Any:
        if engine is self.engines[0]:
            op = self.untagged(op)
        [result] = await engine.apply([op], self.clock.now())
        return result

    def untagged(self, op: Op) -> Op:
        """The same for the memory engine, whose ids carry no tag."""
        if isinstance(op, SettleDelivery):
            known = {theirs: mine for mine, theirs in self.calls}
            return msgspec.structs.replace(op, id=known.get(op.id, "unknown"))
        if isinstance(op, Ack):
            return msgspec.structs.replace(op, ids=tuple(map(local, op.ids)))
        if hasattr(op, "id") and not isinstance(op, Create):
            return msgspec.structs.replace(op, id=local(op.id))
        return op

    async def compare(self) -> None:
        """What can be read is the same, too."""
        for query in self.queries():
            pages = [await engine.page(query) for engine in self.engines]
            assert plain(pages[0].items) == plain(pages[1].items), (query, self.story[-12:])
            assert bool(pages[0].next) == bool(pages[1].next), query
        stats = [await engine.stats(None) for engine in self.engines]
        for each in stats:
            each[:] = [msgspec.structs.replace(row, last_claim_at=0.0) for row in each]
        assert stats[0] == stats[1], self.story[-12:]
        for mine, theirs in self.tasks[-20:]:
            found = [
                await self.engines[0].attempts("*", mine),
                await self.engines[1].attempts("*", theirs),
            ]
            assert found[0] == found[1], (mine, self.story[-12:])
        for reader in ("policies", "periodics", "subscriptions"):
            found = [await getattr(engine, reader)(None) for engine in self.engines]
            assert sorted(map(repr, found[0])) == sorted(map(repr, found[1]))
        for given_up in (False, True):
            found = [
                await engine.deliveries(None, given_up=given_up, limit=99)
                for engine in self.engines
            ]
            assert sorted(map(str, map(plain, found[0]))) == sorted(map(str, map(plain, found[1])))
        assert await self.engines[1].audit(repair=False) == [], self.story[-12:]

    def queries(self) -> list[TaskQuery]:
        newest = self.dice.random() < 0.5
        states = tuple(self.dice.sample(STATES, self.dice.randrange(4)))
        return [
            TaskQuery(command="PACK", states=states, limit=self.dice.choice((1, 5, 200))),
            TaskQuery(tenant="red", newest_first=newest, limit=self.dice.choice((3, 200))),
            TaskQuery(reply_to="app", command="SHIP", limit=50),
            TaskQuery(key="k1", states=states, limit=200),
            TaskQuery(tag="urgent", newest_first=newest, limit=200),
            TaskQuery(worker="ann", states=("leased",), limit=200),
        ]

    # --- what may happen ---------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        return {"tenant": self.dice.choice(TENANTS), "command": self.dice.choice(COMMANDS)}

    def later(self) -> float:
        return self.clock.now() + self.dice.choice((-5.0, 0.0, 1.0, 3.0, 30.0))

    def a_create(self) -> Create:
        key = self.dice.choice(("", "", "once1", "once2"))
        return Create(
            id=self.ids.new(),
            payload="{}",
            priority=self.dice.choice((0, 0, 3, 9)),
            max_attempts=self.dice.choice((1, 2, 3)),
            due_at=self.dice.choice((0.0, 0.0, self.later())),
            idempotency_key=key,
            fingerprint=self.dice.choice(("f", "g")) if key else "",
            reply_to=self.dice.choice(("", "", "app")),
            webhook=self.dice.choice(("", "", "http://127.0.0.1/hook")),
            tags=tuple(self.dice.sample(("urgent", "north"), self.dice.randrange(3))),
            key=self.dice.choice(("", "", "k1", "k2")),
            **self.where(),
        )

    def a_claim(self) -> Claim:
        count = self.dice.choice((1, 1, 2, 5))
        where = self.where()
        tokens = tuple(self.ids.new() for _ in range(count))
        return Claim(
            worker=self.dice.choice(("ann", "bob")),
            tokens=tokens,
            lease_seconds=self.dice.choice((5.0, 30.0)),
            commands=(where["command"],),
            tenants=(where["tenant"],),
            count=count,
        )

    def hold(self) -> dict[str, str]:
        if not self.held:
            return {"tenant": "red", "id": "t-000000.PACK", "worker": "ann", "token": ""}
        task = self.dice.choice(self.held[-6:])
        return {
            "tenant": self.dice.choice((task.tenant, task.tenant, task.tenant, "*", "blue")),
            "id": task.id,
            "worker": self.dice.choice((task.worker, task.worker, task.worker, "eve")),
            "token": self.dice.choice((task.lease_token, task.lease_token, "", "wrong")),
        }

    def any_id(self) -> str:
        return self.dice.choice(self.tasks[-15:])[1] if self.tasks else "t-000000.PACK"

    def a_extend(self) -> Extend:
        return Extend(**self.hold(), seconds=10.0, progress=self.dice.choice(("", '{"at":1}')))

    def a_finish(self) -> Finish:
        ok = self.dice.random() < 0.7
        return Finish(
            **self.hold(), ok=ok, result='{"n":1}' if ok else "", error="" if ok else "no"
        )

    def a_nack(self) -> Nack:
        return Nack(**self.hold(), reason="broke", delay=self.dice.choice((None, 0.0, 4.0)))

    def a_abandon(self) -> Abandon:
        return Abandon(**self.hold())

    def a_cancel(self) -> Cancel:
        return Cancel("*", self.any_id(), "changed")

    def a_redrive(self) -> Redrive:
        return Redrive("*", self.any_id(), self.dice.choice((0.0, self.later())))

    def a_reschedule(self) -> Reschedule:
        return Reschedule("*", self.any_id(), self.dice.choice((0.0, self.later())))

    def a_purge(self) -> Purge:
        states = self.dice.choice(((), ("completed",), ("dead", "failed")))
        before = self.clock.now() - self.dice.choice((0.0, 50.0))
        return Purge("*", self.dice.choice((*COMMANDS, "")), before, states=states)

    def a_ack(self) -> Ack:
        return Ack("*", "app", tuple(self.any_id() for _ in range(3)))

    def a_policy(self) -> SetPolicy:
        where = self.where()
        if self.dice.random() < 0.3:
            where["tenant"] = "*"
        bounds: dict[str, Any] = {}
        if self.dice.random() < 0.6:
            bounds = self.dice.choice(
                (
                    {"paused": True},
                    {"concurrency": 2},
                    {"key_concurrency": 1},
                    {"concurrency": 3, "key_concurrency": 1},
                )
            )
        return SetPolicy(Policy(**where, **bounds))

    def a_periodic(self) -> SetPeriodic:
        tenant, name = self.dice.choice(TENANTS), self.dice.choice(("nightly", "hourly"))
        next_at = self.clock.now() + 10
        self.periodic[tenant, name] = next_at
        return SetPeriodic(
            Periodic(tenant, name, "PACK", "{}", "* * * * *", next_at=next_at),
            remove=self.dice.random() < 0.3,
        )

    def a_fire(self) -> Fire:
        tenant, name = self.dice.choice(TENANTS), self.dice.choice(("nightly", "hourly"))
        at = self.periodic.get((tenant, name), 1.0)
        next_at = at + 60
        if self.dice.random() < 0.7:
            self.periodic[tenant, name] = next_at
        task = Create(self.ids.new(), tenant, "PACK", '{"cron":1}')
        return Fire(tenant, name, at, next_at, self.dice.choice((task, task, None)))

    def a_subscribe(self) -> Subscribe:
        wish = Subscription(
            self.dice.choice((*TENANTS, "*")),
            self.dice.choice(("s1", "s2")),
            "http://127.0.0.1/",
            self.dice.choice((("PACK",), ("SHIP",), ())),
            self.clock.now() + self.dice.choice((5.0, 500.0)),
        )
        return Subscribe(wish, remove=self.dice.random() < 0.2)

    def a_notices(self) -> TakeNotices:
        return TakeNotices(**self.where())

    def a_deliveries(self) -> TakeDeliveries:
        return TakeDeliveries(30.0)

    def a_settle(self) -> SettleDelivery:
        outcome = self.dice.choice(
            (("", None), ("bad", None), ("bad", self.later()), ("", self.later()))
        )
        known = [theirs for _, theirs in self.calls[-5:]]
        return SettleDelivery(self.dice.choice([*known, "t-000000-1.PACK"]), *outcome)


_WEIGHTS = {
    "create": 30,
    "claim": 20,
    "wait": 18,
    "finish": 12,
    "nack": 8,
    "extend": 4,
    "abandon": 4,
    "cancel": 3,
    "redrive": 3,
    "reschedule": 3,
    "policy": 3,
    "ack": 2,
    "purge": 1,
    "periodic": 1,
    "fire": 2,
    "subscribe": 1,
    "notices": 2,
    "deliveries": 2,
    "settle": 2,
}


def local(id: str) -> str:
    """An id without its tag."""
    return id.partition(".")[0]


def pairs_of(mine: list[Delivery], theirs: list[Delivery]) -> list[tuple[str, str]]:
    """Ids of the same callback; where a task has several they cannot be told apart."""
    found = []
    for each in mine:
        same = [other for other in theirs if local(other.task_id) == each.task_id]
        if len(same) == 1 and sum(one.task_id == each.task_id for one in mine) == 1:
            found.append((each.id, same[0].id))
    return found


def plain(value: Any) -> Any:
    """Without what may differ: tags in ids; of a fault its code and state; how callbacks count."""
    if isinstance(value, Fault):
        return value.entry.code, value.values.get("state", "")
    if isinstance(value, Task):
        return msgspec.structs.replace(value, id=local(value.id))
    if isinstance(value, Delivery):
        return msgspec.structs.replace(value, id="", task_id=local(value.task_id))
    if isinstance(value, list | tuple):
        found = [plain(each) for each in value]
        alike = value and isinstance(value[0], Delivery | Subscription)
        return sorted(found, key=repr) if alike else found
    return value


async def live(store: RedisServer, seed: int, steps: int) -> None:
    empty(store)
    clock = VirtualClock()
    memory = MemoryEngine(RULES, clock, FixedDice())
    redis = engine_on(store, clock, RULES)
    await memory.open()
    await redis.open()
    life = Life(memory, redis, clock, random.Random(seed))
    try:
        for number in range(steps):
            await life.step()
            if number % 20 == 19:
                await life.compare()
    finally:
        await redis.close()


@pytest.mark.parametrize("seed", range(int(os.environ.get("LIVES", "12"))))
async def test_a_random_life_is_answered_as_the_memory_engine_does(
    redis_server: RedisServer, seed: int
):
    await live(redis_server, seed, 250)
