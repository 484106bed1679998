"""Short lives of one queue under bounds. What an engine lets through is compared, commit by commit,
with what the memory engine does, which looks at every task anew each time.

A step is a word and three numbers, so that a failing story can be cut down to the steps that
matter. What may differ is left out: the tag of an id, and what a `Move` counts.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import apsw
import msgspec

from backstay.core.backoff import Backoff
from backstay.core.errors import Fault
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.model import ANY_TENANT, Policy, Rules, State, Task, TaskQuery
from backstay.queue.operations import (
    Abandon,
    Cancel,
    Claim,
    Create,
    Finish,
    Move,
    Nack,
    Op,
    Redrive,
    Reschedule,
    SetPolicy,
)
from backstay.queue.store import Engine
from backstay.queue.store.memory import MemoryEngine
from backstay.queue.store.memory_world import World

RULES = Rules(backoff=Backoff("exponential", 2.0, 8.0), retention=1e6)
TENANTS = ("a", "a", "a", "b")
WEIGHTS = {
    "create": 20,
    "claim": 16,
    "end": 14,
    "wait": 8,
    "reschedule": 8,
    "cancel": 3,
    "policy": 3,
    "redrive": 2,
    "spoil": 1,
    "reopen": 1,
}
MOST = 59
"""The largest number of a step."""

Step = tuple[str, int, int, int]


class Frame(msgspec.Struct, frozen=True):
    """The rates of a story: they hold or do not hold, but are never others. What a bucket is worth
    under another rate is each engine's own."""

    rate: float
    key_rate: float
    burst: int


class Judged(NamedTuple):
    """An engine under test; `make` opens one on what the last one left. `alone`: it keeps its store
    to itself, so it starts anew with full buckets, a commit of it can fail as a whole, and it is
    exact also when time has passed and nobody has moved."""

    make: Callable[[VirtualClock], Awaitable[Engine]]
    alone: bool


