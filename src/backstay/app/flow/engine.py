"""The workflow engine of one process, put together: what `system.py` starts, asks and stops."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from backstay.app.flow import by_hand, health, probes, service, steering
from backstay.app.flow.compiling import compile_program
from backstay.app.flow.courier import Courier
from backstay.app.flow.errors import PROGRAM_MISSING
from backstay.app.flow.inbox import Inbox
from backstay.app.flow.integrations import Integrations
from backstay.app.flow.integrations import check as check_integrations
from backstay.app.flow.jobs import Cron, sync_jobs
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Command
from backstay.app.flow.plans import Catalog, ProgramPlan
from backstay.app.flow.publishing import Publisher
from backstay.app.flow.rehearsal import Rehearsal, Rehearsed
from backstay.app.flow.relay import Relay
from backstay.app.flow.runner import Runner
from backstay.app.flow.steady import Steady
from backstay.app.flow.sweeper import HISTORY_KEEP, Sweeper
from backstay.app.flow.turn import Ground, Turn
from backstay.app.flow.webhooks import Webhooks
from backstay.app.plan.unit import Emitter, Starter, Unit
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
    `keep` is how many seconds the history of what ended is kept, 0 for ever;
    `sole` says that this process alone owns the database (core.sqlite sees to it)."""

    name = "workflows"
    make_integrations: type[Integrations] = Integrations
    make_webhooks: type[Webhooks] = Webhooks
    """What calls others; a trial of a program has its own."""

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
        keep: float = HISTORY_KEEP,
    ) -> None:
        self.database, self.clock, self.ids = database, clock, ids
        self._dice, self._load, self._sole = dice, load, sole
        self._steady = Steady(clock)
        self._catalog = Catalog(compile_program)
        self.metrics = FlowMetrics(registry)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = False
        self.integrations = self.make_integrations(clock, self.metrics, breakers, env, allow)
        self._webhooks = self.make_webhooks(clock, breakers, env, allow)
        self.publisher = Publisher(self._catalog, self._steady.now)
        self._ground = self._grounded(env)
        self._drive(limit, keep)
        self._relay: Relay | None = None
        self._inbox: Inbox | None = None
        if queue is not None:
            self._carry(queue, inbox_wait)

    def _grounded(self, env: Mapping[str, str | None]) -> Ground:
        return Ground(
            catalog=self._catalog,
            ids=self.ids,
            dice=self._dice,
            env=env,
            starters=self.starter,
            emitters=self.publisher.emitter,
            owner=self.ids.new(),
            call_timeouts=self.integrations.timeouts,
            dead_letters=self.integrations.dead_letters,
        )

    def _drive(self, limit: int, keep: float) -> None:
        """The loops of what happens inside and of what is called."""
        database, clock, steady, sole = self.database, self.clock, self._steady, self._sole
        owner, metrics = self._ground.owner, self.metrics
        self.runner = Runner(
            database, self._ground, self.integrations, clock, steady, metrics, limit, sole=sole
        )
        self.sweeper = Sweeper(database, self.runner, owner, clock, steady, sole=sole, keep=keep)
        self.cron = Cron(database, self._ground, clock, metrics)
        self.runner.on_timer = self.sweeper.due
        self.courier = Courier(
            database,
            self._webhooks,
            self.integrations,
            clock,
            steady,
            self._dice,
            metrics,
            owner,
            sole=sole,
        )

    def _carry(self, queue: TaskQueue, wait: float) -> None:
        """The loops to and from the outside workers."""
        clock, dice = self.clock, self._dice
        self._relay = Relay(self.database, queue, clock, self._steady, dice)
        self._inbox = Inbox(self.database, queue, self.runner, clock, dice, wait)
        self.runner.on_outbox = self.sweeper.on_resend = self._relay.wake.set
        self.courier.on_outbox = self._relay.wake.set
        self._relay.on_sent = self._inbox.wake.set

    @property
    def loops(self) -> list[Loop]:
        """What has to be driven beside this service."""
        found: list[Loop | None] = [
            self.runner,
            self.sweeper,
            self.cron,
            self.courier,
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
        return probes.of(
            self.database,
            self._steady,
            self.integrations,
            self._ground.owner,
            lambda program: self._catalog.get(program) is not None,
        )

    def declare(self, program: Program) -> None:
        """Compile the program that is to be served: breakers and checks are complete after it, and
        statements can begin its workflows. No I/O."""
        self._catalog.add(program)
        self.integrations.add(program)
        self.courier.serve(program)

    def compiled(self, program: Program) -> None:
        """Compile a program that is not served yet. Raises APP004, APP005."""
        check_integrations(program)
        self._catalog.add(program)

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
        self._catalog.served = plan
        self.cron.serve(plan)
        if self._catalog.crowded:
            self._catalog.forget(await self.database.read(service.programs_alive))

    async def start(self) -> None:
        """Compile every program that a living execution is pinned to."""
        self._loop = asyncio.get_running_loop()
        relay = [self._relay.wake.set] if self._relay is not None else []
        self.publisher.started(self._loop, self.runner.wake.set, self.courier.wake.set, *relay)
        for program, count in (await self.database.read(service.programs_alive)).items():
            if self._catalog.get(program) is None:
                await self._recall(program, count)
        self._ready = True

    def ready(self) -> bool:
        return self._ready

    async def landed(self) -> None:
        """Wait for the end of every call under way: for who drives the loops step by step."""
        await self.runner.landed()
        await self.courier.landed()

    async def drain(self, seconds: float) -> None:
        """Claim nothing more, let calls under way end."""
        self._ready = False
        await asyncio.gather(self.runner.drain(seconds), self.courier.drain(seconds))

    async def stop(self) -> None:
        await self.integrations.close()
        await self._webhooks.close()

    def starter(self, program: str) -> Starter:
        """How statements of the program with this hash start workflows, inside a transaction."""

        def start(unit: Unit, workflow: str, input: Mapping[str, object]) -> str:
            return self.begin(unit, program, workflow, input)

        return start

    def emitter(self, program: str) -> Emitter:
        """How statements of the program with this hash publish events, inside a transaction."""
        return self.publisher.emitter(program)

    def begin(self, unit: Unit, program: str, workflow: str, input: Mapping[str, object]) -> str:
        """Insert an execution inside any transaction of the database; its id. The runner is woken:
        once that is committed."""
        plan = self._catalog.get(program)
        if plan is None:
            raise Fault(PROGRAM_MISSING, program=program, executions=1)
        made = service.start(unit, plan, workflow, input, self._steady.now())
        unit.conn.after(self._wake)
        return made

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.runner.wake.set)

    async def order(self, id: str, command: Command) -> None:
        """Cancel, retry or compensate an execution. Raises APP202, APP203, APP204."""
        await self._at_hand(id)
        await self.runner.write(lambda turn: service.obey(turn, id, command), crank=False)
        self.runner.wake.set()

    async def begin_by_hand(self, workflow: str, body: bytes) -> str:
        """Start a workflow with an input as JSON; the execution's id. Raises APP201, and APP010 or
        APP011 for an input that is not the workflow's."""
        plan = self._served()
        given = by_hand.input_of(plan.workflow(workflow), body)
        return await self.database.write(
            lambda conn: self.begin(self._unit(conn, plan.hash), plan.hash, workflow, given)
        )

    async def rehearse(self, workflow: str, body: bytes) -> dict[str, Any]:
        """What a start would do, step by step, with everything taken back. Raises as a start."""
        served = self._served()
        plan = served.workflow(workflow)
        given = by_hand.input_of(plan, body)

        def work(conn: Session) -> None:
            turn = Turn(self._ground, conn, self._steady.now())
            plan.input.fill(self._unit(conn, served.hash), given)
            raise Rehearsed(Rehearsal(turn, plan, plan.input.shape(given)).run())

        try:
            await self.database.write(work)
        except Rehearsed as rehearsed:
            return rehearsed.report
        raise AssertionError("a rehearsal always ends in its report")

    async def signal(self, id: str, name: str, value: object) -> None:
        """Bring a signal to an execution. Raises APP202, APP203, APP216, APP220."""
        await self._at_hand(id)
        await self.runner.write(lambda turn: steering.signal(turn, id, name, value), crank=False)
        self.runner.wake.set()

    async def migrate(self, id: str, to: str) -> str:
        """Let an execution go on by the program with this hash, or by the one being served; the
        hash. Raises APP202, APP219."""
        to = to or self._served().hash
        await self._at_hand(id)
        if self._catalog.get(to) is None:
            await self._recall(to, 0)
        await self.runner.write(lambda turn: steering.migrate(turn, id, to), crank=False)
        self.runner.wake.set()
        return to

    async def publish_by_hand(
        self, name: str, payload: object, first: Callable[[Session], bool] | None = None
    ) -> str:
        """Publish an event of the served program as if the program had; its id. `first` is asked in
        the same transaction whether it is to be, else it is not and the id is empty. Raises APP215,
        and APP011 for a payload that is not the event's."""
        served = self._served()
        given = by_hand.payload_of(served, name, payload)

        def work(conn: Session) -> str:
            if first is not None and not first(conn):
                return ""
            unit = self._unit(conn, served.hash)
            return self.publisher.publish(unit, served.hash, name, given, "")

        return await self.database.write(work)

    async def replay(self, id: str, target: str) -> list[str]:
        """Deliver an event once more: to `target`, or to all of its targets outside this process;
        the targets. Raises APP217, APP218."""
        served = self._served()

        def work(conn: Session) -> list[str]:
            return by_hand.replay(self.publisher, self._unit(conn, served.hash), served, id, target)

        return await self.database.write(work)

    def _served(self) -> ProgramPlan:
        served = self._catalog.served
        if served is None:
            raise Fault(PROGRAM_MISSING, program="", executions=0)
        return served

    def _unit(self, conn: Session, program: str) -> Unit:
        turn = Turn(self._ground, conn, self._steady.now())
        return turn.unit(program)

    async def _at_hand(self, id: str) -> None:
        """Have the program that an execution is pinned to."""
        row = await self.database.read(lambda conn: service.pinned(conn, id))
        if row is not None and self._catalog.get(row) is None:
            await self._recall(row, 1)

    async def _recall(self, hash: str, count: int) -> None:
        program = await self._load(hash)
        if program is None or program.hash != hash:
            missing = Fault(PROGRAM_MISSING, program=hash, executions=count)
            _log.error("executions cannot go on", program=hash, executions=count, fix=missing.fix)
            return
        self._catalog.add(program)
        # Only what the served program does not declare: its addresses are the ones in force.
        self.integrations.add_missing(program)
