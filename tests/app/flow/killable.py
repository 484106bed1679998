"""A process that takes orders and fulfils them, made to be killed at any moment and started again.

Usage: python killable.py FOLDER PAYMENTS_URL ORDERS. It prints `ready`, then `accepted ID` for each
order once that is durable; it ends with 0 when all orders exist and every execution has ended.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import apsw

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.app import programs as p
from tests.app.flow.stage import ADD_CUSTOMER, ENDED
from tests.app.programs import ADD_PRODUCT

from backstay.app.flow.engine import Flow
from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Unit
from backstay.app.ports import OutsideCall, OutsideResult
from backstay.app.store.schema import relations, runtime_schema
from backstay.app.store.session import Database, Session
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.metrics import Registry
from backstay.core.service import run
from backstay.lang.program import Program

STOCK = 1000
PROGRAM = p.orders()


class FileQueue:
    """A queue whose calls and answers survive the process; its worker is quick."""

    def __init__(self, path: Path) -> None:
        self._conn = apsw.Connection(str(path))
        self._conn.execute("PRAGMA journal_mode=WAL").fetchall()
        self._conn.execute(
            "CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, output TEXT, acked INTEGER)"
        )

    async def send(self, calls: Sequence[OutsideCall]) -> None:
        for call in calls:
            output = json.dumps({"parcel": f"P-{json.loads(call.payload).get('order')}"})
            self._conn.execute("INSERT OR IGNORE INTO calls VALUES (?, ?, 0)", (call.key, output))

    async def outcomes(self, wait: float) -> list[OutsideResult]:
        found = self._conn.execute("SELECT key, output FROM calls WHERE NOT acked").fetchall()
        if not found:
            await asyncio.sleep(min(wait, 0.02))
        return [OutsideResult(str(key), True, str(output)) for key, output in found]

    async def ack(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._conn.execute("UPDATE calls SET acked = 1 WHERE key = ?", (key,))

    async def cancel(self, keys: Sequence[str]) -> None:
        return None


class Shop:
    """Places orders one after the other until there are enough and all have ended."""

    def __init__(self, database: Database, flow: Flow, ids: Uuid7, wanted: int) -> None:
        self._database, self._flow, self._ids, self._wanted = database, flow, ids, wanted

    async def keep(self) -> None:
        product = await self._database.write(self._product)
        while await self._count("SELECT count(*) FROM orders") < self._wanted:
            order = await self._database.write(lambda conn: self._order(conn, product))
            print("accepted", order, flush=True)
            await asyncio.sleep(0.01)
        marks = ", ".join(f"'{status}'" for status in ENDED)
        while await self._count(f"SELECT count(*) FROM executions WHERE status NOT IN ({marks})"):
            await asyncio.sleep(0.02)

    async def _count(self, sql: str) -> int:
        return int(await self._database.read(lambda conn: conn.execute(sql).get))

    def _unit(self, conn: Session) -> Unit:
        return Unit(conn, 1, self._ids, {}, start=self._flow.starter(PROGRAM.hash))

    def _product(self, conn: Session) -> str:
        found = conn.execute("SELECT id FROM products").get
        if found is not None:
            return str(found)
        scope: dict[str, object] = {"sku": "A", "price": Decimal("9.99"), "stock": STOCK}
        compile_block(PROGRAM, ADD_PRODUCT)(self._unit(conn), scope)
        return str(scope["product"]["id"])  # type: ignore[index]

    def _order(self, conn: Session, product: str) -> str:
        unit = self._unit(conn)
        scope: dict[str, object] = {"e": self._ids.new()}
        compile_block(PROGRAM, ADD_CUSTOMER)(unit, scope)
        line = {"product": product, "quantity": 2}
        scope["body"] = {"customer": scope["c"]["id"], "lines": [line]}  # type: ignore[index]
        compile_block(PROGRAM, p.PLACE_ORDER)(unit, scope)
        return str(scope["order"]["id"])  # type: ignore[index]


async def main(folder: Path, url: str, wanted: int) -> None:
    clock = SystemClock()
    ids = Uuid7(clock)
    database = SqliteDatabase(folder / "app.db", runtime_schema())
    await database.open()
    if not await database.read(
        lambda c: c.execute("SELECT 1 FROM sqlite_master WHERE name='orders'").get
    ):
        await database.write(_tables)
    flow = Flow(
        database=database,
        clock=clock,
        ids=ids,
        dice=SystemDice(),
        registry=Registry((), clock),
        breakers={},
        env={"PAYMENTS_URL": url},
        load=_load,
        queue=FileQueue(folder / "queue.db"),
        inbox_wait=0.1,
    )
    await flow.serve(PROGRAM)
    stopping = asyncio.Event()
    running = asyncio.create_task(run([flow, *flow.loops], clock, stopping, grace=5.0))
    print("ready", flush=True)
    await Shop(database, flow, ids, wanted).keep()
    stopping.set()
    await running
    await database.close()


def _tables(conn: Session) -> None:
    for relation in relations(PROGRAM):
        for statement in relation.create():
            conn.execute(statement)


async def _load(hash: str) -> Program | None:
    return PROGRAM if hash == PROGRAM.hash else None


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
