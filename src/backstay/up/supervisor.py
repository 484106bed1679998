"""The supervisor: starts what the plan names, keeps it running, tells what runs, ends it in order.

One task per child, one control socket of its own (`up.ctl`), `state.json` after each change. It
imports no server and no system: its memory is counted with theirs.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import groupby
from typing import Any

from backstay import __version__
from backstay.core.clock import Clock, SystemClock, rfc3339
from backstay.core.control import ControlServer, Reply, Routes, json_reply
from backstay.core.errors import Exit, Fault, for_terminal
from backstay.up import seed as seeds
from backstay.up.child import Child
from backstay.up.errors import NO_SUCH_PROCESS
from backstay.up.leftovers import end_leftovers
from backstay.up.logs import Output, Terminal
from backstay.up.plan import Plan
from backstay.up.ports import demand_free
from backstay.up.state import State, write_state

DRAIN_SECONDS = 30.0
"""What each child gets; core.service gives its services 25 of them."""

START_SECONDS = 60.0

Show = Callable[[State, Plan, Terminal], None]


class Supervisor:
    """`show` prints the table once everything has settled. The caller owns the data folder."""

    def __init__(self, plan: Plan, terminal: Terminal, show: Show) -> None:
        self._plan = plan
        self._terminal = terminal
        self._show = show
        self._clock: Clock = SystemClock()
        self._started = rfc3339(self._clock.now())
        names = ["up", *(spec.name for spec in plan.children)]
        order = {name: number for number, name in enumerate(names)}
        self._output = Output(plan.data / "logs", order, terminal)
        self._ending = asyncio.Event()
        self._forced = asyncio.Event()
        self._settled = False
        self._code = Exit.OK
        self._restarting: set[asyncio.Task[None]] = set()
        self._children = [
            Child(spec, plan.runtime, self._clock, self._output.line, self._changed)
            for spec in plan.children
        ]

    async def run(self) -> int:
        """Until told to stop. Gives the exit code: 0 drained, 130 forced; raises UP001, CORE062."""
        for spec in self._plan.children:
            if spec.port:
                demand_free("127.0.0.1", spec.port, spec.name)
        await end_leftovers(self._plan.runtime, self._clock)
        control = ControlServer(self._plan.runtime / "up.ctl", self._routes())
        await control.start()
        self._listen()
        lives = [asyncio.create_task(child.keep(self._before(child))) for child in self._children]
        try:
            await self._until_ended(self._open())
            await self._end()
            await asyncio.gather(*lives)
        finally:
            for child in self._children:
                child.kill()
            await asyncio.gather(*lives, return_exceptions=True)
            await control.stop()
            self._changed()
            self._output.close()
        return Exit.INTERRUPTED if self._forced.is_set() else self._code

    def state(self) -> State:
        """As `state.json` has it."""
        return State(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            base_url=self._plan.base_url,
            data=str(self._plan.data),
            app_file=str(self._plan.app_file or ""),
            processes={child.spec.name: child.state() for child in self._children},
        )

    async def _open(self) -> None:
        """From the first start to the table."""
        made = asyncio.create_task(seeds.make(self._plan)) if self._seed_wanted() else None
        settling = [asyncio.create_task(child.settled.wait()) for child in self._children]
        try:
            await asyncio.wait(settling, timeout=START_SECONDS)
            if made is not None and not self._ending.is_set():
                await self._sow(made)
        finally:
            for task in filter(None, (*settling, made)):
                task.cancel()
        if self._ending.is_set():
            return
        self._settled = True
        self._show(self.state(), self._plan, self._terminal)

    def _before(self, child: Child) -> list[Child]:
        return [other for other in self._children if other.spec.name in child.spec.after]

    def _seed_wanted(self) -> bool:
        has_app = any(child.spec.name == "app" for child in self._children)
        return has_app and seeds.is_wanted(self._plan)

    async def _sow(self, made: asyncio.Task[seeds.Seed]) -> None:
        try:
            rows = await seeds.give(self._plan, await made, rfc3339(self._clock.now()))
            self._say(f"seeded {rows} rows")
        except Fault as fault:
            self._say(for_terminal(fault))

    def _refused(self) -> bool:
        """A system of ours that says its settings or its program are wrong: nothing to wait for."""
        return any(
            child.phase == "gave_up"
            and child.spec.control is not None
            and child.last_exit is not None
            and child.last_exit.code == Exit.USAGE
            for child in self._children
        )

    async def _until_ended(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, then wait for the end; the end breaks `work` off."""
        task = asyncio.create_task(work)
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait([task, ending], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await ending

    async def _end(self) -> None:
        """Drain in order; a second signal meanwhile kills what is left."""
        drain = asyncio.create_task(self._drain())
        forced = asyncio.create_task(self._forced.wait())
        await asyncio.wait([drain, forced], return_when=asyncio.FIRST_COMPLETED)
        if self._forced.is_set():
            self._say("forced: what still runs is killed")
            for child in self._children:
                child.kill()
        forced.cancel()
        await drain
        self._say(f"stopped; the data stay in {self._plan.data}")

    async def _drain(self) -> None:
        def order(child: Child) -> int:
            return child.spec.drain_order

        for _, together in groupby(sorted(self._children, key=order), key=order):
            await asyncio.gather(*(child.drain(DRAIN_SECONDS) for child in together))

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._ending.is_set():
            self._forced.set()
            return
        self._say("draining; once more to force")
        self._ending.set()

    def _changed(self) -> None:
        # A full disk or a folder that went away must not take the supervisor along.
        with suppress(OSError):
            write_state(self._plan.runtime, self.state())
        if not self._settled and not self._ending.is_set() and self._refused():
            self._code = Exit.USAGE
            self._ending.set()

    def _say(self, text: str) -> None:
        for line in text.splitlines():
            self._output.line("up", line.encode())

    def _routes(self) -> Routes:
        async def live(_: str, __: bytes) -> Reply:
            return json_reply(
                {
                    "name": "up",
                    "pid": os.getpid(),
                    "started": self._started,
                    "version": __version__,
                    "ready": self._settled and not self._ending.is_set(),
                }
            )

        async def state(_: str, __: bytes) -> Reply:
            return json_reply(self.state())

        async def restart(name: str, _: bytes) -> Reply:
            child = self._named(name)
            task = asyncio.create_task(child.restart(DRAIN_SECONDS))
            self._restarting.add(task)
            task.add_done_callback(self._restarting.discard)
            return json_reply(child.state())

        async def drain(_: str, __: bytes) -> Reply:
            self._say("draining: backstay down")
            self._ending.set()
            return json_reply({"draining": True})

        async def settings(_: str, __: bytes) -> Reply:
            return json_reply(self._plan.settings)

        return {
            "GET /live": live,
            "GET /state": state,
            "GET /settings": settings,
            "POST /restart/{}": restart,
            "POST /drain": drain,
        }

    def _named(self, name: str) -> Child:
        for child in self._children:
            if child.spec.name == name:
                return child
        known = [child.spec.name for child in self._children]
        raise Fault(NO_SUCH_PROCESS, name=name, known=", ".join(known), nearest="")


def supervise(plan: Plan, terminal: Terminal, show: Show) -> int:
    """Run the plan on a loop of its own. The loop is asyncio's: nothing here is hot, and forking
    for each child happens on this thread (see `spawn`)."""

    async def main() -> int:
        return await Supervisor(plan, terminal, show).run()

    return asyncio.run(main())
