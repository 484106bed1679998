"""`POST /admin/query`: a real server, on each database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.app.serving import BUYER, served

from backstay.app import querying
from backstay.app.store.session import Database
from backstay.lang.api import check_text
from backstay.lang.program import Program

NewDatabase = Callable[[], Database]
SOURCE = """
entity Item {
  id: uuid, primary, auto
  name: string, required
  price: decimal(10, 2), required
  access { read: false, write: true }
}
endpoint GET /items { auth: public
  returns: paginated(Item) }
"""
ROWS = [("Item", {"name": name, "price": price}) for name, price in (("a", "1.50"), ("b", "20.00"))]


def checked() -> Program:
    program, found = check_text("app.cai", SOURCE)
    assert program is not None, found
    return program


async def test_an_administrator_sees_the_rows_whatever_the_rules(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    asked = {"query": "select name, price from Item where price >= @least order by name desc"}
    async with served(checked(), tmp_path, database=new_database(), env={}) as app:
        assert (await app.seed(*ROWS)).status == 200
        answer = await app.ask("POST", "/admin/query", {**asked, "parameters": {"least": "1.5"}})
        assert answer.json == {
            "data": [{"name": "b", "price": "20.00"}, {"name": "a", "price": "1.50"}],
            "more": False,
        }
        grouped = "select name, count(*) from Item group by name order by name"
        counted = await app.ask("POST", "/admin/query", {"query": grouped})
        assert [row["name"] for row in counted["data"]] == ["a", "b"]  # type: ignore[attr-defined]
        one = await app.ask("POST", "/admin/query", {"query": "count(Item)"})
        assert [list(row.values()) for row in one["data"]] == [[2]]  # type: ignore[attr-defined]
        loose = await app.ask("POST", "/admin/query", {"query": "name:b", "entity": "Item"})
        assert [row["name"] for row in loose["data"]] == ["b"]  # type: ignore[attr-defined]


async def test_more_rows_than_an_answer_takes_are_told(
    tmp_path: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying, "MOST_ROWS", 1)
    async with served(checked(), tmp_path, database=new_database(), env={}) as app:
        assert (await app.seed(*ROWS)).status == 200
        answer = await app.ask(
            "POST", "/admin/query", {"query": "select name from Item order by name"}
        )
        assert answer.json == {"data": [{"name": "a"}], "more": True}


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"query": "select from Itm"}, "LANG146", "unknown entity 'Itm'"),
        ({"query": "delete from Item where name = 'a'"}, "LANG151", "only reads"),
        ({"query": "select from Item where price > @p"}, "LANG149", "'@p' has no value"),
        ({"query": "select from Item", "limit": 3}, "APP067", "limit"),
        ({"entity": "Item"}, "APP067", "query"),
        ([], "APP067", "object"),
    ],
)
async def test_what_cannot_be_asked_is_a_mistake_of_the_request(
    tmp_path: Path, body: Any, code: str, says: str
) -> None:
    async with served(checked(), tmp_path, env={}) as app:
        answer = await app.ask("POST", "/admin/query", body)
        assert (answer.status, answer["code"]) == (400, code)
        assert says in str(answer["error"])


async def test_nobody_else_may_ask(tmp_path: Path) -> None:
    async with served(checked(), tmp_path, env={}) as app:
        answer = await app.ask("POST", "/admin/query", {"query": "select from Item"}, who=BUYER)
        assert answer.status == 403
