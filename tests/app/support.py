"""A real SQLite file with a program's tables, and units on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import apsw

from backstay.app.plan.unit import Starter, Unit
from backstay.app.store.schema import relations, runtime_schema
from backstay.app.store.sqlite import SqliteSession
from backstay.core.clock import Uuid7
from backstay.core.context import SYSTEM, Principal
from backstay.core.virtual import VirtualClock
from backstay.lang.program import Program

NOW = 1_750_000_000_000_000
STAFF_USER = Principal("user", sub="ada", roles=frozenset({"staff"}))
VISITOR = Principal("user", sub="bob")


class Place:
    """One open database; `unit()` is a transaction that rolls back when a Fault leaves it."""

    def __init__(self, path: Path, program: Program) -> None:
        self.conn = apsw.Connection(str(path))
        list(
            self.conn.execute(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON"
            )
        )
        for migration in runtime_schema().migrations:
            self.conn.execute(migration)
        for relation in relations(program):
            for statement in relation.create():
                self.conn.execute(statement)
        self.ids = Uuid7(VirtualClock())
        self.started: list[tuple[str, Mapping[str, object]]] = []

    @contextmanager
    def unit(self, principal: Principal = SYSTEM, start: Starter | None = None) -> Iterator[Unit]:
        with self.conn:
            yield Unit(SqliteSession(self.conn), NOW, self.ids, {}, principal, start or self._start)

    def all(self, sql: str, *params: object) -> list[tuple[object, ...]]:
        return list(self.conn.execute(sql, params))  # type: ignore[arg-type]

    def _start(self, unit: Unit, workflow: str, input: Mapping[str, object]) -> str:
        self.started.append((workflow, dict(input)))
        return unit.ids.new()
