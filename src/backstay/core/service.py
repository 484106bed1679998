"""Every process is a list of Services and Loops, run by one runner.

Why one runner: start order, readiness, drain order and what a signal means are then decided
once, and a simulation can schedule the same Loops on a virtual clock.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import structlog

from backstay.core.clock import Clock

_log = structlog.get_logger("core.service")
_FAILED_PAUSE = 1.0


@runtime_checkable
class Service(Protocol):
    """Something that is opened, serves, and is closed."""

    name: str

    async def start(self) -> None:
        """Return once it works (store open and migrated, socket bound), or raise a Fault."""
        ...

    def ready(self) -> bool:
        """Whether it can take work now. No I/O."""
        ...

    async def drain(self, seconds: float) -> None:
        """Stop accepting, then finish or hand back what runs within `seconds`."""
        ...

    async def stop(self) -> None:
        """Close. Calling it twice is fine."""
        ...


@runtime_checkable
class Loop(Protocol):
    """Background work in bounded steps."""

    name: str
    wake: asyncio.Event

    async def step(self) -> float | None:
        """Do a bounded piece of work. Returns the tick of the next wish; None waits for `wake`."""
        ...


async def run(
    parts: Sequence[Service | Loop], clock: Clock, stopping: asyncio.Event, grace: float = 25.0
) -> None:
    """Start services in order, run loops until `stopping`, drain in reverse order, stop.

    Raises the first start failure after stopping what had started. `grace` is the time in
    seconds that all drains share.
    """
    started: list[Service] = []
    loops: list[asyncio.Task[None]] = []
    try:
        for part in parts:
            if isinstance(part, Loop):
                loops.append(asyncio.create_task(_drive(part, clock), name=part.name))
            else:
                started.append(part)
                await part.start()
        await stopping.wait()
        end = clock.tick() + grace
        for service in reversed(started):
            await service.drain(max(0.0, end - clock.tick()))
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for service in reversed(started):
            await service.stop()


async def _drive(loop: Loop, clock: Clock) -> None:
    while True:
        loop.wake.clear()
        try:
            wish = await loop.step()
        except Exception:  # noqa: BLE001
            # A loop must outlive one bad step: its work is durable and will be met again.
            _log.exception("background step failed", loop=loop.name)
            wish = clock.tick() + _FAILED_PAUSE
        await _until(loop.wake, wish, clock)


async def _until(wake: asyncio.Event, wish: float | None, clock: Clock) -> None:
    if wish is None:
        await wake.wait()
        return
    waits = [asyncio.ensure_future(wake.wait()), asyncio.ensure_future(clock.sleep(wish))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
