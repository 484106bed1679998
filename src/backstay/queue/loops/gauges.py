"""Depths and ages for the scrape: counted in the background, so that a scrape waits for nothing."""

import asyncio

import structlog

from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.queue.health import StoreHealth
from backstay.queue.metrics import QueueMetrics
from backstay.queue.service import Queue
from backstay.queue.store import ServedEngine

_EVERY = 5.0

_log = structlog.get_logger("queue.gauges")


class Gauges:
    """A Loop."""

    name = "gauges"

    def __init__(
        self,
        engine: ServedEngine,
        queue: Queue,
        metrics: QueueMetrics,
        health: StoreHealth,
        clock: Clock,
    ) -> None:
        self.wake = asyncio.Event()
        self._engine = engine
        self._queue = queue
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._failures = 0
        self._failed_at = float("-inf")

    async def step(self) -> float | None:
        await self.refresh()
        return self._clock.tick() + _EVERY

    async def refresh(self) -> None:
        """Count now. While the store is away the last depths stand and `codeq_store_up` is 0: a
        scrape that failed with the store would hide everything else that is known."""
        writable = self._takes_writes()
        try:
            queues = await self._engine.stats(None)
        except Fault as lost:
            if self._metrics.store_up(up=False):
                _log.warning("store cannot be counted", error=lost.message, cause=lost.cause)
            return
        if self._metrics.store_up(up=writable) and not writable:
            _log.warning("store takes no writes", store=self._engine.where)
        polled = self._engine.polled()
        commands = {queue.command for queue in queues} | self._queue.waited_for()
        waiting = {command: self._queue.waiting(command) for command in commands}
        self._metrics.depths(queues, polled, waiting)
        self._metrics.stored(self._engine.write_stats())

    def _takes_writes(self) -> bool:
        """Not while the write that health tries fails, nor until the next look after anybody's
        failed: on a disk that is nearly full the tiny one may still succeed."""
        tick, failures = self._clock.tick(), self._engine.write_stats().failures
        if failures > self._failures:
            self._failures, self._failed_at = failures, tick
        return self._health.last.outcome != "fail" and tick - self._failed_at >= _EVERY
