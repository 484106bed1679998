"""Plain functions on an asynchronous driver: the work runs in a greenlet, and where it would wait
for the server, the event loop waits instead.

No thread is involved, so the work may use everything that belongs to the loop.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from backstay.app.store.dialect import Dialect
from backstay.app.store.postgres.dialect import POSTGRES
from backstay.app.store.postgres.link import Link
from backstay.app.store.postgres.meaning import trouble_of
from backstay.app.store.session import Result, StoreTrouble, Values

T = TypeVar("T")


async def in_greenlet(work: "Callable[[PostgresSession], T]", session: "PostgresSession") -> T:
    """Run `work`; whatever it waits for is awaited here."""
    child = greenlet(work)
    child.gr_context = copy_context()
    step: Any = child.switch(session)
    while not child.dead:
        try:
            answer = await step
        except BaseException as failure:  # noqa: BLE001 - it is the work's, a cancellation as well
            step = child.throw(failure)
        else:
            step = child.switch(answer)
    result: T = step
    return result


def _awaited(step: Awaitable[T]) -> T:
    answer: T = getcurrent().parent.switch(step)
    return answer


class PostgresSession:
    """A Session. Transaction commands wait and go out together with the next statement; `begin` is
    the first of them, "" where every statement is a transaction of its own."""

    __slots__ = ("_after", "_flushed", "_link", "_points", "_waiting")
    dialect: Dialect = POSTGRES

    def __init__(self, link: Link, begin: str = "") -> None:
        self._link = link
        self._waiting: list[str] = [begin] if begin else []
        self._flushed = 0
        self._points = 0
        self._after: list[Callable[[], None]] = []

    @property
    def begun(self) -> bool:
        """Whether the server has heard of the transaction."""
        return self._flushed > 0

    def execute(self, sql: str, values: Values = (), /) -> Result:
        return Result(_awaited(self._execute(sql, values)))

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        _awaited(self._execute_many(sql, rows))

    def changes(self) -> int:
        count = self._link.status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    @contextmanager
    def savepoint(self) -> Generator[None]:
        self._points += 1
        name, before, place = f"point{self._points}", self._flushed, len(self._waiting)
        self._waiting.append(f"SAVEPOINT {name}")
        try:
            yield
        except StoreTrouble:
            raise  # nothing of the transaction stands
        except BaseException:
            if self._flushed == before:
                del self._waiting[place:]
            else:
                self._waiting.append(f"ROLLBACK TO {name}; RELEASE {name}")
            raise
        if self._flushed == before:
            del self._waiting[place:]
        else:
            self._waiting.append(f"RELEASE {name}")

    def after(self, call: Callable[[], None], /) -> None:
        self._after.append(call)

    # --- for the database ---

    def closing(self, command: str) -> str:
        """What is left to say before the transaction can end, and `command` that ends it."""
        rolled = any(each.startswith("ROLLBACK TO") for each in self._waiting)
        return "; ".join([*self._waiting, command]) if rolled else command

    def committed(self) -> None:
        """Call what waited for it."""
        for call in self._after:
            call()

    async def _execute(self, sql: str, values: Values) -> list[Any]:
        try:
            await self._flush()
            return await self._link.fetch(sql, values)
        except Exception as failure:
            raise trouble_of(failure) from failure

    async def _execute_many(self, sql: str, rows: Iterable[Values]) -> None:
        try:
            await self._flush()
            await self._link.fetch_many(sql, rows)
        except Exception as failure:
            raise trouble_of(failure) from failure

    async def _flush(self) -> None:
        if self._waiting:
            text, self._waiting = "; ".join(self._waiting), []
            self._flushed += 1
            await self._link.script(text)
