"""Every test of the app that goes through a database runs on both: SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


class Urls:
    """Empty databases of one server. Making one takes longer than emptying one, so they are used
    again."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._made = 0
        self._free: list[str] = []

    def take(self) -> str:
        """The URL of a database that nobody else uses."""
        if not self._free:
            self._made += 1
            name = f"test_{self._made}"
            self.server.sql(f"CREATE DATABASE {name}")
            return self.server.url(name)
        url = self._free.pop()
        name = url.rpartition("/")[2]
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
        self.server.sql(f"{end}'{name}'")
        self.server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
        return url

    def give(self, url: str) -> None:
        self._free.append(url)


@pytest.fixture(scope="session")
def urls(postgres: PostgresServer) -> Urls:
    return Urls(postgres)


@pytest.fixture
def new_url(urls: Urls) -> Iterator[Callable[[], str]]:
    """The URL of an empty PostgreSQL database of its own, each time another."""
    taken: list[str] = []

    def made() -> str:
        taken.append(urls.take())
        return taken[-1]

    yield made
    for url in taken:
        urls.give(url)


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewPlace]:
    """Open databases with the tables of a program."""
    with _places(kind, request, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def new_module_place(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewPlace]:
    """As `new_place`, for tests that use one after the other."""
    with _places(kind, request, tmp_path_factory.mktemp("place")) as made:
        yield made


@contextmanager
def _places(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[NewPlace]:
    opened: list[Place] = []
    taken: list[str] = []

    def made(program: Program) -> Place:
        place: Place
        if kind == "sqlite":
            place = SqlitePlace(folder / f"{len(opened)}.db", program)
        else:
            taken.append(request.getfixturevalue("urls").take())
            place = PostgresPlace(taken[-1], program)
        opened.append(place)
        return place

    yield made
    for place in opened:
        place.close()
    for url in taken:
        request.getfixturevalue("urls").give(url)


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
