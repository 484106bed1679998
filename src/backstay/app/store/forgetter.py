"""The loop that removes what is kept for a time only: answers of repeated requests, and marks of
received webhooks."""

import asyncio

from backstay.app.incoming.received import forget as forget_received
from backstay.app.store.idempotency import forget
from backstay.app.store.session import Database
from backstay.app.values import micros
from backstay.core.clock import Clock

PERIOD = 600.0
"""Seconds between two looks."""


class Forgetter:
    """A Loop."""

    name = "forgetter"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.wake = asyncio.Event()

    async def step(self) -> float | None:
        now = micros(self._clock.now())
        await self._database.write(lambda conn: forget(conn, now))
        await self._database.write(lambda conn: forget_received(conn, now))
        return self._clock.tick() + PERIOD
