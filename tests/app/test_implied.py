"""Endpoints of the business language, which say with their method alone what they change."""

from pathlib import Path

import pytest
from tests.app.serving import served
from tests.app.support import NewDatabase

from backstay.app.unsupported import problems
from backstay.lang.api import check_text
from backstay.lang.program import Program

SHOP = """
entity Shelf {
  id: uuid, primary, auto
  name: string, required
  items: list(Item)
}
entity Item {
  id: uuid, primary, auto
  name: string, required, max(10)
  stock: int, default(3)
  note: string
  shelf: ref(Shelf)
}
endpoint POST /items {
  body { name: string, required, stock: int, note: string, shelf: ref(Shelf) }
  returns: Item
  include: [shelf]
  status: 201
}
endpoint GET /items/{id} { path { id: uuid }, returns: Item }
endpoint PUT /items/{id} {
  path { id: uuid }
  body { name: string, required, stock: int, required }
  returns: Item
}
endpoint PATCH /items/{id} { path { id: uuid }, body { stock: int, note: string }, returns: Item }
endpoint DELETE /items/{id} { path { id: uuid }, returns: void }
endpoint POST /shelves { body { name: string, required }, returns: Shelf, status: 201 }
"""


def program(text: str = SHOP) -> Program:
    made, found = check_text("shop.cai", text)
    assert made is not None, found
    assert problems(made) == []
    return made


async def test_rows_are_made_changed_and_removed(tmp_path: Path, new_database: NewDatabase) -> None:
    async with served(program(), tmp_path, database=new_database()) as app:
        shelf = (await app.ask("POST", "/shelves", {"name": "A"}))["id"]
        made = await app.ask("POST", "/items", {"name": "nut", "shelf": shelf})
        assert made.status == 201
        assert made["shelf"] == {"id": shelf, "name": "A"}
        item = f"/items/{made['id']}"
        # What the request leaves out has the entity's default.
        assert (made["stock"], made["note"]) == (3, None)

        changed = await app.ask("PATCH", item, {"note": "brass"})
        assert changed.status == 200
        assert (changed["name"], changed["stock"], changed["note"]) == ("nut", 3, "brass")
        changed = await app.ask("PATCH", item, {"stock": 0})
        assert (changed["stock"], changed["note"]) == (0, "brass")
        changed = await app.ask("PUT", item, {"name": "bolt", "stock": 8})
        assert (changed["name"], changed["stock"], changed["note"]) == ("bolt", 8, "brass")
        assert (await app.ask("GET", item)).json == changed.json

        assert (await app.ask("DELETE", item)).status == 204
        assert (await app.ask("GET", item)).status == 404
        assert await app.rows("SELECT count(*) FROM items") == [(0,)]


@pytest.mark.parametrize(
    ("method", "body"), [("PUT", {"name": "x", "stock": 1}), ("PATCH", {}), ("DELETE", None)]
)
async def test_a_row_that_is_not_there_is_404(
    method: str, body: dict[str, object] | None, tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(program(), tmp_path, database=new_database()) as app:
        answer = await app.ask(method, "/items/00000000-0000-7000-8000-000000000001", body)
        assert answer.status == 404
        assert "no such Item" in str(answer["detail"])


@pytest.mark.parametrize(
    "body", [{"name": "a name that is too long"}, {"stock": 1}, {"name": "x", "nam": "x"}]
)
async def test_bodies_are_judged_before_anything_is_written(
    body: dict[str, object], tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(program(), tmp_path, database=new_database()) as app:
        assert (await app.ask("POST", "/items", body)).status == 422
        assert await app.rows("SELECT count(*) FROM items") == [(0,)]


KINDS = """
entity Thing {
  id: int, primary, auto
  name: string
  state: enum(new, old)
  price: decimal(10, 2)
  weight: float
  made: timestamp
  day: date
  ready: bool
  takes: duration
  about: json
  tags: list(string)
}
endpoint POST /things { body { name: string }, returns: Thing }
endpoint PATCH /things/{id} {
  path { id: int }
  body {
    name: string, state: enum(new, old), price: decimal(10, 2), weight: float, made: timestamp, day: date
    ready: bool, takes: duration, about: json, tags: list(string)
  }
  returns: Thing
}
"""


async def test_a_change_may_leave_out_a_column_of_any_type(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    given = {
        "name": "nut", "state": "old", "price": "1.50", "weight": 0.5, "day": "2026-01-01",
        "made": "2026-01-01T00:00:00.000000Z", "ready": True, "takes": "1m0s", "about": {"a": [1]},
        "tags": ["x"],
    }  # fmt: skip
    async with served(program(KINDS), tmp_path, database=new_database()) as app:
        await app.ask("POST", "/things", {"name": "bolt"})
        for name, value in given.items():
            answer = await app.ask("PATCH", "/things/1", {name: value})
            assert (answer.status, answer[name]) == (200, value), answer.body
        assert (await app.ask("PATCH", "/things/1", {})).json == {"id": 1, **given}
