"""Every process is a list of Services and Loops, run by one runner.

Why one runner: start order, readiness, drain order and what a signal means are then decided
once, and a simulation can schedule the same Loops on a virtual clock.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import structlog

from backstay.core.clock import Clock

_log = structlog.get_logger("core.service")
_FAILED_PAUSE = 1.0
_INSIST = 0.5


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
        await end_tasks(loops)
        for service in reversed(started):
            await service.stop()


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels them until all have ended; how they did is nobody's concern. Once is not enough: a
    library may take a cancellation for a lost connection, and background work goes on after that.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=_INSIST)
        await asyncio.gather(*done, return_exceptions=True)


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
