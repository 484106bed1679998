"""What modifiers and members of entities do to rows: a real server, on each database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.serving import Served, served
from tests.app.support import NewPlace

from backstay.app.plan.writes import Writer
from backstay.app.store import migrate
from backstay.app.store.aim import aim
from backstay.app.store.schema import relations
from backstay.app.store.session import Database
from backstay.app.unsupported import problems
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.program import Program

NewDatabase = Callable[[], Database]
SOURCE = """
entity Shelf {
  id: uuid, primary, auto
  name: string, required
  books: list(Book)
  access { read: true, write: true }
}

entity Book {
  id: uuid, primary, auto
  isbn: string, required, unique, pattern("^[0-9]+-[0-9]+$")
  title: string, required, searchable
  blurb: text, searchable
  author: string, required, index
  edition: int, default(1)
  shelf: ref(Shelf)
  made: timestamp, default(now())
  changed: timestamp, auto_update
  soft_delete
  indexes {
    index: [author, title, edition] unique
    index: [made]
  }
  access { read: true, write: true }
}

endpoint POST /shelves { auth: public, body { name: string, required }, returns: Shelf, status: 201 }
endpoint GET /shelves/{id} { auth: public, path { id: uuid }, returns: Shelf, include: [books] }

endpoint POST /books {
  auth: public
  body { isbn: string, required, title: string, required, blurb: text, author: string, required, shelf: ref(Shelf) }
  returns: Book
  status: 201
}
endpoint POST /pairs {
  auth: public
  do {
    let shelf = create Shelf {
      name: "pair"
      books: [
        { isbn: "1-1", title: "first", author: "A" },
        { isbn: "1-2", title: "second", author: "A", edition: 2 }
      ]
    }
    return shelf
  }
  include: [books]
  status: 201
}
endpoint GET /books {
  auth: public
  returns: paginated(Book)
  filter: [author]
  sort: [title]
}
endpoint GET /books/{id} { auth: public, path { id: uuid }, returns: Book }
endpoint PATCH /books/{id} {
  auth: public
  path { id: uuid }
  body { isbn: string, title: string, edition: int }
  returns: Book
}
endpoint DELETE /books/{id} { auth: public, path { id: uuid }, returns: void }
endpoint POST /books/{id}/restore {
  auth: public
  path { id: uuid }
  do {
    restore Book where id == path.id
    return { living: count(Book), here: count(Book where id == path.id), of: max(Book.edition) }
  }
}
endpoint POST /codes { auth: public, body { code: string, required, pattern("^[A-Z]+$") }, do { return { code: body.code } } }
"""


def checked(text: str = SOURCE) -> Program:
    program, found = check_text("app.cai", text)
    assert program is not None, found
    assert [str(each) for each in problems(program)] == []
    return program


async def book(app: Served, isbn: str, **more: object) -> dict[str, object]:
    body = {"isbn": isbn, "title": f"T{isbn}", "author": "Ann", **more}
    made = await app.ask("POST", "/books", body)
    assert made.status == 201, made.body
    found = made.json
    assert isinstance(found, dict)
    return found


async def titles(app: Served, query: str) -> list[object]:
    answer = await app.ask("GET", f"/books?sort=title&{query}")
    assert answer.status == 200, answer.body
    rows = answer["data"]
    assert isinstance(rows, list)
    return [row["title"] for row in rows]


async def test_auto_update_is_the_time_of_the_last_change(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(), tmp_path, database=new_database()) as app:
        made = await book(app, "978-1")
        assert made["changed"] == made["made"]
        changed = await app.ask("PATCH", f"/books/{made['id']}", {"edition": 2})
        assert changed.status == 200, changed.body
        assert str(changed["changed"]) > str(made["changed"])
        assert changed["made"] == made["made"]


async def test_rows_of_a_nested_create_may_be_written_out(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(), tmp_path, database=new_database()) as app:
        made = await app.ask("POST", "/pairs")
        assert made.status == 201, made.body
        books = made["books"]
        assert isinstance(books, list)
        assert sorted((row["title"], row["edition"]) for row in books) == [
            ("first", 1),
            ("second", 2),
        ]
        assert {row["shelf"] for row in books} == {made["id"]}


async def test_a_search_looks_through_the_searchable_fields(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(), tmp_path, database=new_database()) as app:
        await book(app, "978-1", title="Red 100%", blurb="about ÄPFEL")
        await book(app, "978-2", title="blue_moon")
        await book(app, "978-3", title="Green", blurb="A RED thread", author="Bo")
        assert await titles(app, "search=red") == ["Green", "Red 100%"]
        assert await titles(app, "search=red&author=Bo") == ["Green"]
        assert await titles(app, "search=0%25") == ["Red 100%"]
        assert await titles(app, "search=e_m") == ["blue_moon"]
        # Letters beyond A to Z are as they are written, on both databases.
        assert await titles(app, "search=%C3%84pfel") == ["Red 100%"]
        assert await titles(app, "search=%C3%A4pfel") == []
        assert await titles(app, "search=") == ["Green", "Red 100%", "blue_moon"]
        long = await app.ask("GET", f"/books?search={'x' * 101}")
        assert (long.status, long["code"]) == (400, "APP012")
        other = await app.ask("GET", "/books?serch=x")
        assert "did you mean search?" in other.body.decode()


async def test_a_text_has_to_fit_its_pattern(tmp_path: Path, new_database: NewDatabase) -> None:
    async with served(checked(), tmp_path, database=new_database()) as app:
        asked = {"isbn": "x", "title": "T", "author": "A"}
        refused = await app.ask("POST", "/books", asked)
        assert (refused.status, refused["code"]) == (422, "APP020")
        assert "Book.isbn would break its rule: like ^[0-9]+-[0-9]+$" in refused.body.decode()
        made = await book(app, "978-1")
        path = f"/books/{made['id']}"
        refused = await app.ask("PATCH", path, {"isbn": "978"})
        assert (refused.status, refused["code"]) == (422, "APP020")
        assert (await app.ask("PATCH", path, {"isbn": "978-2"}))["isbn"] == "978-2"
        assert (await app.ask("PATCH", path, {"title": "new"}))["isbn"] == "978-2"
        refused = await app.ask("POST", "/codes", {"code": "Ab"})
        assert (refused.status, refused["code"]) == (422, "APP011")
        assert "code: must be like ^[A-Z]+$" in refused.body.decode()
        assert (await app.ask("POST", "/codes", {"code": "AB"})).status == 200


async def test_several_fields_are_unique_together(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(), tmp_path, database=new_database()) as app:
        await book(app, "978-1", title="A")
        await book(app, "978-2", title="A", author="Bo")
        body = {"isbn": "978-3", "title": "A", "author": "Bo"}
        refused = await app.ask("POST", "/books", body)
        assert (refused.status, refused["code"]) == (409, "APP017")
        assert "Book.author, title, edition is taken: Bo, A, 1" in refused.body.decode()


async def test_deleted_rows_are_out_of_sight_and_come_back(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(), tmp_path, database=new_database()) as app:
        shelf = (await app.ask("POST", "/shelves", {"name": "A"}))["id"]
        kept = await book(app, "978-1", shelf=shelf)
        gone = await book(app, "978-2", shelf=shelf)
        path = f"/books/{gone['id']}"
        assert (await app.ask("DELETE", path)).status == 204
        assert (await app.ask("GET", path)).status == 404
        assert (await app.ask("PATCH", path, {"edition": 3})).status == 404
        assert (await app.ask("DELETE", path)).status == 404
        assert await titles(app, "") == ["T978-1"]
        assert (await app.ask("GET", "/books?total=true"))["pagination"]["total"] == 1  # type: ignore[index]
        found = (await app.ask("GET", f"/shelves/{shelf}"))["books"]
        assert [each["id"] for each in found] == [kept["id"]]  # type: ignore[attr-defined]
        rows = await app.rows("SELECT count(*), count(deleted_at) FROM books")
        assert rows == [(2, 1)]
        counted = await app.ask("GET", "/admin/entities")
        assert {each["entity"]: each["rows"] for each in counted["data"]} == {"Shelf": 1, "Book": 1}  # type: ignore[attr-defined]

        # What is unique is so among the rows that are there.
        again = await book(app, "978-2", title="again")
        refused = await app.ask("POST", f"{path}/restore")
        assert (refused.status, refused["code"]) == (409, "APP017")
        assert (await app.ask("DELETE", f"/books/{again['id']}")).status == 204
        back = await app.ask("POST", f"{path}/restore")
        assert (back.status, back.json) == (200, {"living": 2, "here": 1, "of": 1}), back.body
        assert (await app.ask("GET", path)).json == gone


def test_soft_delete_is_added_and_taken_away_by_a_migration(
    new_place: NewPlace,
) -> None:
    before = checked(SOURCE.replace("  soft_delete\n", "").replace("restore Book", "delete Book"))
    place = new_place(before)
    after = aim(checked(), place.dialect)
    with place.unit() as unit:
        migrate.apply(unit.conn, aim(before, place.dialect), unit, [])
        row = {"isbn": "978-1", "title": "T", "author": "A"}
        Writer(place.program, "Book").insert()(unit, row)
    with place.unit() as unit:
        changes = migrate.planned(unit.conn, after, unit)
        assert {change.risk for change in changes} == {"safe"}
        migrate.apply(unit.conn, after, unit, changes)
        from backstay.lang.program import Binary, Column, Constant, ScalarType

        text, flag = ScalarType("string"), ScalarType("bool")
        every = Binary("==", Column("author", text), Constant("A", text), flag)
        assert Writer(after, "Book").delete(every)(unit, {}) == 1
        Writer(after, "Book").insert()(unit, row)
    assert place.all("SELECT count(*), count(deleted_at) FROM books") == [(2, 1)]
    with place.unit() as unit:
        changes = migrate.planned(unit.conn, aim(before, place.dialect), unit)
        assert [change.risk for change in changes if "would be there again" in change.says] == [
            "loss"
        ]
    with pytest.raises(Fault) as refused, place.unit() as unit:
        migrate.apply(unit.conn, aim(before, place.dialect), unit, changes)
    assert refused.value.entry.code == "APP029"  # two rows with one isbn would be there


HOURS = """
entity Hour {
  id: uuid, primary, auto
  opens: time, default("09:00")
  access { read: true, write: true }
}
endpoint POST /hours { auth: public, body { opens: time }, returns: Hour, status: 201 }
endpoint GET /hours {
  auth: public
  query { at: time, required }
  returns: paginated(Hour)
  where: opens <= query.at and opens != "12:30"
  filter: [opens]
  sort: [opens]
}
"""


async def test_a_time_of_day_is_compared_as_one(tmp_path: Path, new_database: NewDatabase) -> None:
    async with served(checked(HOURS), tmp_path, database=new_database()) as app:
        for given, kept in (
            (None, "09:00:00"),
            ("07:15", "07:15:00"),
            ("12:30:00", "12:30:00"),
            ("08:00:00.25", "08:00:00.250000"),
            ("23:59:59", "23:59:59"),
        ):
            made = await app.ask("POST", "/hours", {} if given is None else {"opens": given})
            assert (made.status, made["opens"]) == (201, kept), made.body
        found = await app.ask("GET", "/hours?at=13:00&sort=-opens")
        assert [row["opens"] for row in found["data"]] == [  # type: ignore[attr-defined]
            "09:00:00",
            "08:00:00.250000",
            "07:15:00",
        ]
        found = await app.ask("GET", "/hours?at=13:00&opens[gte]=08:30")
        assert [row["opens"] for row in found["data"]] == ["09:00:00"]  # type: ignore[attr-defined]
        for wrong in ("24:00", "9:00", "noon"):
            refused = await app.ask("POST", "/hours", {"opens": wrong})
            assert (refused.status, refused["code"]) == (422, "APP011")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("n: int, auto_update", "B.n: auto_update is for a timestamp"),
        ("n: int, searchable", "B.n: searchable is for a text"),
        ("n: list(int)\n index: [n]", "B.n: a list or a document has no index"),
        ("deleted_at: int\n soft_delete", "B.deleted_at: soft_delete keeps the time"),
    ],
)
def test_a_modifier_that_means_nothing_is_refused(field: str, says: str) -> None:
    program = checked(f"entity B {{ id: uuid, primary, auto\n {field} }}")
    with pytest.raises(Fault) as refused:
        Writer(program, "B")
    assert refused.value.message.startswith(says)


def test_indexes_are_made() -> None:
    (_, books) = relations(checked())
    made = [item.definition for item in books.of("index")]
    living = '"deleted_at" IS NULL'
    unique = 'CREATE UNIQUE INDEX "books_author_title_edition_unique" ON "books"'
    unique += ' ("author", "title", "edition")'
    assert made == [
        f'CREATE UNIQUE INDEX "books_isbn_unique" ON "books" ("isbn") WHERE {living}',
        f"{unique} WHERE {living}",
        'CREATE INDEX "books_made_index" ON "books" ("made")',
        'CREATE INDEX "books_author_index" ON "books" ("author")',
        'CREATE INDEX "books_shelf_index" ON "books" ("shelf")',
    ]


@pytest.mark.parametrize(
    "text",
    [
        "entity A { id: int, primary\n index: [] unique }",
        "database postgres { model A { id: int, primary\n index: [] } }",
        "database mongodb { collection A { id: int\n indexes { index: [] } } }",
    ],
)
def test_an_index_without_fields_is_a_mistake(text: str) -> None:
    """It was a stack trace when the program was to be served."""
    (mistake,) = check_text("a.cai", text)[1]
    assert (mistake.code, mistake.message) == ("LANG101", "an index needs fields")
