"""A program served for real: SQLite file, ASGI app, granian on a Unix socket, aiohttp client."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from backstay.app.api import endpoints
from backstay.app.environment import read_environment
from backstay.app.health import DatabaseHealth
from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.plan.grants import Grants
from backstay.app.plan.unit import Unit
from backstay.app.service import Runtime
from backstay.app.store.aim import aim
from backstay.app.store.schema import runtime_schema
from backstay.app.store.service import Store
from backstay.app.store.session import Database
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.asgi import METRICS, App
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.context import PRINCIPAL_HEADER, Principal, encode_principal
from backstay.core.metrics import Registry, RequestMeter
from backstay.core.server import HttpServer, Listen
from backstay.core.sqlite import Durability
from backstay.core.trust import Trust
from backstay.lang.program import Program

STAFF = Principal("user", sub="ada", roles=frozenset({"staff"}))
BUYER = Principal("user", sub="bob")
ANONYMOUS = Principal("anonymous")


class Answer(msgspec.Struct):
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> object:
        return json.loads(self.body)

    def __getitem__(self, name: str) -> object:
        return json.loads(self.body)[name]


class Served:
    """A running app; `ask` sends one request as a principal."""

    def __init__(
        self, runtime: Runtime, health: DatabaseHealth, client: aiohttp.ClientSession
    ) -> None:
        self.runtime = runtime
        self.health = health
        self._client = client

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        who: Principal | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if who is not None:
            sent[PRINCIPAL_HEADER] = encode_principal(who)
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        if data is not None:
            sent.setdefault("content-type", "application/json")
        url = f"http://app/api/v1{path}"
        async with self._client.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, await response.read(), response.headers)

    async def rows(self, sql: str) -> list[tuple[object, ...]]:
        return await self.runtime.database.read(
            lambda conn: [tuple(row) for row in conn.execute(sql)]
        )

    async def seed(self, *lines: tuple[str, dict[str, object]], id: str = "s1") -> Answer:
        raw = b"\n".join(
            json.dumps({"entity": entity, "values": values}).encode() for entity, values in lines
        )
        return await self.ask("POST", "/admin/seed", raw=raw, headers={"x-seed-id": id})


@asynccontextmanager
async def served(
    program: Program,
    folder: Path,
    durability: Durability = "process",
    database: Database | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Served]:
    """Serve `program` from `folder`, or from the database that is given; started workflows get an
    id and nothing else."""
    values = {} if env is None else read_environment(program, env)
    clock = SystemClock()
    ids = Uuid7(clock)
    if database is None:
        database = SqliteDatabase(folder / "app.db", runtime_schema(), durability, 5, clock)
    program = aim(program, database.dialect)
    health = DatabaseHealth(database, clock)
    registry = Registry(METRICS, clock)

    def start(unit: Unit, workflow: str, input: Mapping[str, object]) -> str:
        return unit.ids.new()

    runtime = Runtime(program, database, clock, ids, values, start, grants=Grants(program))
    routes = endpoints(runtime, compile_endpoints(program))
    app = App("app", routes, Trust.socket(), clock, ids, RequestMeter(registry))
    store = Store(database, program, clock, ids, values)
    server = HttpServer(app, Listen(path=folder / "app.sock"))
    await store.start()
    try:
        await server.start()
        connector = aiohttp.UnixConnector(str(folder / "app.sock"), limit=100)
        async with aiohttp.ClientSession(connector=connector) as client:
            yield Served(runtime, health, client)
    finally:
        await server.stop()
        await store.stop()
