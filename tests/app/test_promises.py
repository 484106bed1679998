"""What an endpoint promises: the shape of its answer, and that a repeated write is one write."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.app.serving import ANONYMOUS, Answer, Served, served
from tests.app.support import NewDatabase

from backstay.lang.api import check_text
from backstay.lang.openapi import document

ENTITIES = """
entity Author { id: int, primary, name: string, required }
entity Paper {
  id: int, primary
  author: ref(Author)
  title: string, required
  state: enum(draft, out), default(draft)
  price: decimal(8, 2), default(1)
  note: string
}
"""
TEXT = (
    ENTITIES
    + """
endpoint GET /papers/{id} { path { id: int } returns: { id: int, title: string, price: decimal(8, 2) } }
endpoint GET /papers { returns: list({ id: int, state: string }) }
endpoint GET /summary/{id} {
  path { id: int }
  returns: { id: int, required, words: list({ word: string, required, at: int }), half: decimal(8, 2), note: string }
  do {
    let found = query "select title, price, note from Paper where id = @path.id"
    return { id: path.id, words: [w in split("a b", " "): { word: w, at: len(w) }], half: found[0].price / 2, note: found[0].note }
  }
}
endpoint POST /papers {
  body { id: int, required, title: string, required, note: string }
  returns: { id: int, state: enum(draft, out), title: string }
  status: 201
  do {
    let paper = create Paper { id: body.id, title: body.title, note: body.note }
    update Paper where id == paper.id { title: "{body.title}!" }
    return paper
  }
}
endpoint PUT /papers/{id} {
  path { id: int }
  body { title: string, required }
  returns: { id: int, note: string, required }
  do {
    update Paper where id == path.id { title: body.title } else fail 404 "none"
    let found = query "select note from Paper where id = @path.id"
    return { id: path.id, note: found[0].note }
  }
}
endpoint GET /words { returns: list(string) do { return ["a", "b"] } }
endpoint POST /authors {
  body { id: int, required, name: string, required }
  returns: Author
  idempotency: { required: true, header: "X-Order", keep: 2h }
  do { let author = create Author { id: body.id, name: body.name } return author }
}
endpoint POST /writers {
  body { id: int, required }
  idempotency: required
  do { create Author { id: body.id, name: "w" } }
}
"""
)


@pytest.fixture
async def app(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Served]:
    checked, found = check_text("papers.cai", TEXT)
    assert checked is not None, found
    async with served(checked, tmp_path, database=new_database()) as made:
        yield made


async def send(app: Served, method: str, path: str, body: object = None, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return await app.ask(method, path, body, who=ANONYMOUS, headers=sent)


async def test_a_shape_is_filled_from_the_row_of_the_path(app: Served) -> None:
    await send(app, "POST", "/papers", {"id": 1, "title": "one", "note": "n"})
    assert (await send(app, "GET", "/papers/1")).body == b'{"id":1,"title":"one!","price":"1.00"}'
    assert (await send(app, "GET", "/papers/1?fields=title")).json == {"title": "one!"}
    hidden = await send(app, "GET", "/papers/1?fields=note")
    assert (hidden.status, hidden["code"]) == (400, "APP012")
    assert (await send(app, "GET", "/papers")).json == [{"id": 1, "state": "draft"}]
    assert (await send(app, "GET", "/papers?fields=state")).json == [{"state": "draft"}]
    assert (await send(app, "GET", "/papers/2")).status == 404


async def test_what_do_returns_has_the_promised_shape(app: Served) -> None:
    made = await send(app, "POST", "/papers", {"id": 1, "title": "one"})
    assert made.status == 201
    assert made.json == {"id": 1, "title": "one!", "state": "draft"}
    told = await send(app, "GET", "/summary/1")
    assert told.json == {
        "id": 1,
        "words": [{"word": "a", "at": 1}, {"word": "b", "at": 1}],
        "half": "0.50",
        "note": None,
    }
    assert (await send(app, "GET", "/words")).json == ["a", "b"]


async def test_a_promise_that_is_not_kept_undoes_the_change(app: Served) -> None:
    await send(app, "POST", "/papers", {"id": 1, "title": "one"})
    broken = await send(app, "PUT", "/papers/1", {"title": "two"})
    assert (broken.status, broken["code"]) == (422, "APP068")
    assert "note is required and was null" in str(broken["detail"])
    assert (await send(app, "GET", "/papers/1"))["title"] == "one!"


async def test_a_write_may_want_a_key_in_a_header_of_its_own(app: Served) -> None:
    without = await send(app, "POST", "/authors", {"id": 1, "name": "a"}, idempotency_key="k")
    assert (without.status, without["code"]) == (400, "APP069")
    assert "x-order" in str(without["detail"])
    first = await send(app, "POST", "/authors", {"id": 1, "name": "a"}, x_order="k")
    again = await send(app, "POST", "/authors", {"id": 1, "name": "a"}, x_order="k")
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert again.headers["idempotency-replayed"] == "true"
    other = await send(app, "POST", "/authors", {"id": 2, "name": "b"}, x_order="k")
    assert (other.status, other["code"]) == (409, "APP024")
    assert await app.rows("SELECT count(*) FROM authors") == [(1,)]
    assert (await send(app, "POST", "/writers", {"id": 9})).status == 400
    assert (await send(app, "POST", "/writers", {"id": 9}, idempotency_key="k")).status == 204


async def an_hour_passes(app: Served) -> None:
    """For the kept answers."""
    text = "UPDATE backstay_idempotency SET created_at = created_at - 3600000000"
    await app.runtime.database.write(lambda conn: conn.execute(text))


async def test_a_kept_answer_counts_as_long_as_the_endpoint_says(app: Served) -> None:
    body = {"id": 1, "name": "a"}
    await send(app, "POST", "/authors", body, x_order="k")
    await an_hour_passes(app)
    assert (await send(app, "POST", "/authors", body, x_order="k")).status == 200
    await an_hour_passes(app)
    late = await send(app, "POST", "/authors", body, x_order="k")
    assert (late.status, late["code"]) == (409, "APP017")
    anew = await send(app, "POST", "/authors", {"id": 2, "name": "b"}, x_order="k")
    assert anew.status == 200


def test_the_document_says_what_is_promised() -> None:
    checked, _ = check_text("papers.cai", TEXT)
    assert checked is not None
    paths = document(checked)["paths"]
    assert isinstance(paths, dict)

    def told(method: str, path: str, status: str = "200") -> object:
        found = paths[f"/api/v1{path}"][method]  # type: ignore[index,call-overload]
        return found["responses"][status]["content"]["application/json"]["schema"]  # type: ignore[index,call-overload]

    assert told("post", "/papers", "201") == {
        "type": "object",
        "properties": {
            "id": {"type": ["integer", "null"], "format": "int64"},
            "state": {"anyOf": [{"type": "string", "enum": ["draft", "out"]}, {"type": "null"}]},
            "title": {"type": ["string", "null"]},
        },
        "additionalProperties": False,
    }
    assert told("get", "/words") == {"type": "array", "items": {"type": "string"}}
    assert told("post", "/authors") == {"$ref": "#/components/schemas/Author"}
    headers = [
        (each["name"], each["required"])
        for each in paths["/api/v1/authors"]["post"]["parameters"]  # type: ignore[index,call-overload]
    ]
    assert headers == [("x-order", True)]


@pytest.mark.parametrize(
    ("endpoint", "code", "says"),
    [
        ("GET /x { returns: { a: int } }", "LANG084", "where the values of returns come from"),
        ("GET /papers { returns: list({ nope: int }) }", "LANG033", "nope"),
        ("GET /papers { returns: list({ title: int }) }", "LANG050", "'title' of Paper"),
        ("GET /papers { returns: list({ id: int }) include: [author] }", "LANG084", "include"),
        ("GET /x { returns: { a: int } do { return { b: 1 } } }", "LANG033", "b"),
        ('GET /x { returns: { a: int } do { return { a: "t" } } }', "LANG050", "returned"),
        ("GET /x { returns: { a: int, required } do { return { } } }", "LANG050", "without a"),
        ('GET /x { returns: list({ a: int }) do { return [{ a: 1 }, { a: "b" }] } }', "LANG050", "returned"),
        ('GET /x { returns: { a: int } do { log_info("x") } }', "LANG084", "promises"),
        ("GET /x { returns: void do { return 1 } }", "LANG084", "void"),
        ("GET /x { returns: paginated(Paper) do { return 1 } }", "LANG084", "pages"),
        ('POST /x { returns: Author do { let p = create Paper { id: 1, title: "t" } return p } }', "LANG050", "Author"),
        ('POST /x { returns: { id: int } include: [author] do { let p = create Paper { id: 1, title: "t" } return p } }', "LANG084", "include"),
        ("GET /papers { returns: list(Paper) idempotency: required }", "LANG084", "only reads"),
        ("POST /x { do { } idempotency: maybe }", "LANG101", "maybe"),
        ("POST /x { do { } idempotency: 25h }", "LANG055", "24h"),
        ('POST /x { do { } idempotency: header("a b") }', "LANG101", "a b"),
        ('POST /x { do { } idempotency: header("Authorization") }', "LANG101", "authorization"),
        ("POST /x { do { } idempotency: { required: 1 } }", "LANG101", "true or false"),
    ],
)  # fmt: skip
def test_a_promise_that_could_not_be_kept_is_a_mistake(endpoint: str, code: str, says: str) -> None:
    _, found = check_text("a.cai", f"{ENTITIES}endpoint {endpoint}")
    mistakes = [each for each in found if each.severity == "error"]
    assert [each.code for each in mistakes] == [code]
    assert says in f"{mistakes[0].message} {mistakes[0].hint}"
