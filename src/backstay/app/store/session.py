"""What a piece of work gets: one open transaction, whatever database it is in (decision 30).

Work is a plain function `work(session) -> T`. It may be run more than once before it is committed,
so whatever it leaves behind besides rows is in what it returns, or is handed to `after`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from backstay.app.store.dialect import Dialect
from backstay.core.errors import Plain

T = TypeVar("T")
Values = Sequence[Any]


class Result(list[Any]):
    """The rows of one statement, whole: nothing of the database is held open by them."""

    __slots__ = ()

    def fetchone(self) -> Any:
        """The first row, None when there is none."""
        return self[0] if self else None

    def fetchall(self) -> list[Any]:
        return self

    @property
    def get(self) -> Any:
        """The first value of the first row, None when there is none."""
        return self[0][0] if self else None


RowRule = Literal["unique", "foreign key", "check", "not null", "range", "statement"]


class RowTrouble(Exception):  # noqa: N818 - an answer of the database, told to people as a Fault
    """A statement was refused for what it would have stored; the rest of the transaction stands.

    `constraint` is its name where the database tells it, `columns` those it is about; `statement`
    stands for whatever else the SQL itself is refused for.
    """

    def __init__(
        self, rule: RowRule, text: str, constraint: str = "", columns: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text)
        self.rule = rule
        self.constraint = constraint
        self.columns = columns


class StoreTrouble(Exception):  # noqa: N818 - never seen outside a transaction
    """The database itself failed, or wants the work done anew: nothing of the transaction stands.
    Work lets it pass; `Database` turns its cause into a Fault."""


class Session(Protocol):
    """One open transaction. All calls raise RowTrouble or StoreTrouble and nothing else."""

    @property
    def dialect(self) -> Dialect:
        """What its SQL is written in."""
        ...

    def execute(self, sql: str, values: Values = (), /) -> Result:
        """Run one statement; question marks stand for `values`."""
        ...

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        """Run it once for each of `rows`."""
        ...

    def changes(self) -> int:
        """How many rows the last INSERT, UPDATE or DELETE touched."""
        ...

    def savepoint(self) -> AbstractContextManager[Any]:
        """An exception that leaves it takes what was done inside back, and nothing else."""
        ...

    def after(self, call: Callable[[], None], /) -> None:
        """Call it once the transaction is committed, at the earliest; never when it is not. It may
        come on any thread."""
        ...


class PoolStats(msgspec.Struct, frozen=True):
    """`open_connections` are those open now, of which `in_use` work."""

    max_connections: int
    open_connections: int
    in_use: int
    idle: int

    def plain(self) -> dict[str, Plain]:
        """As the details of a health check."""
        return dict(msgspec.structs.asdict(self))


class DatabaseStats(msgspec.Struct, frozen=True):
    """Totals since opening; `wal_bytes` is 0 where the server keeps the log."""

    commits: int = 0
    commit_seconds: float = 0.0
    repeats: int = 0
    wal_bytes: int = 0


class Database(Protocol):
    """Where rows are. Everything that goes wrong with the database itself is a Fault."""

    @property
    def dialect(self) -> Dialect:
        """What its SQL is written in."""
        ...

    @property
    def where(self) -> str:
        """As people read it in messages: a path, or an address without a password."""
        ...

    async def open(self) -> None:
        """Own or reach it, and bring the runtime's tables up to date."""
        ...

    async def read(
        self, work: Callable[[Session], T], /, *, snapshot: bool = False, brief: bool = False
    ) -> T:
        """Run `work`, which writes nothing. With `snapshot` all of its statements see one state.
        `brief` work does little besides asking for a few rows: a database in this process gives
        them at once, and begins anew elsewhere when they turn out to be many."""
        ...

    async def write(self, work: Callable[[Session], T], /, *, alone: bool = False) -> T:
        """Run `work` in a transaction as if nothing ran beside it; durable on return. `alone`: it
        waits for its turn among all work that says so, in all processes."""
        ...

    async def alter(self, work: Callable[[Session], T], /) -> T:
        """Run `work`, which changes tables, in one transaction and alone. It may take any time, and
        references are only judged at its end."""
        ...

    async def ping(self) -> None:
        """Whether it answers and would keep what it is given; costs as little as that can."""
        ...

    async def blockers(self) -> list[dict[str, Plain]]:
        """Sessions that keep statements of the app waiting for a lock, whoever keeps most waiting
        first; none where one process owns the database."""
        ...

    async def backup(self, target: Path, /) -> None:
        """A copy in one file; it appears whole or not at all."""
        ...

    async def copy_before(self, label: str, /) -> str:
        """A copy before stored data is changed by a migration; where it is."""
        ...

    def whereabouts(self) -> dict[str, Plain]:
        """Facts for a diagnosis, never a password. A member `reading` says that it is not where it
        was opened. No I/O but on a file's name."""
        ...

    def stats(self) -> DatabaseStats:
        """Totals for metrics; no I/O."""
        ...

    def pool(self) -> PoolStats:
        """The connections now; no I/O."""
        ...

    async def close(self) -> None:
        """Finish what was given, close. Idempotent."""
        ...
