"""One supervised process through its lives: started, found ready, restarted, given up, drained."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from backstay.core.backoff import Backoff
from backstay.core.clock import Clock, SystemDice, rfc3339
from backstay.core.control import ask
from backstay.core.errors import Exit, Fault
from backstay.core.runtime import read_exit
from backstay.up.http import answers_well
from backstay.up.logs import Lines
from backstay.up.plan import ChildSpec
from backstay.up.spawn import Running, spawn
from backstay.up.state import LastExit, ProcessPhase, ProcessState

CRASHES = 5
WINDOW = 60.0
"""A process that ends `CRASHES` times within `WINDOW` seconds is given up."""

_BACKOFF = Backoff("exponential", base=0.2, cap=5.0)
_POLL_FIRST = 0.02
_POLL_LAST = 0.25
_LATE_OUTPUT = 0.5
_HEALTH_GRACE = 3.0
_HOLD = 5.0
_NOT_STARTED = 127
_CHUNK = 65_536


class Child:
    """`changed` is called after each change of state; `line` takes what it prints."""

    def __init__(
        self,
        spec: ChildSpec,
        runtime: Path,
        clock: Clock,
        line: Callable[[str, bytes], None],
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.settled = asyncio.Event()
        self.last_exit: LastExit | None = None
        self.phase: ProcessPhase = "starting"
        self._runtime = runtime
        self._clock = clock
        self._line = line
        self._changed = changed
        self._running: Running | None = None
        self._started = ""
        self._restarts = 0
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._ending = False
        self._again = False
        self._wake = asyncio.Event()

    def state(self) -> ProcessState:
        """As `state.json` shows it."""
        return ProcessState(
            pid=self._running.pid if self._running else None,
            started=self._started,
            state=self.phase,
            address=self.spec.address,
            control=str(self.spec.control or ""),
            restarts=self._restarts,
            last_exit=self.last_exit,
        )

    async def keep(self, after: Sequence["Child"] = ()) -> None:
        """Its whole life, begun when `after` have settled or took too long; returns once it was
        drained or killed for good."""
        await self._hold_back(after)
        while not self._ending:
            began_ready = await self._live_once()
            if self._is_ending():
                break
            if self._again:
                self._again = False
            elif self._hopeless(began_ready):
                self._move("gave_up")
                await self._pause(None)
            else:
                self._move("restarting")
                await self._pause(_BACKOFF.delay(len(self._crashes), SystemDice()))
            self._restarts += 1
        self._move("stopped")

    async def drain(self, seconds: float) -> None:
        """Ask it to finish and wait; what has not ended after `seconds` is killed."""
        self._ending = True
        self._wake.set()
        await self._finish(seconds)

    async def restart(self, seconds: float) -> None:
        """Drain it and start it anew; one that was given up is tried again."""
        self._again = True
        self._crashes.clear()
        self._wake.set()
        await self._finish(seconds)

    def kill(self) -> None:
        """At once and for good."""
        self._ending = True
        self._wake.set()
        if self._running:
            self._running.kill()

    def _is_ending(self) -> bool:
        return self._ending

    async def _finish(self, seconds: float) -> None:
        running = self._running
        if running is None:
            return
        running.drain()
        try:
            await asyncio.wait_for(running.process.wait(), seconds)
        except TimeoutError:
            self._say(f"not drained after {seconds:.0f} s, killed")
            running.kill()
            await running.process.wait()

    async def _live_once(self) -> bool:
        """One process from start to end. Tells whether it had become ready."""
        self._move("starting")
        self._started = rfc3339(self._clock.now())
        try:
            running = await spawn(self.spec, self._runtime)
        except OSError as failed:
            reason = f"cannot be started: {self.spec.command[0]}: {failed.strerror}"
            self._say(reason)
            self._ended(reason, _NOT_STARTED)
            return False
        self._running = running
        self._again = False  # asked for while it was being started: here it is
        if self._ending:
            running.kill()  # told to end meanwhile; it has accepted nothing yet
        self._changed()
        pump = asyncio.create_task(self._pump(running))
        watch = asyncio.create_task(self._until_ready(running))
        try:
            code = await running.process.wait()
        finally:
            watch.cancel()
        running.kill()  # what it started itself does not outlive it
        running.let_go()
        with suppress(TimeoutError):
            await asyncio.wait_for(pump, _LATE_OUTPUT)
        self._running = None
        self._ended(self._why(running.pid, code), code)
        return self.phase == "ready"

    async def _until_ready(self, running: Running) -> None:
        wait = _POLL_FIRST
        while not await self._is_ready(running):
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, _POLL_LAST)
        # It serves. Whether it is well may take a moment more to be known, and may stay bad: then
        # that is for `/health` and the doctor to tell, not a reason to call it not started.
        end = self._clock.tick() + _HEALTH_GRACE
        while self.spec.control and self._clock.tick() < end and not await self._is_well():
            await self._clock.sleep(self._clock.tick() + _POLL_LAST / 5)
        self._move("ready")

    async def _is_well(self) -> bool:
        try:
            report = await ask(self.spec.control or Path(), "/checks", 1.0)
        except Fault:
            return False
        return bool(report["status"] == "healthy")

    async def _is_ready(self, running: Running) -> bool:
        if self.spec.control is not None:
            try:
                live = await ask(self.spec.control, "/live", 1.0)
            except Fault:
                return False
            # A socket can still be that of the life before.
            return bool(live["ready"]) and live["pid"] == running.pid
        if self.spec.ready_url:
            return await asyncio.to_thread(answers_well, self.spec.ready_url, 1.0)
        return True

    async def _pump(self, running: Running) -> None:
        lines = Lines()
        out = running.process.stdout
        chunk = b"-"
        while out is not None and chunk:
            chunk = await out.read(_CHUNK)
            for line in lines.feed(chunk):
                self._line(self.spec.name, line)

    async def _hold_back(self, after: Sequence["Child"]) -> None:
        end = self._clock.tick() + _HOLD
        ending = asyncio.create_task(self._wake.wait())
        for other in after:
            settled = asyncio.create_task(other.settled.wait())
            left = max(0.0, end - self._clock.tick())
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait([settled, ending], timeout=left, return_when=first)
            settled.cancel()
        ending.cancel()

    async def _pause(self, seconds: float | None) -> None:
        self._wake.clear()
        if self._ending or self._again:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._again = False

    def _hopeless(self, began_ready: bool) -> bool:
        self._crashes.append(self._clock.tick())
        # Bad settings or a bad program do not mend themselves by another start.
        if not began_ready and self.last_exit and self.last_exit.code == Exit.USAGE:
            self._say("given up: it refuses to start as it is")
            return True
        full = len(self._crashes) == CRASHES
        if full and self._crashes[-1] - self._crashes[0] <= WINDOW:
            self._say(
                f"given up: it ended {CRASHES} times within {WINDOW:.0f} s; "
                f"mend it, then: backstay restart {self.spec.name}"
            )
            return True
        return False

    def _why(self, pid: int, code: int) -> str:
        told = read_exit(self._runtime, self.spec.name)
        if told is not None and told.pid == pid:
            return told.reason
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"ended with code {code}" if code else "ended by itself"

    def _ended(self, reason: str, code: int) -> None:
        self.last_exit = LastExit(rfc3339(self._clock.now()), reason, code)
        if not self._ending and not self._again:
            self._say(reason)

    def _move(self, phase: ProcessPhase) -> None:
        self.phase = phase
        if phase in ("ready", "gave_up", "stopped"):
            self.settled.set()
        else:
            self.settled.clear()
        self._changed()

    def _say(self, text: str) -> None:
        self._line("up", f"{self.spec.name}: {text}".encode())
