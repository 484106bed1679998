"""The parts of a served program, put together as `app.system` does, on virtual time and without
a network: calls go to stubs, and loops are driven step by step."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from backstay.app.api import endpoints
from backstay.app.environment import environment_of
from backstay.app.flow.engine import Flow
from backstay.app.flow.recall import recalled
from backstay.app.flow.runner import TURNS
from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.plan.grants import Grants
from backstay.app.plan.unit import Unit
from backstay.app.service import Runtime
from backstay.app.store.aim import aim
from backstay.app.store.schema import runtime_schema
from backstay.app.store.service import Store
from backstay.app.store.session import Session
from backstay.app.store.sqlite import SqliteDatabase
from backstay.app.trial.errors import NEVER_QUIET
from backstay.app.trial.stubs import Silent, Stubs
from backstay.app.trust import with_provider
from backstay.core.asgi import App
from backstay.core.breaker import Breaker
from backstay.core.clock import Dice, Ids
from backstay.core.context import ANONYMOUS, SYSTEM, Principal
from backstay.core.errors import Fault
from backstay.core.metrics import Registry
from backstay.core.virtual import VirtualClock
from backstay.lang.program import Program

MOST_TURNS, MOST_MOMENTS = 600, 100_000
"""What never ends is told, not waited for: turns of the workflows at one moment, and moments of one
`advance`."""
_BREATH = 0.05

_TIMES = (
    "SELECT min(due_at) FROM steps WHERE state IN ('pending', 'waiting')",
    "SELECT min(deadline) FROM executions WHERE status = 'running'",
    "SELECT min(fire_at) FROM job_runs WHERE status = 'pending'",
    "SELECT min(due_at) FROM backstay_deliveries WHERE state = 'pending'",
)


class Judge:
    """The user of the next call, as the test says."""

    def __init__(self) -> None:
        self.user: Principal = ANONYMOUS

    async def judge(self, _peer: str, _method: str, _headers: Mapping[str, str]) -> Principal:
        return self.user


class _Uncounted:
    """A meter that nobody reads."""

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Nothing is counted."""


class TrialFlow(Flow):
    """The workflow engine with stubs for whatever is outside."""

    make_integrations = Stubs
    make_webhooks = Silent


class Stage:
    """One application in `folder`."""

    def __init__(
        self, program: Program, folder: Path, clock: VirtualClock, ids: Ids, dice: Dice
    ) -> None:
        self.clock, self.ids = clock, ids
        program = with_provider(program)
        self.env = environment_of(program, {})
        self.database = SqliteDatabase(folder / "app.db", runtime_schema(), "process", clock=clock)
        self.program = aim(program, self.database.dialect)
        breakers: dict[str, Breaker] = {}
        self.flow = TrialFlow(
            database=self.database,
            clock=clock,
            ids=ids,
            dice=dice,
            registry=Registry((), clock),
            breakers=breakers,
            env=self.env,
            load=recalled(self.database),
        )
        self.flow.declare(self.program)
        self.judge = Judge()
        served = self.program.hash
        start, emit = self.flow.starter(served), self.flow.emitter(served)
        grants = Grants(self.program)
        self._runtime = Runtime(
            self.program, self.database, clock, ids, self.env, start, emit, grants, dice=dice
        )
        routes = endpoints(self._runtime, compile_endpoints(self.program))
        self.web = App("app", routes, self.judge, clock, ids, _Uncounted())
        opened: list[Callable[[], Awaitable[None]]] = [self._serve]
        self._store = Store(self.database, self.program, clock, ids, self.env, opened, migrate=True)

    @property
    def stubs(self) -> Stubs:
        """Where the integrations' answers stand."""
        found = self.flow.integrations
        if not isinstance(found, Stubs):
            raise TypeError("a trial has stubs for its integrations")
        return found

    async def open(self) -> None:
        """Make the tables and start. Raises what a server would refuse to start with."""
        await self._store.start()
        await self.flow.start()

    async def close(self) -> None:
        await self.flow.drain(0.0)
        await self.flow.stop()
        await self._store.stop()

    async def _serve(self) -> None:
        await self.flow.serve(self.program)

    def unit(self, conn: Session) -> Unit:
        """A transaction that passes every access rule."""
        return self._runtime.unit(conn, SYSTEM)

    # --- time ------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Everything happens that can happen now."""
        turns = 0
        while turns < MOST_TURNS:
            wishes = [await loop.step() for loop in self.flow.loops]
            await self.flow.landed()
            now = self.clock.tick()
            busy = any(wish is not None and wish <= now for wish in wishes)
            if not self._woken() and not busy:
                return
            turns += TURNS if busy else 1
        raise Fault(NEVER_QUIET, turns=MOST_TURNS)

    def _woken(self) -> bool:
        woken = [loop for loop in self.flow.loops if loop.wake.is_set()]
        for loop in woken:
            loop.wake.clear()
        return bool(woken)

    async def advance(self, seconds: float) -> None:
        """Let time pass, from one moment at which something is due to the next."""
        end = self.clock.tick() + seconds
        for _ in range(MOST_MOMENTS):
            await self.settle()
            due = await self.database.read(_next_moment)
            wait = end - self.clock.tick() if due is None else due - self.clock.now()
            # What is due and was left (its program is broken) must not make time stand still.
            left = end - self.clock.tick()
            await self.clock.advance(min(max(wait, _BREATH), left))
            if self.clock.tick() >= end:
                await self.settle()
                return
        raise Fault(NEVER_QUIET, turns=MOST_MOMENTS)


def _next_moment(conn: Session) -> float | None:
    times = [conn.execute(sql).get for sql in _TIMES]
    return min((float(time) for time in times if time is not None), default=None)
