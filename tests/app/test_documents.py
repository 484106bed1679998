"""Models and collections of `database` blocks: tables of the same database, on a real server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.app.serving import served

from backstay.app.store.session import Database
from backstay.app.unsupported import problems
from backstay.lang.api import check_text

NewDatabase = Callable[[], Database]
SOURCE = """
config {
  database_type: "mongodb"
  mongodb_uri: "mongodb://nobody.invalid:27017"
  mongodb_database: "shop"
}
database mongodb {
  collection Product {
    description: "What is sold"
    _id: objectid, primary, auto
    sku: string, required, unique
    tags: array(string)
    sizes: array(embedded { label: string, required, count: int32 })
    maker: embedded {
      name: string, required
      address: embedded { city: string, zip: string }
    }
    weight: double
    state: string, default("new")
    listed: date, default(now())
    extra: mixed
    indexes {
      index: [sku, state] unique
      index: [listed]
    }
  }
}
endpoint POST /products {
  auth: public
  body {
    sku: string, required
    tags: list(string)
    sizes: list({ label: string, required, count: int })
    maker: { name: string, required, address: { city: string, zip: string } }
    extra: json
  }
  returns: Product
  status: 201
}
endpoint GET /products {
  auth: public
  returns: paginated(Product)
  filter: [sku, state]
}
endpoint PUT /products/{id} {
  auth: public
  path { id: uuid }
  body { city: string, required }
  do {
    update Product where _id == path.id { maker: { name: "M", address: { city: body.city } }, state: "old" }
      else fail 404 "gone"
    let found = query "select sku from Product where maker.address.city = @body.city and tags contains 'a'"
    return { found: map(found, row => row.sku) }
  }
}
"""
MADE = {
    "sku": "A-1",
    "tags": ["a", "b"],
    "sizes": [{"label": "S", "count": 2}, {"label": "M", "count": 0}],
    "maker": {"name": "Lu", "address": {"city": "Bonn", "zip": "53111"}},
    "extra": {"any": [1, None, {"thing": True}]},
}


async def test_documents_are_kept_whole_and_found(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    program, found = check_text("app.cai", SOURCE)
    assert program is not None, found
    assert [str(each) for each in problems(program)] == []
    with capture_logs() as said:
        async with served(program, tmp_path, database=new_database()):
            pass
    assert "collections are tables here, no MongoDB server is used" in [e["event"] for e in said]
    async with served(program, tmp_path, database=new_database()) as app:
        made = await app.ask("POST", "/products", MADE)
        assert made.status == 201, made.body
        row = made.json
        assert isinstance(row, dict)
        assert {name: row[name] for name in MADE} == MADE
        assert (row["state"], row["weight"]) == ("new", None)
        assert str(row["listed"]).endswith("Z")
        assert (await app.ask("GET", "/products?sku=A-1"))["data"] == [row]
        assert (await app.ask("POST", "/products", MADE))["code"] == "APP017"
        whole = {**MADE, "sku": "A-2", "maker": {"address": {"city": "Ulm"}}}
        assert (await app.ask("POST", "/products", whole))["code"] == "APP011"
        answer = await app.ask("PUT", f"/products/{row['_id']}", {"city": "Ulm"})
        assert (answer.status, answer.json) == (200, {"found": ["A-1"]}), answer.body
        (row,) = (await app.ask("GET", "/products?state=old"))["data"]  # type: ignore[misc]
        assert row["maker"] == {"name": "M", "address": {"city": "Ulm"}}


async def test_models_are_tables_like_those_of_entities(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    source = """
database postgres {
  model Author { id: integer, primary, auto
    name: string, required }
  model Book {
    isbn: string, primary
    author: ref(Author), required
    price: decimal(8, 2), default(9.5)
    kind: enum(novel, poem), default(poem)
    flags: jsonb
    index: [author, kind]
  }
}
endpoint POST /books { auth: public, body { isbn: string, required, author: ref(Author), required }, returns: Book, include: [author], status: 201 }
endpoint POST /authors { auth: public, body { name: string, required }, returns: Author, status: 201 }
"""
    program, found = check_text("app.cai", source)
    assert program is not None, found
    assert [str(each) for each in problems(program)] == []
    async with served(program, tmp_path, database=new_database()) as app:
        author = await app.ask("POST", "/authors", {"name": "Ann"})
        assert author.json == {"id": 1, "name": "Ann"}
        book = await app.ask("POST", "/books", {"isbn": "1", "author": 1})
        assert book.json == {
            "isbn": "1",
            "author": {"id": 1, "name": "Ann"},
            "price": "9.50",
            "kind": "poem",
            "flags": None,
        }


async def test_what_a_document_needs_inside_is_asked_for(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    source = """
database mongodb { collection C { inside: embedded { name: string, required, size: int } } }
endpoint POST /cs { auth: public, body { free: json }, do {
  let made = create C { inside: { name: body.free.name, size: body.free.size } }
  return made
} }
"""
    program, found = check_text("app.cai", source)
    assert program is not None, found
    async with served(program, tmp_path, database=new_database()) as app:
        made = await app.ask("POST", "/cs", {"free": {"name": "a", "size": 2}})
        assert made["inside"] == {"name": "a", "size": 2}
        for wrong, says in (({}, "name inside it is required"), ({"name": 3}, "a string")):
            refused = await app.ask("POST", "/cs", {"free": wrong})
            assert (refused.status, refused["code"]) == (422, "APP021"), refused.body
            assert says in refused.body.decode()


@pytest.mark.parametrize(
    ("member", "construct"),
    [
        ("index: [name] text", "index.kind"),
        ("index: [place] geospatial", "index.kind"),
        ("pattern: regex", "model.type"),
        ("cost: decimal", "model.type"),
        ("size: int, min(3)", "model.modifier"),
        ("inside: embedded { n: int, unique }", "model.modifier"),
        ('size: int, default("x")', "model.default"),
        ("a: int, primary\n b: int, primary", "model.key"),
    ],
)
def test_what_a_table_cannot_hold_is_refused_by_its_place(member: str, construct: str) -> None:
    text = f"database mongodb {{ collection C {{ name: string, place: object\n {member} }} }}"
    program, found = check_text("a.cai", text)
    assert program is not None, found
    (problem,) = problems(program)
    assert problem.construct == construct
    assert problem.place.line == (1 if construct == "model.key" else 2)


@pytest.mark.parametrize("name", ["Item", "Execution"])
def test_a_model_whose_name_is_taken_is_refused_by_its_place(name: str) -> None:
    text = f"entity Item {{ id: uuid, primary, auto }}\ndatabase postgres {{ model {name} {{ n: int }} }}"
    program, found = check_text("a.cai", text)
    assert program is not None, found
    assert [each.construct for each in problems(program)] == ["model.name"]
