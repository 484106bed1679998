"""The served OpenAPI document is valid and true, whatever is sent; the page needs nobody else."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.app.standing import standing, standing_on
from tests.conformance.proofs.support import Serving
from tests.sending import send

EXAMPLES = 3
MANY = 100
TEXT = """
config { name: "everything" version: "1.2.3" }

entity Maker {
  id: uuid, primary, auto
  name: string, required, unique, min(1), max(40)
  things: list(Thing)
}

entity Thing {
  id: int, primary, auto
  name: string, required, max(20)
  maker: ref(Maker)
  state: enum(new, old), default(new)
  price: decimal(10, 2), min(0)
  weight: float
  made: timestamp, default(now())
  day: date
  ready: bool, default(false)
  takes: duration
  about: json
}

endpoint GET /makers { returns: list(Maker) include: [things] sort: [name] filter: [name] }
endpoint POST /makers {
  body { name: string, required, min(1), max(40) }
  validate { body.name != "nobody" else "somebody has to make it" }
  error 409: "there is one of that name"
  do { let maker = create Maker { name: body.name } return maker }
  status: 201
}
endpoint GET /makers/{id} { path { id: uuid } returns: Maker include: [things] }
endpoint PUT /makers/{id} {
  path { id: uuid }
  body { name: string, required, max(40) }
  do { update Maker where id == path.id { name: body.name } else fail 404 "no maker" return { id: path.id } }
}
endpoint DELETE /makers/{id} { path { id: uuid } do { delete Maker where id == path.id } }

