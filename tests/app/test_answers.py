"""What an answer holds: lists without pages, rows beside rows, the members that were asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.app.serving import ANONYMOUS, Served, served
from tests.app.support import VISITOR, NewDatabase, NewPlace

from backstay.app.plan.lists import ListPlan
from backstay.app.plan.writes import Writer
from backstay.core.context import Principal
from backstay.lang.api import check_text
from backstay.lang.program import ListOf, Program

TEXT = """
config { name: "books" version: "1.0.0" auth: jwt { secret: env("JWT_SECRET") } }

entity Author {
  id: int, primary
  name: string, required
  secret: bool, default(false)
  books: list(Book)
  access { read: not secret or user.has("staff") }
}

entity Book {
  id: int, primary
  title: string, required
  author: ref(Author), required
  pages: int
  access { read: title != "Draft" or user.has("staff") }
}

endpoint GET /authors {
  auth: public
  returns: list(Author)
  filter: [name]
  sort: [name]
  include: [books]
  page_limit: 50
}

endpoint GET /books { auth: public, returns: paginated(Book), sort: [pages], include: [author] }

endpoint GET /books/{id} { path { id: int } auth: public returns: Book include: [author] }

endpoint GET /shelves/{id} {
  path { id: int }
  query { fields: int, required }
  auth: public
  returns: Book
}
"""
STAFF = Principal("user", sub="ada", roles=frozenset({"staff"}))


def program() -> Program:
    checked, found = check_text("books.cai", TEXT)
    assert checked is not None, found
    return checked


@pytest.fixture
async def shop(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Served]:
    async with served(program(), tmp_path, database=new_database()) as app:
        made = await app.seed(
            ("Author", {"id": 1, "name": "Woolf"}),
            ("Author", {"id": 2, "name": "Eliot"}),
            ("Author", {"id": 3, "name": "Ghost", "secret": True}),
            ("Book", {"id": 1, "title": "Orlando", "author": 1, "pages": 300}),
            ("Book", {"id": 2, "title": "Flush", "author": 1, "pages": 100}),
            ("Book", {"id": 3, "title": "Draft", "author": 1}),
            ("Book", {"id": 4, "title": "Told", "author": 3, "pages": 50}),
        )
        assert made.status == 200, made.body
        yield app


async def test_a_list_without_pages_answers_the_rows_themselves(shop: Served) -> None:
    answer = await shop.ask("GET", "/authors?sort=name", who=ANONYMOUS)
    found = answer.json
    assert [row["name"] for row in found] == ["Eliot", "Woolf"]  # type: ignore[attr-defined]
    one = await shop.ask("GET", "/authors?sort=name&limit=1&name=Woolf", who=ANONYMOUS)
    assert [row["id"] for row in one.json] == [1]  # type: ignore[attr-defined]
    for paging in ("page=2", "cursor=abc", "total=true"):
        refused = await shop.ask("GET", f"/authors?{paging}", who=ANONYMOUS)
        assert refused.status == 400
        assert refused["code"] == "APP012"


async def test_rows_beside_the_rows_of_a_list_are_judged_by_their_own_rules(shop: Served) -> None:
    found = (await shop.ask("GET", "/authors", who=ANONYMOUS)).json
    assert [[book["title"] for book in row["books"]] for row in found] == [  # type: ignore[attr-defined]
        ["Orlando", "Flush"],
        [],
    ]
    books = (await shop.ask("GET", "/books?sort=-pages", who=ANONYMOUS))["data"]
    assert [book["author"] for book in books] == [  # type: ignore[attr-defined]
        {"id": 1, "name": "Woolf", "secret": False},
        {"id": 1, "name": "Woolf", "secret": False},
        3,
    ]
    staff = (await shop.ask("GET", "/books?sort=pages", who=STAFF))["data"]
    assert [book["title"] for book in staff] == ["Draft", "Told", "Flush", "Orlando"]  # type: ignore[attr-defined]
    assert staff[1]["author"]["name"] == "Ghost"  # type: ignore[index]


async def test_a_request_chooses_the_members_it_wants(shop: Served) -> None:
    listed = await shop.ask("GET", "/books?fields=title,id&sort=pages&limit=2", who=ANONYMOUS)
    assert listed["data"] == [{"id": 4, "title": "Told"}, {"id": 2, "title": "Flush"}]
    cursor = listed["pagination"]["next_cursor"]  # type: ignore[index]
    more = await shop.ask("GET", f"/books?fields=id&sort=pages&cursor={cursor}", who=ANONYMOUS)
    assert more["data"] == [{"id": 1}]
    one = await shop.ask("GET", "/books/1?fields=author,pages", who=ANONYMOUS)
    assert one.json == {"author": {"id": 1, "name": "Woolf", "secret": False}, "pages": 300}
    bare = await shop.ask("GET", "/authors?fields=name&sort=name", who=ANONYMOUS)
    assert bare.json == [{"name": "Eliot"}, {"name": "Woolf"}]


async def test_members_that_are_not_there_are_named_with_the_nearest(shop: Served) -> None:
    answer = await shop.ask("GET", "/books/1?fields=titel,id,id", who=ANONYMOUS)
    assert answer.status == 400
    said = [each["message"] for each in answer["values"]["errors"]]  # type: ignore[index]
    assert said == ["titel is not known; did you mean title?", "id is given twice"]


async def test_a_declared_parameter_called_fields_stays_the_endpoints_own(shop: Served) -> None:
    answer = await shop.ask("GET", "/shelves/1?fields=7", who=ANONYMOUS)
    assert answer["title"] == "Orlando"


@pytest.mark.parametrize("asked", [{}, {"fields": ["id,author"]}])
def test_a_list_with_rows_beside_it_takes_as_many_statements_however_many_there_are(
    new_place: NewPlace, asked: dict[str, list[str]]
) -> None:
    place = new_place(program())
    spec = next(each.does for each in program().endpoints if each.path == "/books")
    assert isinstance(spec, ListOf)
    plan = ListPlan(place.program, spec, ())
    author = Writer(place.program, "Author").insert()
    book = Writer(place.program, "Book").insert()
    counted = []
    for many in (3, 80):
        with place.unit() as unit:
            for number in range(many):
                key = many * 100 + number
                author(unit, {"id": key, "name": f"author {number}"})
                book(unit, {"id": key, "title": f"book {number}", "author": key})
        with place.unit(VISITOR) as unit:
            before = len(place.statements)
            page, _ = plan.asked.parse({**asked, "limit": ["100"]})
            body = plan.run(unit, page, {})
            counted.append(len(place.statements) - before)
        assert isinstance(body, dict)
        assert body["data"][-1]["author"]["name"] == f"author {many - 1}"
    assert counted == ([1, 1] if place.dialect.arrays else [2, 2])


def test_rows_beside_it_that_nobody_asked_for_are_not_read(new_place: NewPlace) -> None:
    place = new_place(program())
    spec = next(each.does for each in program().endpoints if each.path == "/books")
    assert isinstance(spec, ListOf)
    plan = ListPlan(place.program, spec, ())
    with place.unit() as unit:
        Writer(place.program, "Author").insert()(unit, {"id": 1, "name": "Woolf"})
        Writer(place.program, "Book").insert()(unit, {"id": 1, "title": "Orlando", "author": 1})
    with place.unit(VISITOR) as unit:
        before = len(place.statements)
        page, _ = plan.asked.parse({"fields": ["title"]})
        assert not plan.several(page)
        body = plan.run(unit, page, {})
        assert len(place.statements) - before == 1
    assert isinstance(body, dict)
    assert body["data"] == [{"title": "Orlando"}]
