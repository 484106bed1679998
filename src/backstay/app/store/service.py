"""The database as a Service: open, migrated and holding the program before anything else starts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from backstay.app.plan.unit import Unit
from backstay.app.store import migrate, programs
from backstay.app.store.session import Database, Session
from backstay.app.values import micros
from backstay.core.clock import Clock, Ids
from backstay.lang.program import Program

_log = structlog.get_logger("app.store")
Opened = Callable[[], Awaitable[None]]


class Store:
    """`opened` runs once tables and program are in place. With `migrate` tables that are behind the
    program are changed, as long as nothing stored is touched."""

    name = "store"

    def __init__(
        self,
        database: Database,
        program: Program,
        clock: Clock,
        ids: Ids,
        env: Mapping[str, str | None],
        opened: Sequence[Opened] = (),
        *,
        migrate: bool = False,
    ) -> None:
        self._database = database
        self._program = program
        self._clock, self._ids, self._env = clock, ids, env
        self._opened = opened
        self._unasked = migrate
        self._ready = False

    async def start(self) -> None:
        """Raises a Fault that names the file (core.sqlite) or what cannot be migrated (APP003,
        APP028)."""
        await self._database.open()
        try:
            await self._migrate()
            for opened in self._opened:
                await opened()
        except BaseException:
            await self._database.close()
            raise
        if any(model.database == "mongodb" for model in self._program.models):
            where = self._database.where
            _log.warning("collections are tables here, no MongoDB server is used", path=where)
        named = dict(self._program.settings).get("database")
        if named is not None and named.label.startswith("postgres") and self._is_file():
            says = "the program names PostgreSQL, DATABASE_URL does not: this is SQLite"
            _log.warning(says, path=self._database.where)
        self._ready = True

    def _is_file(self) -> bool:
        return self._database.dialect.name == "sqlite"

    async def adopt(self, program: Program) -> None:
        """Bring the tables to another program while this one is served. Raises APP003 or APP028
        with the plan, and has changed nothing then."""
        before, self._program = self._program, program
        try:
            await self._migrate()
        except BaseException:
            self._program = before
            raise

    def ready(self) -> bool:
        return self._ready

    async def drain(self, seconds: float) -> None:
        """Nothing to finish: what was answered is durable."""

    async def stop(self) -> None:
        self._ready = False
        await self._database.close()

    async def _migrate(self) -> None:
        if await self._database.read(self._touches_data, snapshot=True):
            copy = await self._database.copy_before(self._program.hash[:12])
            _log.info("copied before a migration", copy=copy or "none is needed")
        if await self._database.alter(self._bring_up):
            _log.info(
                "tables made or changed", program=self._program.name, path=self._database.where
            )

    def _touches_data(self, conn: Session) -> bool:
        fresh = not migrate.stored_shape(conn)
        changes = migrate.planned(conn, self._program, self._unit(conn))
        migrate.judge(changes, self._database.where, fresh=fresh, unasked=self._unasked)
        return bool(changes) and not fresh

    def _bring_up(self, conn: Session) -> bool:
        """Another replica may have done it since: it is judged anew."""
        unit = self._unit(conn)
        fresh = not migrate.stored_shape(conn)
        changes = migrate.planned(conn, self._program, unit)
        migrate.judge(changes, self._database.where, fresh=fresh, unasked=self._unasked)
        if changes:
            migrate.apply(conn, self._program, unit, changes)
        programs.remember(conn, self._program, unit.now)
        return bool(changes)

    def _unit(self, conn: Session) -> Unit:
        return Unit(conn, micros(self._clock.now()), self._ids, self._env)
