"""Programs change, rows stay: what is done unasked, what is asked for, what is taken back; on both
databases."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.app import programs as p
from tests.app.conftest import postgres_database

from backstay.app.migrating import Migrator
from backstay.app.plan.unit import Unit
from backstay.app.plan.writes import Writer
from backstay.app.settings import AppSettings
from backstay.app.store.aim import aim
from backstay.app.store.schema import runtime_schema
from backstay.app.store.service import Store
from backstay.app.store.session import Database, Session
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.lang.program import Entity, Field, Index, Program

NAME = p.Field("name", p.STRING, required=True)
SIZE = p.Field("size", p.INT)
KEY = "00000000-0000-7000-8000-000000000001"


def of(*fields: Field, indexes: tuple[Index, ...] = (), more: tuple[Entity, ...] = ()) -> Program:
    entity = Entity("Thing", "things", (p.key(), *fields), indexes)
    return p.program(entity, *more)


BEFORE = of(NAME, SIZE, p.Field("note", p.STRING), indexes=(Index(("note",)),))
OLD = p.Entity("Old", "olds", (p.key(), p.Field("thing", p.RefType("Thing"))))


class Home:
    """One database, opened as often as a process would."""

    def __init__(self, database: Callable[[], Database], settings: AppSettings) -> None:
        self.database = database
        self.settings = settings

    async def start(self, program: Program, *, migrate: bool = False) -> None:
        """As a server does, and it ends at once."""
        database, clock = self.database(), SystemClock()
        aimed = aim(program, database.dialect)
        store = Store(database, aimed, clock, Uuid7(clock), {}, migrate=migrate)
        await store.start()
        await store.stop()

    async def insert(self, program: Program, **values: object) -> None:
        database = self.database()
        await database.open()
        insert = Writer(aim(program, database.dialect), "Thing").insert()

        def work(conn: Session) -> None:
            insert(Unit(conn, 0, Uuid7(SystemClock()), {}), {"id": KEY, **values})

        try:
            await database.write(work)
        finally:
            await database.close()

    async def rows(self, sql: str) -> list[tuple[object, ...]]:
        database = self.database()
        await database.open()
        found = await database.read(lambda conn: [tuple(row) for row in conn.execute(sql)])
        await database.close()
        return found

    @asynccontextmanager
    async def migrator(self, program: Program) -> AsyncIterator[Migrator]:
        clock = SystemClock()
        made = Migrator(self.settings, program, {}, clock, Uuid7(clock), SystemDice())
        async with made:
            yield made


@pytest.fixture
async def home(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """With the tables of BEFORE and one row."""
    if kind == "sqlite":
        path = tmp_path / "app.db"
        made = Home(
            lambda: SqliteDatabase(path, runtime_schema(), "process", 2),
            AppSettings(data=tmp_path),
        )
    else:
        url = request.getfixturevalue("new_url")()
        made = Home(lambda: postgres_database(url), AppSettings(database_url=Secret(url)))
    await made.start(p.replace(BEFORE, entities=(*BEFORE.entities, OLD)))
    await made.insert(BEFORE, name="one", size=7, note="n")
    return made


WIDER = p.replace(
    of(
        NAME,
        SIZE,
        p.Field("note", p.STRING),
        p.Field("price", p.MONEY, required=True, default=p.Constant(Decimal("1.50"), p.MONEY)),
        indexes=(Index(("note",)), Index(("size",))),
    ),
    hash="2" * 64,
)
WIDER = p.replace(WIDER, entities=(*WIDER.entities, OLD))


async def test_a_server_refuses_tables_that_are_behind_unless_it_may_change_them(
    home: Home,
) -> None:
    with pytest.raises(Fault) as caught:
        await home.start(WIDER)
    assert caught.value.entry.code == "APP028"
    assert "the column things.price is new" in caught.value.cause
    assert "ADD COLUMN" in caught.value.fix
    await home.start(WIDER, migrate=True)
    await home.start(WIDER)
    found = await home.rows("SELECT name, price FROM things")
    assert [(name, str(price)) for name, price in found] in ([("one", "150")], [("one", "1.50")])


NARROW = p.replace(
    of(
        p.replace(NAME, maximum=Decimal(5)),
        p.Field("size", p.FLOAT, required=True),
        p.Field("extra", p.INT, default=p.Constant(3, p.INT)),
        indexes=(Index(("size",), unique=True),),
    ),
    hash="3" * 64,
)


async def test_what_touches_stored_data_is_only_done_when_it_is_asked_for(home: Home) -> None:
    with pytest.raises(Fault) as caught:
        await home.start(NARROW, migrate=True)
    assert caught.value.entry.code == "APP003"
    async with home.migrator(NARROW) as migrator:
        plan = await migrator.plan()
        told = " | ".join(f"{change.risk}: {change.says}" for change in plan.changes)
        assert "loss: the table olds belongs to no entity any more" in told
        assert "loss: " in told.partition("things")[0] + told
        assert "note" in told
        with pytest.raises(Fault) as caught:
            await migrator.apply(everything=False)
        assert caught.value.entry.code == "APP003"
        assert (await migrator.apply(everything=True)).applied
        assert (await migrator.plan()).changes == []
    await home.start(NARROW)
    assert await home.rows("SELECT id, name, size FROM things") == [(KEY, "one", 7.0)]
    with pytest.raises(Fault) as caught:
        await home.insert(NARROW, id=KEY[:-1] + "2", name="too long", size=1.0)
    assert caught.value.entry.code in ("APP020", "APP016")
    async with home.migrator(NARROW) as migrator:
        with pytest.raises(Fault) as caught:
            await migrator.roll_back()
    assert caught.value.entry.code == "APP031"


async def test_what_stored_rows_do_not_allow_is_taken_back_whole(home: Home) -> None:
    wanted = p.replace(
        of(
            p.replace(NAME, minimum=Decimal(20)),
            SIZE,
            p.Field("note", p.STRING),
            p.Field("first", p.STRING),
            indexes=(Index(("note",)),),
            more=(OLD,),
        ),
        hash="4" * 64,
    )
    async with home.migrator(wanted) as migrator:
        before = (await migrator.plan()).changes
        with pytest.raises(Fault) as caught:
            await migrator.apply(everything=True)
        assert caught.value.entry.code == "APP029"
        assert (await migrator.plan()).changes == before
    assert await home.rows("SELECT name, size, note FROM things") == [("one", 7, "n")]


async def test_a_migration_that_took_nothing_away_can_be_taken_back(home: Home) -> None:
    async with home.migrator(WIDER) as migrator:
        planned = (await migrator.plan()).changes
        await migrator.apply(everything=False)
        assert await migrator.roll_back() != []
        assert (await migrator.plan()).changes == planned
    await home.start(p.replace(BEFORE, entities=(*BEFORE.entities, OLD)))
    assert await home.rows("SELECT * FROM things") == [(KEY, "one", 7, "n")]


TEXT = """
config {{ name: "small" version: "1.0.0" }}
entity Note {{
  id: uuid, primary, auto
  text: string, required
  {more}
}}
"""


def test_the_command_shows_does_and_takes_back(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("new_url")() if kind == "postgres" else ""
    file = tmp_path / "small.cai"

    def run(*words: str, more: str = "") -> tuple[int, str]:
        file.write_text(TEXT.format(more=more), encoding="utf-8")
        command = [sys.executable, "-m", "backstay.cli.codeai", "migrate", str(file)]
        env = os.environ | ({"DATABASE_URL": url} if url else {})
        done = subprocess.run(
            [*command, "--data", str(tmp_path / "data"), *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, said = run()
    assert (code, "the table notes is new  [safe" in said) == (1, True), said
    assert run("--apply")[0] == 0
    assert run() == (0, said.partition("\n")[0] and run()[1])
    code, said = run("--output", "json", more="size: int")
    assert code == 1
    assert [each["risk"] for each in json.loads(said)["changes"]] == ["safe"]
    assert run("--apply", more="size: int")[0] == 0
    code, said = run("--apply")
    assert (code, "APP003" in said) == (1, True), said
    code, said = run("--apply", "--yes")
    assert (code, "LOSES DATA" in said) == (0, True), said
    code, said = run("--rollback")
    assert (code, "APP031" in said) == (1, True), said