class Life:
    """`run` raises AssertionError where the two part; `told` is what was asked until then."""

    def __init__(self, frame: Frame, judged: Judged) -> None:
        self._frame = frame
        self._judged = judged
        self._clock = VirtualClock()
        self._world = World()
        self._ids = CountingIds("t")
        self._waiting: list[Op] = []
        self._tasks: dict[str, str] = {}
        self._held: list[Task] = []
        self.told: list[object] = []

    async def run(self, steps: Sequence[Step]) -> None:
        self._model = MemoryEngine(RULES, self._clock, FixedDice(), self._world)
        self._engine = await self._judged.make(self._clock)
        try:
            for kind, a, b, c in steps:
                await getattr(self, f"_{kind}")(a, b, c)
            await self._flush()
            await self._drain()
        finally:
            await self._engine.close()

    async def _ask(self, op: Op, c: int = 1) -> None:
        """Some are one commit with the next."""
        self._waiting.append(op)
        if c % 3 or len(self._waiting) > 3:
            await self._flush()

    async def _flush(self) -> None:
        ops, self._waiting = self._waiting, []
        if not ops:
            return
        self.told.append((self._clock.now(), ops))
        found = await self._engine.apply(ops, self._clock.now())
        meant = await self._model.apply([_untagged(op) for op in ops], self._clock.now())
        for op, theirs, mine in zip(ops, found, meant, strict=True):
            if not isinstance(op, Move):
                assert _plain(theirs) == _plain(mine), op
            if isinstance(op, Claim):
                assert isinstance(theirs, list)
                self._held += theirs
            elif isinstance(op, Create):
                assert isinstance(theirs, Task)
                self._tasks[_local(theirs.id)] = theirs.id

    async def _drain(self) -> None:
        """Without bounds all that waits is there, in its order, and nothing contradicts itself."""
        assert await self._engine.audit(repair=False) == []
        pages = [
            (await engine.page(TaskQuery(limit=1000))).items
            for engine in (self._engine, self._model)
        ]
        assert _plain(list(pages[0])) == _plain(list(pages[1]))
        for tenant in ("a", "b", ANY_TENANT):
            await self._ask(SetPolicy(Policy(tenant, "PACK")))
        for tenant in ("a", "b"):
            tokens = tuple(self._ids.new() for _ in range(100))
            await self._ask(Claim("end", tokens, 60.0, ("PACK",), (tenant,), 100))

    # --- steps -----------------------------------------------------------------------------------

    async def _create(self, a: int, b: int, c: int) -> None:
        made = Create(
            self._ids.new(),
            TENANTS[a % 4],
            "PACK",
            "{}",
            priority=(0, 0, 0, 5)[b % 4],
            max_attempts=(2, 3, 9)[a % 3],
            due_at=self._clock.now() + 2 if b % 7 == 0 else 0.0,
            key=("", "k", "k", "k", "m")[c % 5],
        )
        await self._ask(made, c)

    async def _claim(self, a: int, b: int, c: int) -> None:
        tokens = tuple(self._ids.new() for _ in range((1, 2, 3, 5)[b % 4]))
        seconds = (1.0, 4.0, 60.0)[a % 3]
        await self._ask(Claim("w", tokens, seconds, ("PACK",), (TENANTS[a % 4],), len(tokens)), c)

    async def _end(self, a: int, b: int, c: int) -> None:
        if not self._held:
            return
        task = self._held.pop(a % len(self._held))
        hold = (task.tenant, task.id, task.worker, task.lease_token)
        ways: tuple[Op, ...] = (
            Finish(*hold, ok=True, result='"done"'),
            Finish(*hold, ok=False, error="no"),
            Nack(*hold, reason="broke", delay=0.0),
            Nack(*hold, reason="broke"),
            Abandon(*hold),
            Cancel(task.tenant, task.id),
        )
        await self._ask(ways[b % 6], c)

    async def _cancel(self, a: int, _b: int, c: int) -> None:
        await self._act(partial(Cancel, ANY_TENANT), a, c, "ready", "delayed")

    async def _reschedule(self, a: int, b: int, c: int) -> None:
        later = (0.0, 0.0, self._clock.now() + 0.5, self._clock.now() + 4)[b % 4]
        make = partial(Reschedule, ANY_TENANT, due_at=later)
        await self._act(make, a, c, "ready", "ready", "delayed")

    async def _redrive(self, a: int, b: int, c: int) -> None:
        later = 0.0 if b % 2 else self._clock.now() + 1
        make = partial(Redrive, ANY_TENANT, due_at=later)
        await self._act(make, a, c, "dead", "failed", "cancelled")

    async def _act(self, make: Callable[[str], Op], a: int, c: int, *states: State) -> None:
        """On one task of those in the state that `a` names, if there is one."""
        found = self._in(states[a % len(states)])
        if found:
            await self._ask(make(found[a // len(states) % len(found)]), c)

    def _in(self, state: State) -> list[str]:
        """As the engine under test calls them."""
        return [self._tasks[entry.task.id] for entry in self._world.within(state)]

    async def _policy(self, a: int, b: int, c: int) -> None:
        frame = self._frame
        rated: dict[str, Any] = {"rate": frame.rate, "burst": frame.burst}
        keyed: dict[str, Any] = {"key_rate": frame.key_rate, "burst": frame.burst}
        bounds: tuple[dict[str, Any], ...] = (
            {},
            {"paused": True},
            {"concurrency": 1 + b % 3},
            {"key_concurrency": 1 + b % 3},
            {"key_concurrency": 2},
            {"concurrency": 3, "key_concurrency": 1 + b % 2},
            rated,
            keyed,
            keyed | {"key_concurrency": 1 + b % 3},
            rated | keyed,
            rated | keyed | {"concurrency": 2, "key_concurrency": 2},
        )
        tenant = ("a", "a", "b", ANY_TENANT)[c % 4]
        await self._ask(SetPolicy(Policy(tenant, "PACK", **bounds[a % len(bounds)])), b)

    # --- time, and what goes wrong ---------------------------------------------------------------

    async def _wait(self, a: int, b: int, _c: int) -> None:
        await self._flush()
        self._clock.advance_now((0.25, 0.5, 1, 2, 4, 20)[a % 6])
        if b % 3 or not self._judged.alone:
            await self._ask(Move())

    async def _spoil(self, a: int, b: int, _c: int) -> None:
        """A commit that fails as a whole: what it has changed was never so. One that would take
        tokens of a rate is left out, for an engine need not give those back."""
        await self._flush()
        ready = self._in("ready")
        if not (self._judged.alone and ready):
            return
        ops: list[Op] = [Cancel(ANY_TENANT, ready[a % len(ready)])]
        if b % 2:
            ops.append(Reschedule(ANY_TENANT, ready[-1], self._clock.now() + 9))
        if not (self._frame.rate or self._frame.key_rate):
            ops.append(Claim("w", (self._ids.new(),), 9.0, ("PACK",), ("a",), 1))
        ops.append(Create(ready[0], "a", "PACK", "{}"))
        self.told.append((self._clock.now(), "fails", ops))
        try:
            await self._engine.apply(ops, self._clock.now())
        except apsw.ConstraintError:
            return
        raise AssertionError("a task of an id that there is was stored")

    async def _reopen(self, _a: int, _b: int, _c: int) -> None:
        await self._flush()
        if not self._judged.alone:
            return
        self.told.append("reopened")
        await self._engine.close()
        self._engine = await self._judged.make(self._clock)
        self._model = MemoryEngine(RULES, self._clock, FixedDice(), self._world)
        await self._model.open()


def _local(id: str) -> str:
    return id.partition(".")[0]


def _untagged(op: Op) -> Op:
    """For the memory engine, whose ids carry no tag."""
    if isinstance(op, Create) or not hasattr(op, "id"):
        return op
    return msgspec.structs.replace(op, id=_local(op.id))


def _plain(result: Any) -> Any:
    if isinstance(result, Fault):
        return result.entry.code
    if isinstance(result, list):
        return [_plain(each) for each in result]
    if isinstance(result, Task):
        return msgspec.structs.replace(result, id=_local(result.id))
    return result