endpoint GET /things {
  query { least: decimal(10, 2), default(0) }
  where: price >= query.least or price == null
  returns: paginated(Thing)
  filter: [name, state, price, weight, made, day, ready, maker, takes, about]
  sort: [name, price, made, weight, about]
  include: [maker]
}
endpoint POST /things {
  headers { x_desk: string, max(9), x_rank: int, default(1) }
  body {
    name: string, required, max(20)
    maker: ref(Maker)
    state: enum(new, old), default(new)
    price: decimal(10, 2)
    weight: float
    made: timestamp
    day: date
    ready: bool, default(false)
    takes: duration
    about: json
    tags: list(string), max(3)
    parts: list({ n: int, required, note: string })
  }
  do {
    let thing = create Thing {
      name: body.name, maker: body.maker, state: body.state, price: body.price, weight: body.weight,
      day: body.day, ready: body.ready, takes: body.takes, about: body.about
    }
    return thing
  }
  status: 201
}
endpoint GET /things/{id} { path { id: int } returns: Thing include: [maker] }
endpoint PATCH /things/{id} {
  path { id: int }
  body { price: decimal(10, 2), required }
  do { update Thing where id == path.id { price: body.price } else fail 404 "no thing" return { id: path.id } }
}
endpoint GET /things/{id}/brief { path { id: int } returns: { name: string, price: decimal(10, 2), maker: uuid } }
endpoint POST /things/{id}/copies {
  path { id: int }
  body { name: string, required, max(20) }
  idempotency: { required: true, header: "X-Order", keep: 1h }
  returns: { id: int, required, price: decimal(10, 2), maker: uuid, parts: list({ n: int }) }
  do {
    let found = query "select price, maker from Thing where id = @path.id"
    if len(found) == 0 { fail 404 "no thing" }
    let thing = create Thing { name: body.name, price: found[0].price, maker: found[0].maker }
    return { id: thing.id, price: thing.price, maker: thing.maker, parts: [{ n: 1 }] }
  }
}
@deprecated
endpoint PUT "/things/:id" { request Thing from body response Thing status 200 do { update(things, id) } }
endpoint GET "/old/things" { request Thing from query response Things do { rows = query(things) where "price > $price" with { limit: 5 } } }
endpoint GET /days/{day}/{at} { path { day: date, at: timestamp } query { long: duration, f: float } returns: list(Thing) where: day == path.day or made > path.at }
"""


@pytest.fixture(scope="module")
def server(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    with standing_on(kind, request, tmp_path_factory.mktemp("described"), TEXT) as serving:
        yield serving


@pytest.fixture(scope="module")
def document(server: Serving) -> Any:
    answer = server.ask("GET", "/openapi.json")
    assert answer.status == 200
    return answer.json


def test_the_document_is_valid_and_names_every_endpoint(server: Serving, document: Any) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["info"] == {"title": "everything", "version": "1.2.3"}
    named = {(method, path) for path, found in document["paths"].items() for method in found}
    assert len(named) == TEXT.count("endpoint ")
    assert server.ask("GET", "/api/v1/openapi.json").json == document
    put = document["paths"]["/api/v1/makers/{id}"]["put"]
    assert {each["name"] for each in put["parameters"]} == {"id", "idempotency-key", "if-match"}


def test_operations_whose_paths_differ_by_a_parameter_have_names_of_their_own(
    tmp_path: Path,
) -> None:
    text = """entity A { id: int, primary }
    endpoint GET /a/{id} { path { id: int } returns: A }
    endpoint GET /a/id { returns: list(A) }
    endpoint GET /{a}/id { path { a: string } returns: list(A) }
    endpoint GET /a-id { returns: list(A) }"""
    with standing(tmp_path, text) as app:
        found = app.ask("GET", "/openapi.json").json
    named = {path: each["get"]["operationId"] for path, each in found["paths"].items()}
    assert named == {
        "/api/v1/a/{id}": "get_a_id",
        "/api/v1/a/id": "get_a_id_2",
        "/api/v1/{a}/id": "get_by_a_id",
        "/api/v1/a-id": "get_a_id_3",
    }


def fits(document: Any, path: str, answer: object) -> list[str]:
    """What the document says of the answer to a GET of `path`, held against it."""
    told = document["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]
    schema = told["content"]["application/json"]["schema"]
    whole = Draft202012Validator(schema | {"components": document["components"]})
    return [each.message for each in whole.iter_errors(answer)]


def test_rows_and_chosen_members_and_rows_beside_them_are_what_the_document_says(
    server: Serving, document: Any
) -> None:
    made = server.ask("POST", "/api/v1/makers", {"name": "one"}).json
    thing = server.ask("POST", "/api/v1/things", {"name": "t", "maker": made["id"]}).json
    asked = [
        ("/makers/{id}", f"/makers/{made['id']}"),
        ("/makers/{id}", f"/makers/{made['id']}?fields=name"),
        ("/makers", "/makers?fields=id,things"),
        ("/things/{id}", f"/things/{thing['id']}"),
        ("/things", "/things?fields=maker,price"),
        ("/things", "/things"),
    ]
    for place, address in asked:
        answer = server.ask("GET", f"/api/v1{address}")
        assert answer.status == 200, address
        assert fits(document, place, answer.json) == [], address
    beside = server.ask("GET", f"/api/v1/things/{thing['id']}").json["maker"]
    assert beside["name"] == "one"
    assert fits(document, "/makers/{id}", {"name": 5}) != []
    whole = document["components"]["schemas"]["Maker.things"]
    assert whole["required"] == ["id", "name", "things"]


def test_the_page_needs_nothing_from_elsewhere_and_runs_no_script_but_its_own(
    server: Serving,
) -> None:
    page = server.ask("GET", "/docs")
    assert page.status == 200
    text = page.body.decode()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"https?:|//[a-z]|\bsrc=|innerHTML|<link", text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert server.ask("GET", "/api/v1/docs").body == page.body


def test_an_endpoint_of_the_program_stands_before_the_runtimes(tmp_path: Path) -> None:
    text = """entity A { id: int, primary }
    endpoint GET /docs { returns: list(A) }"""
    with standing(tmp_path, text) as app:
        assert app.ask("GET", "/api/v1/docs").json == []
        assert b"<html" in app.ask("GET", "/docs").body


def test_whatever_is_sent_no_answer_is_a_failure(server: Serving) -> None:
    send(f"http://127.0.0.1:{server.port}", (0, 1), EXAMPLES)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_whatever_else_is_sent_no_answer_is_a_failure(server: Serving, part: int) -> None:
    send(f"http://127.0.0.1:{server.port}", (part, 4), MANY)
