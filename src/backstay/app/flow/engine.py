"""The workflow engine of one process, put together: what `system.py` starts, asks and stops."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from backstay.app.flow import health, probes, service
from backstay.app.flow.errors import PROGRAM_MISSING
from backstay.app.flow.inbox import Inbox
from backstay.app.flow.integrations import Integrations
from backstay.app.flow.jobs import Cron, sync_jobs
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Command
from backstay.app.flow.plans import Catalog
from backstay.app.flow.relay import Relay
from backstay.app.flow.runner import Runner
from backstay.app.flow.steady import Steady
from backstay.app.flow.sweeper import Sweeper
from backstay.app.flow.turn import Ground
from backstay.app.plan.unit import Starter, Unit
from backstay.app.ports import TaskQueue
from backstay.app.store.session import Database, Session
from backstay.core.breaker import Breaker
from backstay.core.clock import Clock, Dice, Ids
from backstay.core.errors import Fault
from backstay.core.health import Check
from backstay.core.metrics import Registry
from backstay.core.service import Loop
from backstay.lang.program import Program

_log = structlog.get_logger("app.flow")

LoadProgram = Callable[[str], Awaitable[Program | None]]
"""Gives the program of a hash from the database, checked again; None when it is not stored."""


class Flow:
    """A Service. `env` holds the values of `env()`; `allow` are egress rules of the settings;
    `sole` says that this process alone owns the database (core.sqlite sees to it)."""

    name = "workflows"

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        ids: Ids,
        dice: Dice,
        registry: Registry,
        breakers: dict[str, Breaker],
        env: Mapping[str, str | None],
        load: LoadProgram,
        queue: TaskQueue | None = None,
        allow: tuple[str, ...] = (),
        sole: bool = True,
        inbox_wait: float = 20.0,
        limit: int = 128,
    ) -> None:
        self.database, self.clock, self.ids = database, clock, ids
        self._load = load
        self._steady = Steady(clock)
        self._catalog = Catalog()
        self._metrics = FlowMetrics(registry)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = False
        self.integrations = Integrations(clock, self._metrics, breakers, env, allow)
        self._ground = Ground(
            catalog=self._catalog,
            ids=ids,
            dice=dice,
            env=env,
            starters=self.starter,
            owner=ids.new(),
            call_timeouts=self.integrations.timeouts,
        )
        self.runner = Runner(
            database,
            self._ground,
            self.integrations,
            clock,
            self._steady,
            self._metrics,
            limit,
            sole=sole,
        )
        self.sweeper = Sweeper(
            database, self.runner, self._ground.owner, clock, self._steady, sole=sole
        )
        self.cron = Cron(database, self._ground, clock, self._metrics)
        self.cron.on_ran = self.runner.wake.set
        self.runner.on_timer = self.sweeper.due
        self._relay: Relay | None = None
        self._inbox: Inbox | None = None
        if queue is not None:
            self._relay = Relay(database, queue, clock, self._steady, dice)
            self._inbox = Inbox(database, queue, self.runner, clock, dice, inbox_wait)
            self.runner.on_outbox = self.sweeper.on_resend = self._relay.wake.set
            self._relay.on_sent = self._inbox.wake.set

    @property
    def loops(self) -> list[Loop]:
        """What has to be driven beside this service."""
        found: list[Loop | None] = [
            self.runner,
            self.sweeper,
            self.cron,
            self._relay,
            self._inbox,
        ]
        return [loop for loop in found if loop is not None]

    @property
    def checks(self) -> list[Check]:
        """Of executions and of each integration; complete after `declare`."""
        return [health.check(self.database), *self.integrations.checks()]

    @property
    def probes(self) -> dict[str, Callable[[], Awaitable[dict[str, object]]]]:
        """What the doctor may ask through the control socket."""
        return probes.of(self.database, self._steady, self.integrations)

    def declare(self, program: Program) -> None:
        """Compile the program that is to be served: breakers and checks are complete after it, and
        statements can begin its workflows. No I/O."""
        self._catalog.add(program)
        self.integrations.add(program)

    async def serve(self, program: Program) -> None:
        """New executions start with this program; its jobs fire. Call it before `start` and on a
        reload; the schema has to be in place. Raises APP210 for a bad schedule."""
        self.declare(program)
        plan = self._catalog.add(program)
        now = self.clock.now()

        def sync(conn: Session) -> None:
            service.sync_workflows(conn, plan, now)
            sync_jobs(conn, plan, now)

        await self.database.write(sync)
        self.cron.serve(plan)

    async def start(self) -> None:
        """Compile every program that a living execution is pinned to."""
        self._loop = asyncio.get_running_loop()
        for program, count in (await self.database.read(service.programs_alive)).items():
            if self._catalog.get(program) is None:
                await self._recall(program, count)
        self._ready = True

    def ready(self) -> bool:
        return self._ready

    async def drain(self, seconds: float) -> None:
        """Claim nothing more, let calls under way end."""
        self._ready = False
        await self.runner.drain(seconds)

    async def stop(self) -> None:
        await self.integrations.close()

    def starter(self, program: str) -> Starter:
        """How statements of the program with this hash start workflows, inside a transaction."""

        def start(unit: Unit, workflow: str, input: Mapping[str, object]) -> str:
            return self.begin(unit.conn, program, workflow, input, self._steady.now(), unit.ids)

        return start

    def begin(
        self,
        conn: Session,
        program: str,
        workflow: str,
        input: Mapping[str, object],
        now: float,
        ids: Ids,
    ) -> str:
        """Insert an execution inside any transaction of the database; its id. The runner is woken
        once that is committed."""
        plan = self._catalog.get(program)
        if plan is None:
            raise Fault(PROGRAM_MISSING, program=program, executions=1)
        made = service.start(conn, plan, workflow, input, now, ids.new())
        conn.after(self._wake)
        return made

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.runner.wake.set)

    async def order(self, id: str, command: Command) -> None:
        """Cancel, retry or compensate an execution. Raises APP202, APP203, APP204."""
        row = await self.database.read(lambda conn: service.pinned(conn, id))
        if row is not None and self._catalog.get(row) is None:
            await self._recall(row, 1)
        await self.runner.write(lambda turn: service.obey(turn, id, command), crank=False)
        self.runner.wake.set()

    async def _recall(self, hash: str, count: int) -> None:
        program = await self._load(hash)
        if program is None or program.hash != hash:
            missing = Fault(PROGRAM_MISSING, program=hash, executions=count)
            _log.error("executions cannot go on", program=hash, executions=count, fix=missing.fix)
            return
        self._catalog.add(program)
        # Only what the served program does not declare: its addresses are the ones in force.
        self.integrations.add_missing(program)
