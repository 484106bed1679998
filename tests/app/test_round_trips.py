"""How often a request goes to the PostgreSQL server and back, counted on the wire between them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.app.conftest import postgres_database
from tests.app.serving import ANONYMOUS, served
from tests.servers.postgres import PostgresServer

from backstay.lang.api import check_text

TEXT = """
config { name: "shelves" version: "1.0.0" }
entity Room {
  id: int, primary
  name: string, required
}
entity Shelf {
  id: int, primary
  room: ref(Room), required
  books: list(Book)
  labels: list(Label)
}
entity Book {
  id: int, primary
  title: string, required
  shelf: ref(Shelf), required
  access { read: title != "Draft" or user.has("staff") }
}
entity Label {
  id: int, primary
  text: string, required
  shelf: ref(Shelf), required
}
endpoint GET /shelves { returns: paginated(Shelf), include: [room, books, labels] }
endpoint GET /shelves/{id} {
  path { id: int }
  returns: Shelf
  include: [room, books, labels]
}
"""


class Wire:
    """`turns`: how often the server began to answer."""

    def __init__(self) -> None:
        self.turns = 0
        self._asking = False

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asking: bool
    ) -> None:
        while piece := await reader.read(65536):
            self.turns += self._asking and not asking
            self._asking = asking
            writer.write(piece)
        writer.close()


@asynccontextmanager
async def wired(server: PostgresServer, url: str) -> AsyncIterator[tuple[Wire, str]]:
    """The same database by another port, where what is said is counted."""
    wire = Wire()

    async def between(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(server.host, server.port)
        async with asyncio.TaskGroup() as both:
            both.create_task(wire.carry(client, onward, asking=True))
            both.create_task(wire.carry(there, answer, asking=False))

    listening = await asyncio.start_server(between, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield wire, url.replace(f":{server.port}/", f":{port}/")


@pytest.mark.parametrize("path", ["/shelves?limit=20", "/shelves/7"])
async def test_rows_with_three_kinds_of_rows_beside_them_take_one_round_trip(
    tmp_path: Path, postgres: PostgresServer, new_url: Callable[[], str], path: str
) -> None:
    program, found = check_text("shelves.cai", TEXT)
    assert program is not None, found
    async with wired(postgres, new_url()) as (wire, url):
        database = postgres_database(url, connections=1)
        async with served(program, tmp_path, database=database) as app:
            seed = [("Room", {"id": 1, "name": "north"})]
            seed += [("Shelf", {"id": each, "room": 1}) for each in range(30)]
            for number in range(120):
                seed.append(("Book", {"id": number, "title": "Told", "shelf": number % 30}))
                seed.append(("Label", {"id": number, "text": "old", "shelf": number % 30}))
            assert (await app.seed(*seed)).status == 200
            await app.ask("GET", path, who=ANONYMOUS)  # prepares the statement
            before = wire.turns
            answer = (await app.ask("GET", path, who=ANONYMOUS)).json
            assert wire.turns - before == 1
    assert isinstance(answer, dict)
    for shelf in answer.get("data", [answer]):
        assert shelf["room"]["name"] == "north"
        assert len(shelf["books"]) == len(shelf["labels"]) == 4
