"""The slow-query log: statements that took long, and how the database would do them, on demand.

A statement is shown as it was sent, with question marks for its values; the values of the slowest
run are kept in memory for its plan and are never shown or logged.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from backstay.app.store.session import Database, Result, RowTrouble, Session, Values
from backstay.app.store.wrapping import Work, Wrapping, WrappingSession
from backstay.core.clock import Clock, rfc3339

T = TypeVar("T")
_log = structlog.get_logger("app.store")
_MOST = 100
_SHOWN = 2000


class Slow(msgspec.Struct):
    """One statement that was slow `count` times, on so many `occasions`: runs at the same time are
    one, as they may have met one standstill of the server. Durations are seconds; `last` is wall
    time, `until` the tick at which the last occasion ended."""

    id: str
    sql: str
    count: int = 0
    slowest: float = 0.0
    total: float = 0.0
    most_rows: int = 0
    occasions: int = 0
    until: float = 0.0
    last: float = 0.0
    values: Sequence[Any] = ()

    def plain(self) -> dict[str, object]:
        """As people see it: durations in milliseconds."""
        return {
            "id": self.id,
            "sql": self.sql[:_SHOWN],
            "count": self.count,
            "slowest": round(self.slowest * 1000, 3),
            "mean": round(self.total / self.count * 1000, 3),
            "most_rows": self.most_rows,
            "last": rfc3339(self.last),
        }


class TimedDatabase(Wrapping):
    """Times each statement; one of `threshold` seconds or more is logged as `slow query`. 0: none
    is timed."""

    def __init__(self, inner: Database, clock: Clock, threshold: float) -> None:
        super().__init__(inner)
        self.threshold = threshold
        self._clock = clock
        self._found: OrderedDict[str, Slow] = OrderedDict()
        self._made = 0
        self.statements = self.waits = self.works = 0.0
        """Seconds since the start: in statements, in waiting for a turn (a connection, the writer),
        and in work, statements and all. Threads add to them: they may be a little less."""

    async def read(self, work: Work[T], /, *, snapshot: bool = False, brief: bool = False) -> T:
        timed = self._timed(work) if self.threshold else work
        return await self.inner.read(timed, snapshot=snapshot, brief=brief)

    async def write(self, work: Work[T], /, *, alone: bool = False) -> T:
        if not self.threshold:
            return await self.inner.write(work, alone=alone)
        return await self.inner.write(self._timed(work), alone=alone)

    def _timed(self, work: Work[T]) -> Work[T]:
        asked = self._clock.tick()

        def timed(conn: Session) -> T:
            nonlocal asked
            began = self._clock.tick()
            self.waits += began - asked
            try:
                return work(_Timed(conn, self))
            finally:
                asked = self._clock.tick()  # it may be done anew
                self.works += asked - began

        return timed

    def slow(self) -> list[Slow]:
        """Those that were slow since the start, the one that took longest first."""
        return sorted(self._found.copy().values(), key=lambda each: -each.slowest)

    def often(self, times: int, seconds: float) -> list[Slow]:
        """Those that were slow on so many occasions, the last time within so many seconds."""
        since = self._clock.now() - seconds
        return [each for each in self.slow() if each.occasions >= times and each.last >= since]

    async def plan(self, id: str) -> list[str] | None:
        """How the database would do the statement, without doing it; None for an unknown id."""
        wanted = next((each for each in self._found.copy().values() if each.id == id), None)
        if wanted is None:
            return None
        explain = "EXPLAIN " if self.dialect.name == "postgres" else "EXPLAIN QUERY PLAN "

        def ask(conn: Session) -> list[str]:
            try:
                rows = conn.execute(explain + wanted.sql, wanted.values)
            except RowTrouble as refused:
                return [f"no plan: {refused}"]
            return [str(row[-1]) for row in rows]

        try:
            return await self.inner.read(ask)
        except Exception as trouble:  # noqa: BLE001 - told in place of the plan
            return [f"no plan: {trouble}"]

    def tick(self) -> float:
        return self._clock.tick()

    def took(self, sql: str, values: Values, seconds: float, rows: int) -> None:
        """A statement has ended. It may come on any thread."""
        if seconds < self.threshold:
            return
        known = self._found.get(sql)
        if known is None:
            self._made += 1
            known = self._found[sql] = Slow(f"q{self._made}", sql)
            if len(self._found) > _MOST:
                self._found.popitem(last=False)
        known.count += 1
        known.total += seconds
        known.most_rows = max(known.most_rows, rows)
        known.last, tick = self._clock.now(), self._clock.tick()
        if tick - seconds >= known.until:
            known.occasions, known.until = known.occasions + 1, tick
        if seconds > known.slowest:
            known.slowest, known.values = seconds, tuple(values)
        _log.warning(
            "slow query",
            id=known.id,
            sql=sql[:_SHOWN],
            duration=round(seconds * 1000, 3),
            rows=rows,
            times=known.count,
        )


class _Timed(WrappingSession):
    __slots__ = ("_of",)

    def __init__(self, inner: Session, of: TimedDatabase) -> None:
        super().__init__(inner)
        self._of = of

    def execute(self, sql: str, values: Values = (), /) -> Result:
        began = self._of.tick()
        try:
            found = self.inner.execute(sql, values)
        finally:
            took = self._of.tick() - began
            self._of.statements += took
        self._of.took(sql, values, took, len(found))
        return found

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        began = self._of.tick()
        try:
            self.inner.executemany(sql, rows)
        finally:
            took = self._of.tick() - began
            self._of.statements += took
        self._of.took(sql, (), took, 0)
