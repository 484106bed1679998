"""What stands between a simulation and the real parts: the engine, watched, and receivers."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from backstay.core.breaker import Breaker
from backstay.queue.lanes import Tried
from backstay.queue.operations import Op, OpResult
from backstay.queue.outgoing import Sent
from backstay.queue.store.sqlite import SqliteEngine


class Asked(msgspec.Struct):
    """One apply on its way."""

    ops: Sequence[Op]
    now: float
    began: float
    tick: float
    results: list[OpResult] | None = None
    failure: Exception | None = None
    group: int = 0


class Tracked:
    """The engine as clients and loops know it; writes down what is asked, in the order of it."""

    def __init__(self, engine: SqliteEngine, times: Callable[[], tuple[float, float]]) -> None:
        self.engine = engine
        self.asked: list[Asked] = []
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    async def apply(self, ops: Sequence[Op], now: float) -> list[OpResult]:
        asked = Asked(ops, now, *self._times())
        self.asked.append(asked)
        try:
            asked.results = await self.engine.apply(ops, now)
        except Exception as failure:
            asked.failure = failure
            raise
        return asked.results


class Receivers:
    """In place of other people's servers: they take a call, refuse it, or take it and say
    nothing, so that it comes once more."""

    seconds = 1.0

    def __init__(self, dice: random.Random, called: Callable[[str, str], None]) -> None:
        self.breakers: dict[str, Breaker] = {}
        self._dice = dice
        self._called = called

    def used_by(self, _drain: object) -> None:
        return

    async def post(self, _kind: str, _url: str, _id: str, body: bytes, _trace: str) -> Sent:
        await asyncio.sleep(0)
        chance = self._dice.random()
        if chance < 0.7:
            told = msgspec.json.decode(body)
            self._called(told["taskId"], told["status"].lower())
        if chance < 0.6:
            return Sent("taken", Tried("works"))
        return Sent("refused", Tried("works"), "it answered 503")
