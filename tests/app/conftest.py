"""Every test of the app that goes through a database runs on both: SQLite and PostgreSQL."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.app.support import NewDatabase, NewPlace, Place, PostgresPlace, SqlitePlace
from tests.servers.postgres import PostgresServer

from backstay.app.store.postgres.address import Address
from backstay.app.store.postgres.database import PostgresDatabase
from backstay.app.store.schema import runtime_schema
from backstay.app.store.session import Database
from backstay.app.store.sqlite import SqliteDatabase
from backstay.core.clock import SystemClock, SystemDice
from backstay.core.settings import Secret
from backstay.lang.program import Program

KINDS = ("sqlite", "postgres")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def new_url(postgres: PostgresServer) -> Callable[[], str]:
    """The URL of an empty database of its own, each time another."""

    def made() -> str:
        name = f"test_{next(_numbers)}"
        postgres.sql(f"CREATE DATABASE {name}")
        return postgres.url(name)

    return made


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def new_place(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewPlace]:
    """Open databases with the tables of a program."""
    opened: list[Place] = []

    def made(program: Program) -> Place:
        place: Place
        if kind == "sqlite":
            place = SqlitePlace(tmp_path_factory.mktemp("place") / "app.db", program)
        else:
            place = PostgresPlace(request.getfixturevalue("new_url")(), program)
        opened.append(place)
        return place

    yield made
    for place in opened:
        place.close()


@pytest.fixture
def new_database(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> NewDatabase:
    """Databases that nobody has opened yet."""

    def made() -> Database:
        if kind == "sqlite":
            path = tmp_path_factory.mktemp("database") / "app.db"
            return SqliteDatabase(path, runtime_schema(), "process", 5)
        return postgres_database(request.getfixturevalue("new_url")())

    return made


def postgres_database(url: str, **more: float) -> PostgresDatabase:
    """As `codeai server` makes one, with five connections."""
    return PostgresDatabase(
        Address(Secret(url)),
        runtime_schema(),
        SystemClock(),
        SystemDice(),
        durability="process",
        connections=int(more.pop("connections", 5)),
        **more,
    )
