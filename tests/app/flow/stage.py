"""A whole engine on a real SQLite file and virtual time, driven step by step: deterministic, and
fast where a person would wait."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import apsw
from tests.app import programs as p
from tests.app.flow.carrier import Carrier
from tests.app.flow.payments import Payments
from tests.app.support import Plain

from backstay.app.flow.engine import Flow
from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Unit
from backstay.app.store.aim import aim
from backstay.app.store.postgres.database import PostgresDatabase
from backstay.app.store.schema import relations, runtime_schema
from backstay.app.store.session import Database, Session
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.breaker import Breaker
from backstay.core.clock import Dice, Uuid7
from backstay.core.metrics import Registry
from backstay.core.virtual import FixedDice, VirtualClock
from backstay.lang.program import Program

ENDED = ("completed", "failed", "compensated", "compensation_failed", "cancelled")
ADD_CUSTOMER = (
    p.Create("Customer", (("name", p.text("Ada")), ("email", p.Name("e", p.STRING))), "c"),
)


class Stage:
    """One process's engine. `restart` is what a crash and a new process are to the database."""

    def __init__(
        self,
        path: Path,
        payments: Payments,
        program: Program | None = None,
        carrier: Carrier | None = None,
        dice: Dice | None = None,
        database: Database | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.ids = Uuid7(self.clock)
        self.payments = payments
        self.database = database or SqliteDatabase(path / "app.db", runtime_schema(), "process")
        self.program = aim(program or p.orders(), self.database.dialect)
        self._look: Plain | None = None
        self.carrier = carrier or Carrier()
        self.dice = dice or FixedDice(0.5)
        self.registry = Registry((), self.clock)
        self.breakers: dict[str, Breaker] = {}
        self.env: dict[str, str | None] = {"PAYMENTS_URL": payments.url}
        self.flow = self.engine()
        self._customers = 0

    def engine(self, *, sole: bool = True, limit: int = 128) -> Flow:
        """Another incarnation on the same database."""
        return Flow(
            database=self.database,
            clock=self.clock,
            ids=self.ids,
            dice=self.dice,
            registry=self.registry,
            breakers=self.breakers,
            env=self.env,
            load=self._load,
            queue=self.carrier,
            sole=sole,
            inbox_wait=0.0,
            limit=limit,
        )

    async def open(self) -> None:
        await self.database.open()
        await self.database.write(self._tables)
        await self.flow.serve(self.program)
        await self.flow.start()

    async def restart(self) -> None:
        """The process dies with everything it had in memory; the next one takes over."""
        for task in list(self.flow.runner._flying.tasks.values()):
            task.cancel()
        await asyncio.gather(*self.flow.runner._flying.tasks.values(), return_exceptions=True)
        await self.flow.stop()
        self.flow = self.engine()
        await self.flow.serve(self.program)
        await self.flow.start()

    async def close(self) -> None:
        await self.flow.drain(0.0)
        await self.flow.stop()
        await self.database.close()
        if self._look is not None:
            self._look.close()
            self._look = None

    # --- driving -----------------------------------------------------------------------------

    async def quiet(self) -> float:
        """Let everything happen that can happen now. Returns the next wish of a loop, a tick."""
        while True:
            wishes = [await loop.step() for loop in self.flow.loops]
            async with asyncio.timeout(30):
                while len(self.flow.runner.flying) > self.payments.holding:
                    await asyncio.sleep(0.0005)
            now = self.clock.tick()
            again = [wish for wish in wishes if wish is not None and wish <= now]
            if not again and not self._woken():
                return min((wish for wish in wishes if wish is not None), default=now + 60.0)

    async def until(self, done: Callable[[], bool], seconds: float = 86400.0) -> None:
        """Let virtual time pass until `done`; AssertionError after `seconds` of it."""
        end = self.clock.tick() + seconds
        wish = await self.quiet()
        while not done():
            assert self.clock.tick() < end, f"not within {seconds} s: {self.executions()}"
            held = 0.25 if self.flow.runner.flying else 60.0
            await self.clock.advance(max(0.01, min(wish - self.clock.tick(), held)))
            wish = await self.quiet()

    async def ends(self, *ids: str, seconds: float = 86400.0) -> str:
        """Wait for the end of executions (of all, when none is named); the last one's status."""
        await self.until(lambda: all(s in ENDED for s in self._statuses(ids)), seconds)
        return self._statuses(ids)[-1]

    def _woken(self) -> bool:
        woken = [loop for loop in self.flow.loops if loop.wake.is_set()]
        for loop in woken:
            loop.wake.clear()
        return bool(woken)

    # --- the shop ----------------------------------------------------------------------------

    async def product(self, stock: int = 100, price: str = "9.99") -> str:
        def add(conn: Session) -> str:
            scope: dict[str, object] = {
                "sku": self.ids.new(),
                "price": Decimal(price),
                "stock": stock,
            }
            compile_block(self.program, p.ADD_PRODUCT)(self.unit(conn), scope)
            return str(scope["product"]["id"])  # type: ignore[index]

        return await self.database.write(add)

    async def order(self, product: str, quantity: int = 1) -> tuple[str, str]:
        """Place an order as the endpoint does: (order, execution)."""
        self._customers += 1

        def place(conn: Session) -> tuple[str, str]:
            unit = self.unit(conn)
            scope: dict[str, object] = {"e": f"c{self.ids.new()}@example.org"}
            compile_block(self.program, ADD_CUSTOMER)(unit, scope)
            line = {"product": product, "quantity": quantity}
            scope["body"] = {"customer": scope["c"]["id"], "lines": [line]}  # type: ignore[index]
            compile_block(self.program, p.PLACE_ORDER)(unit, scope)
            order = str(scope["order"]["id"])  # type: ignore[index]
            newest = "SELECT id FROM executions ORDER BY created_at DESC, id DESC LIMIT 1"
            return order, str(conn.execute(newest).get)

        return await self.database.write(place)

    async def start(self, workflow: str, **input: object) -> str:
        """Start a workflow in a transaction of its own."""
        return await self.database.write(lambda conn: self.unit(conn).start(workflow, input))

    def marks(self) -> list[str]:
        """What `write_down` steps left, in order."""
        sql = "SELECT name FROM customers WHERE email LIKE '%:%' ORDER BY id"
        return [str(name) for (name,) in self.all(sql)]

    def unit(self, conn: Session) -> Unit:
        now = round(self.clock.now() * 1_000_000)
        start = self.flow.starter(self.program.hash)
        return Unit(conn, now, self.ids, self.env, start=start)

    # --- looking -----------------------------------------------------------------------------

    def all(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        if isinstance(self.database, PostgresDatabase):
            self._look = self._look or Plain(self.database.address.url.reveal())
            return self._look.rows(sql, *params)
        look = apsw.Connection(self.database.where, flags=apsw.SQLITE_OPEN_READONLY)
        look.set_busy_timeout(1000)
        try:
            return list(look.execute(sql, params))  # type: ignore[arg-type]
        finally:
            look.close()

    def one(self, sql: str, *params: object) -> object:
        return self.all(sql, *params)[0][0]

    def executions(self) -> list[tuple[object, ...]]:
        return self.all("SELECT id, status, error FROM executions ORDER BY created_at, id")

    def steps(self, execution: str, phase: str = "forward") -> dict[str, str]:
        sql = "SELECT name, state FROM steps WHERE execution = ? AND phase = ? ORDER BY position"
        return {str(n): str(s) for n, s in self.all(sql, execution, phase)}

    def _statuses(self, ids: tuple[str, ...]) -> list[str]:
        found = {str(key): str(status) for key, status, _ in self.executions()}
        return [found[key] for key in ids] if ids else list(found.values())

    def _tables(self, conn: Session) -> None:
        made = relations(self.program)
        for statement in (text for relation in made for text in relation.create()):
            conn.execute(statement)
        for statement in (text for relation in made for text in relation.references()):
            conn.execute(statement)

    async def _load(self, hash: str) -> Program | None:
        return self.program if hash == self.program.hash else None
