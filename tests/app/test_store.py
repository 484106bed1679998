"""Opening a database with a program: tables, what is migrated unasked, what is refused."""

import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from tests.app import programs as p

from backstay.app.store.lengthy import IN_A_ROW, LEFT_ALONE
from backstay.app.store.schema import runtime_schema
from backstay.app.store.service import Store
from backstay.app.store.session import RowTrouble, Session
from backstay.app.store.sqlite import BRIEF_ROWS, SqliteDatabase
from backstay.core.clock import Uuid7
from backstay.core.errors import Fault
from backstay.core.virtual import VirtualClock
from backstay.lang.check.world import reserved_table
from backstay.lang.program import Entity, Field, Index, Program

NAME = p.Field("name", p.STRING, required=True)
BASE = p.Entity("Thing", "things", (p.key(), NAME))


async def opened(path: Path, program: Program, *, migrate: bool = True) -> None:
    """Open and close it, as a start of the process does."""
    clock = VirtualClock()
    database = SqliteDatabase(path, runtime_schema(), "process", 2, clock)
    store = Store(database, program, clock, Uuid7(clock), {}, migrate=migrate)
    await store.start()
    await store.stop()


def with_fields(*more: Field, indexes: tuple[Index, ...] = ()) -> Program:
    entity = Entity("Thing", "things", (*BASE.fields, *more), indexes)
    return p.replace(p.program(entity), hash=f"{len(more)}{len(indexes)}" * 32)


@pytest.fixture
async def held(tmp_path: Path) -> Path:
    """A database of BASE with one row."""
    path = tmp_path / "app.db"
    await opened(path, p.program(BASE))
    with sqlite3.connect(path) as conn:
        conn.execute("INSERT INTO things VALUES ('t1', 'one')")
    conn.close()
    return path


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    conn = sqlite3.connect(path)
    try:
        return conn.execute(sql).fetchall()
    finally:
        conn.close()


async def test_the_same_program_again_changes_and_copies_nothing(held: Path) -> None:
    before = rows(held, "SELECT sql FROM sqlite_schema ORDER BY name")
    await opened(held, p.program(BASE))
    assert rows(held, "SELECT sql FROM sqlite_schema ORDER BY name") == before
    assert [file.name for file in held.parent.glob("*before*")] == []


async def test_new_columns_tables_and_indexes_are_made_after_a_copy(held: Path) -> None:
    program = with_fields(
        p.Field("note", p.STRING),
        p.Field("price", p.MONEY, required=True, default=p.Constant(Decimal("1.50"), p.MONEY)),
        p.Field("made", p.STAMP, default=p.NOW),
        p.Field("code", p.STRING, unique=True),
        indexes=(Index(("name",)),),
    )
    other = p.Entity("Other", "others", (p.key(), p.Field("thing", p.RefType("Thing"))))
    await opened(held, p.replace(program, entities=(*program.entities, other)))
    assert rows(held, "SELECT name, note, price, made, code FROM things") == [
        ("one", None, 150, 1_750_000_000_000_000, None)
    ]
    assert rows(held, "SELECT count(*) FROM others") == [(0,)]
    copies = list(held.parent.glob("app.db.before-*"))
    assert len(copies) == 1
    assert rows(copies[0], "SELECT * FROM things") == [("t1", "one")]


@pytest.mark.parametrize(
    ("entity", "says"),
    [
        (Entity("Thing", "things", (p.key(),)), "things.name is not declared any more"),
        (
            Entity("Thing", "things", (p.key(), NAME, p.Field("size", p.INT, required=True))),
            "things.size is new and required",
        ),
        (
            Entity("Thing", "things", (p.key(), p.Field("name", p.INT, required=True))),
            "things.name was",
        ),
        (
            Entity(
                "Thing",
                "things",
                (p.key(), p.replace(NAME, maximum=Decimal(2))),
            ),
            "things.name was",
        ),
        (Entity("Other", "others", (p.key(),)), "the table things belongs to no entity"),
    ],
)
async def test_what_could_lose_something_is_refused_with_its_sql(
    held: Path, entity: Entity, says: str
) -> None:
    with pytest.raises(Fault) as caught:
        await opened(held, p.program(entity))
    assert caught.value.entry.code == "APP003"
    assert says in caught.value.cause
    assert "things" in str(caught.value.values["sql"])
    assert rows(held, "SELECT * FROM things") == [("t1", "one")]


async def test_a_table_of_the_runtime_is_not_taken_for_an_entity(tmp_path: Path) -> None:
    entity = Entity("Seed", "backstay_seeds", (p.key(),))
    with pytest.raises(Fault) as caught:
        await opened(tmp_path / "app.db", p.program(entity))
    assert caught.value.entry.code == "APP027"


