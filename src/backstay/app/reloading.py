"""Hot reload: a program that was changed on disk is served a moment later.

No request is dropped by it: those under way end by the program that they began with, and the next
one meets the new routes. A program that cannot be served, or that wants a migration which touches
what is stored, changes nothing: the one before goes on, and the reason is shown.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import Fault, Plain, for_terminal
from backstay.core.health import Check, Finding
from backstay.lang.program import Program

_log = structlog.get_logger("app.program")
LOOK = 0.05
"""Seconds between two looks at the files."""


Swap = Callable[[Program], Awaitable[None]]
"""Serves another program, or raises a Fault and has changed nothing."""


class Source(Protocol):
    """Where the program comes from; both calls may block and are made on another thread."""

    def signature(self) -> object:
        """Differs when the program may have changed; cheap."""
        ...

    def read(self) -> Program:
        """The checked program. Raises a Fault; mistakes are shown with their places."""
        ...


class Reloader:
    """A Loop. `show` is where people read why a program was not taken."""

    name = "program-watch"

    def __init__(
        self,
        source: Source,
        program: Program,
        swap: Swap,
        clock: Clock,
        show: Callable[[str], object],
    ) -> None:
        self._source = source
        self._swap = swap
        self._clock = clock
        self._show = show
        self._served = program.hash
        self._since = clock.now()
        self._seen: object = None
        self._taken: object = None
        self._refused: Fault | None = None
        self.wake = asyncio.Event()

    async def step(self) -> float | None:
        """Look once; a change is taken when it looks the same twice, so that no half of it is."""
        if self._seen is None:
            # What stands from the start stays until the end. To look through all of it for garbage,
            # which compiling another program is the occasion for, would stop every request.
            gc.freeze()
        seen = await asyncio.to_thread(self._source.signature)
        if seen == self._seen and seen != self._taken:
            self._taken = seen
            await self._take(seen)
        self._seen = seen
        return self._clock.tick() + LOOK

    async def _take(self, seen: object) -> None:
        began = self._clock.tick()
        try:
            program = await asyncio.to_thread(self._source.read)
            if await asyncio.to_thread(self._source.signature) != seen:
                return  # read while it was being written: the next look takes it
            if program.hash == self._served:
                self._refused = None
                return
            await self._swap(program)
        except Fault as fault:
            if await asyncio.to_thread(self._source.signature) != seen:
                return
            self._refused = fault
            self._show(f"{for_terminal(fault)}\n")
            _log.error(
                "program not taken, the one before goes on",
                code=fault.entry.code,
                error=fault.message,
                program=self._served,
            )
            return
        took = round((self._clock.tick() - began) * 1000, 1)
        self._served, self._since, self._refused = program.hash, self._clock.now(), None
        _log.info("program reloaded", program=program.hash, version=program.version, duration=took)

    def check(self) -> Check:
        """Degraded while what is on disk cannot be served."""
        return Check("program", critical=False, deadline=1.0, every=1.0, run=self._find)

    async def _find(self) -> Finding:
        if self._refused is None:
            return Finding("pass", self.facts())
        return Finding("warn", self.facts(), self._refused.message)

    def facts(self) -> dict[str, Plain]:
        """Which program is served since when, and why the one on disk is not."""
        refused = self._refused
        return {
            "program": self._served,
            "since": rfc3339(self._since),
            "refused": refused.entry.code if refused else "",
        }

    async def probe(self) -> dict[str, object]:
        """What the doctor may ask."""
        refused = self._refused
        return {**self.facts(), "error": refused.message if refused else ""}
