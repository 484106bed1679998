"""A real database with a program's tables, and units on it: SQLite, or PostgreSQL."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from backstay.app.plan.unit import Starter, Unit
from backstay.app.store.aim import aim
from backstay.app.store.dialect import Dialect
from backstay.app.store.postgres.address import Address
from backstay.app.store.postgres.dialect import POSTGRES
from backstay.app.store.postgres.link import Link, connect
from backstay.app.store.postgres.schema import bring_up
from backstay.app.store.postgres.session import PostgresSession
from backstay.app.store.schema import relations, runtime_schema
from backstay.app.store.session import Database, Result, Session, Values
from backstay.app.store.sqlite import SqliteSession
from backstay.app.store.sqlite_dialect import SQLITE
from backstay.core.clock import Uuid7
from backstay.core.context import SYSTEM, Principal
from backstay.core.settings import Secret
from backstay.core.virtual import VirtualClock
from backstay.lang.program import Program

T = TypeVar("T")
NOW = 1_750_000_000_000_000
STAFF_USER = Principal("user", sub="ada", roles=frozenset({"staff"}))
VISITOR = Principal("user", sub="bob")


class Place(Protocol):
    """One open database; `unit()` is a transaction that rolls back when a Fault leaves it."""

    dialect: Dialect
    program: Program
    started: list[tuple[str, Mapping[str, object]]]
    statements: list[str]

    def unit(
        self, principal: Principal = SYSTEM, start: Starter | None = None
    ) -> AbstractContextManager[Unit]: ...

    def all(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        """Rows outside of any unit, in storage form."""
        ...

    def decimal(self, text: str) -> int | str:
        """A decimal in storage form."""
        ...

    def close(self) -> None: ...


class _Place:
    """What both have in common. `statements` are those that units ran."""

    def __init__(self, program: Program, dialect: Dialect) -> None:
        self.dialect = dialect
        self.program = aim(program, dialect)
        self.ids = Uuid7(VirtualClock())
        self.started: list[tuple[str, Mapping[str, object]]] = []
        self.statements: list[str] = []

    def decimal(self, text: str) -> int | str:
        number = Decimal(text)
        digits = -int(number.as_tuple().exponent)
        return int(number.scaleb(digits)) if self.dialect.scaled else text

    def _unit(self, session: Session, principal: Principal, start: Starter | None) -> Unit:
        return Unit(session, NOW, self.ids, {}, principal, start or self._start)

    def _tables(self) -> list[str]:
        made = relations(self.program)
        texts = [text for relation in made for text in relation.create()]
        return texts + [text for relation in made for text in relation.references()]

    def _start(self, unit: Unit, workflow: str, input: Mapping[str, object]) -> str:
        self.started.append((workflow, dict(input)))
        return unit.ids.new()


class SqlitePlace(_Place):
    def __init__(self, path: Path, program: Program) -> None:
        super().__init__(program, SQLITE)
        self.conn = apsw.Connection(str(path))
        list(
            self.conn.execute(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON"
            )
        )
        for migration in runtime_schema().migrations:
            self.conn.execute(migration)
        for statement in self._tables():
            self.conn.execute(statement)

    @contextmanager
    def unit(self, principal: Principal = SYSTEM, start: Starter | None = None) -> Iterator[Unit]:
        self.conn.exec_trace = self._seen
        try:
            with self.conn:
                yield self._unit(SqliteSession(self.conn), principal, start)
        finally:
            self.conn.exec_trace = None

    def all(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        return list(self.conn.execute(sql, params))  # type: ignore[arg-type]

    def close(self) -> None:
        self.conn.close()

    def _seen(self, _cursor: object, sql: str, _bindings: object) -> bool:
        if not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            self.statements.append(sql)
        return True


class Plain:
    """A PostgreSQL connection for code that is not asynchronous; its loop runs beside it."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.link: Link = self.wait(connect(Address(Secret(url)), {"search_path": "public"}, 10))

    def wait(self, step: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await step

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(60)

    def rows(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.wait(self.link.fetch(sql, params))]

    def close(self) -> None:
        self.wait(self.link.close(5))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class _PlainSession(PostgresSession):
    """Waits where it stands instead of giving way to a loop."""

    def __init__(self, place: "PostgresPlace") -> None:
        super().__init__(place.plain.link, "BEGIN ISOLATION LEVEL SERIALIZABLE")
        self._place = place

    def execute(self, sql: str, values: Values = (), /) -> Result:
        self._place.statements.append(sql)
        return Result(self._place.plain.wait(self._execute(sql, values)))

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        self._place.plain.wait(self._execute_many(sql, rows))


class PostgresPlace(_Place):
    def __init__(self, url: str, program: Program) -> None:
        super().__init__(program, POSTGRES)
        self.plain = Plain(url)
        with self.unit() as unit:
            bring_up(unit.conn, runtime_schema(), url)
            for statement in self._tables():
                unit.conn.execute(statement)
        self.statements.clear()

    @contextmanager
    def unit(self, principal: Principal = SYSTEM, start: Starter | None = None) -> Iterator[Unit]:
        session = _PlainSession(self)
        try:
            yield self._unit(session, principal, start)
        except BaseException:
            self.plain.wait(self.plain.link.script("ROLLBACK"))
            raise
        self.plain.wait(self.plain.link.script(session.closing("COMMIT")))

    def all(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        return self.plain.rows(sql, *params)

    def close(self) -> None:
        self.plain.close()


NewPlace = Callable[[Program], Place]
NewDatabase = Callable[[], Database]
