"""The loop that removes what is kept for a time only: answers of repeated requests, marks of
received webhooks, and the audit for its `audit_keep` seconds (0: for ever)."""

import asyncio

from backstay.app.audit import rows as audit
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

    def __init__(self, database: Database, clock: Clock, audit_keep: float = 0.0) -> None:
        self._database = database
        self._audit_keep = audit_keep
        self._clock = clock
        self.wake = asyncio.Event()

    async def step(self) -> float | None:
        now = micros(self._clock.now())
        await self._database.write(lambda conn: forget(conn, now))
        await self._database.write(lambda conn: forget_received(conn, now))
        if self._audit_keep:
            before = micros(self._clock.now() - self._audit_keep)
            await self._database.write(lambda conn: audit.forget(conn, before))
        return self._clock.tick() + PERIOD