async def test_sources_are_kept_for_executions_that_outlive_them(held: Path) -> None:
    await opened(held, with_fields(p.Field("note", p.STRING)))
    found = rows(held, "SELECT hash, sources FROM backstay_programs ORDER BY hash")
    assert found == [("10" * 32, '[["small.cai",""]]'), ("1" * 64, '[["small.cai",""]]')]


async def test_constraints_of_the_database_stand_behind_those_of_the_runtime(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    await opened(path, p.orders())
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA foreign_keys=ON")
    conn.execute("INSERT INTO products VALUES ('p', 'S', 'N', 100, 5)")
    for bad in (
        "UPDATE products SET stock = -1",
        "UPDATE products SET price = 10000000000",
        "UPDATE products SET stock = 'many'",
        "INSERT INTO products VALUES ('q', 'S', 'N', 100, 5)",
        "INSERT INTO orders VALUES ('o', 'nobody', 'pending', 1, NULL, 0)",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            conn.execute(bad)
    conn.close()


def test_no_entity_can_take_a_table_of_the_runtime():
    made = re.findall(r"CREATE TABLE (\w+)", "\n".join(runtime_schema().migrations))
    assert {"executions", "job_runs", "backstay_programs"} <= set(made)
    assert [table for table in made if not reserved_table(table)] == []


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    made = SqliteDatabase(
        tmp_path / "app.db", runtime_schema(), "process", connections=2, clock=VirtualClock()
    )
    await made.open()
    yield made
    await made.close()


def seen(threads: list[bool], sql: str, *values: object) -> Callable[[Session], int]:
    """Work that tells how many rows it got, and whether each of its runs was on this thread."""
    here = threading.get_ident()

    def work(conn: Session) -> int:
        threads.append(threading.get_ident() == here)
        return len(conn.execute(sql, values))

    return work


NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT "


async def test_a_brief_read_is_done_at_once(database: SqliteDatabase) -> None:
    threads: list[bool] = []
    assert await database.read(seen(threads, NUMBERS + "i FROM n", 20), brief=True) == 20
    assert threads == [True]
    assert database.pool().open_connections == 1
    assert await database.read(seen(threads, NUMBERS + "i FROM n", 20)) == 20
    assert threads == [True, False]
    assert database.pool().open_connections == 2


@pytest.mark.parametrize(
    ("sql", "value", "rows"),
    [
        (NUMBERS + "max(i) FROM n", 100_000, 1),
        (NUMBERS + "i FROM n", BRIEF_ROWS + 1, BRIEF_ROWS + 1),
        ("SELECT length(?)", "x" * 100_000, 1),
        ("SELECT count(*) FROM backstay_programs WHERE hash <> ?", "", 1),
        ("SELECT instr('abc', ?)", "b", 1),
        ("SELECT 'abc' LIKE ?", "%b%", 1),
    ],
)
async def test_a_read_that_is_not_brief_after_all_is_done_by_a_reader(
    database: SqliteDatabase, sql: str, value: object, rows: int
) -> None:
    threads: list[bool] = []
    assert await database.read(seen(threads, sql, value), brief=True) == rows
    assert threads == [True, False]


async def test_a_statement_that_is_not_brief_time_and_again_is_left_to_the_readers_for_a_while(
    database: SqliteDatabase,
) -> None:
    here = threading.get_ident()

    async def at_once(rows: int) -> bool:
        """Whether so many rows are read on this thread; they are read in any case."""
        ends: list[int] = []

        def work(conn: Session) -> int:
            count = len(conn.execute(NUMBERS + "i FROM n", (rows,)))
            ends.append(threading.get_ident())
            return count

        assert await database.read(work, brief=True) == rows
        return ends == [here]

    many = BRIEF_ROWS + 1
    assert [await at_once(many) for _ in range(IN_A_ROW)] == [False] * IN_A_ROW
    assert [await at_once(1) for _ in range(LEFT_ALONE)] == [False] * LEFT_ALONE
    assert await at_once(1)
    for _ in range(IN_A_ROW):  # not in a row
        assert not await at_once(many)
        assert await at_once(1)


async def test_a_statement_that_is_refused_is_refused_alike_where_it_is_brief(
    database: SqliteDatabase,
) -> None:
    threads: list[bool] = []
    for brief in (True, False):
        with pytest.raises(RowTrouble) as refused:
            await database.read(seen(threads, "SELECT abs(?)", -(2**63)), brief=brief)
        assert refused.value.rule == "statement"
    assert threads == [True, False]


async def test_a_brief_read_of_a_closed_database_is_told_so(database: SqliteDatabase) -> None:
    await database.close()
    with pytest.raises(Fault) as closed:
        await database.read(seen([], "SELECT 1"), brief=True)
    assert closed.value.entry.code == "CORE044"
