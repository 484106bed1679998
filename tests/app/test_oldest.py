"""Endpoints as the first version of the language wrote them, served for real."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.app.serving import ANONYMOUS, Answer, Served, served
from tests.app.support import NewDatabase

from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.trust import with_provider
from backstay.app.unsupported import problems
from backstay.core.context import Principal
from backstay.lang.api import check_text
from backstay.lang.openapi import document
from backstay.lang.program import Program, Rate

AUTH = 'config { auth: jwt { secret: env("JWT_SECRET") } }\n'
MODELS = """
database postgres {
  model User {
    description: "Somebody with an account"
    id: int, primary
    email: string, required, unique
    name: string, default("nobody")
    age: int
    index: [email] unique
  }
}
role admin { permissions ["users:*"] }
event user_created { schema { id int email string } }
"""
TEXT = (
    AUTH
    + MODELS
    + """
@auth("public")
endpoint POST "/users" {
  request User from body
  response User status 201
  do {
    validate(request)
    user = insert(users, request)
  }
}

@auth("none")
@deprecated
endpoint GET "/users/:id" {
  request UserId from path
  response User status 200
  do {
    validate(request)
    user = find(users, id) where "id = :id" with { limit: 1 }
  }
}

@auth("none")
@rate_limit("50")
endpoint GET "/users" {
  request User from query
  response UserList status 200
  do { rows = query(users) where "age > $age and email != request.email" with { limit: 10 } }
}

@auth("none")
endpoint PUT "/users/:id" {
  request User from body
  response User status 200
  do { user = update(users, id) where "id = request.id" }
}

@auth("jwt")
endpoint DELETE "/users/:id" {
  response Nothing status 204
  do {
    authorize(request, "users:delete")
    delete(users, id)
  }
}

@auth("none")
endpoint POST "/mails" {
  request User from body
  do {
    let made = create User { id: request.id, email: request.email }
    return { mail: made.email }
  }
}
"""
)


ADMIN = Principal("user", sub="a", roles=frozenset({"admin"}))
"""Tables without access rules of their own are administrators' alone where there is auth."""


def checked(text: str) -> Program:
    program, found = check_text("old.cai", text)
    assert program is not None, found
    return program


@pytest.fixture
async def app(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Served]:
    program = checked(TEXT)
    assert [str(each) for each in problems(program)] == []
    async with served(program, tmp_path, database=new_database()) as made:
        yield made


async def ask(
    app: Served, method: str, path: str, body: object = None, who: Principal = ADMIN
) -> Answer:
    return await app.ask(method, path, body, who=who)


async def test_the_steps_of_old_read_and_write_rows(app: Served) -> None:
    made = await ask(app, "POST", "/users", {"id": 1, "email": "a@b.c", "age": 30})
    assert (made.status, made.json) == (
        201,
        {"id": 1, "email": "a@b.c", "name": "nobody", "age": 30},
    )
    await ask(app, "POST", "/users", {"id": 2, "email": "d@e.f", "name": "Di", "age": 40})
    assert (await ask(app, "GET", "/users/1")).json == made.json
    assert (await ask(app, "GET", "/users/3")).status == 404
    older = await ask(app, "GET", "/users?age=35&email=x")
    assert [row["id"] for row in older.json] == [2]  # type: ignore[attr-defined]
    changed = await ask(app, "PUT", "/users/2", {"name": "Dina"})
    assert changed.json == {"id": 2, "email": "d@e.f", "name": "Dina", "age": 40}
    assert (await ask(app, "PUT", "/users/9", {"name": "Dina"})).status == 404
    assert (await ask(app, "POST", "/mails", {"id": 5, "email": "m"})).json == {"mail": "m"}


async def test_a_request_is_held_against_its_model(app: Served) -> None:
    bad = await ask(app, "POST", "/users", {"id": "one", "nme": "x"})
    assert (bad.status, bad["code"]) == (422, "APP011")
    listed = bad["values"]["errors"]  # type: ignore[index]
    assert [each["field"] for each in listed] == ["nme", "id", "email"]
    assert (await ask(app, "GET", "/users?age=old")).status == 400
    assert (await ask(app, "GET", "/users/one")).status == 400


async def test_who_may_is_asked_by_annotation_and_step(app: Served) -> None:
    await ask(app, "POST", "/users", {"id": 1, "email": "a@b.c"})
    nobody = await ask(app, "DELETE", "/users/1", who=ANONYMOUS)
    assert (nobody.status, nobody["code"]) == (401, "AUTH005")
    other = Principal("user", sub="o")
    refused = await ask(app, "DELETE", "/users/1", who=other)
    assert (refused.status, refused["detail"]) == (403, "the role users:delete is wanted")
    assert (await ask(app, "DELETE", "/users/1")).status == 204
    assert (await ask(app, "DELETE", "/users/1")).status == 404


def test_annotations_are_what_the_members_are_today() -> None:
    program = checked(TEXT)
    found = {(each.method, each.path): each for each in program.endpoints}
    assert found["GET", "/users"].rate_limit == Rate(50, 60.0)
    assert found["DELETE", "/users/{id}"].auth == "required"
    assert found["GET", "/users/{id}"].auth == "public"
    paths = document(program)["paths"]
    assert paths["/api/v1/users/{id}"]["get"]["deprecated"] is True  # type: ignore[index,call-overload]


def test_the_example_of_old_is_served_whole() -> None:
    file = Path(__file__).parents[2] / "examples" / "language" / "original-endpoints.cai"
    program = with_provider(checked(file.read_text(encoding="utf-8")))
    assert [str(each) for each in problems(program)] == []
    (plan,) = compile_endpoints(program)
    assert (plan.auth, plan.roles) == ("required", (("admin",),))


@pytest.mark.parametrize(
    ("endpoint", "construct"),
    [
        ('endpoint POST "/x" { request Order from body do { create User { id: 1, email: "e" } } }', "endpoint.request.type"),
        ('endpoint GET "/x" { request User from body do { rows = query(users) } }', "endpoint.request.type"),
        ('endpoint GET "/x" { response User status 404 do { rows = query(users) } }', "endpoint.response.status"),
        ('endpoint GET "/x" { request UserId from path response User status 200 }', "endpoint.alone"),
        ('@beta endpoint GET "/x" { do { rows = query(users) } }', "declaration.annotation"),
        ('@auth("none") endpoint GET "/x" { auth: public do { rows = query(users) } }', "declaration.annotation"),
        ('endpoint GET "/x" { do { rows = query(users) with { sort: "age" } } }', "statement.action"),
        ('endpoint GET "/x" { do { rows = query(users) where "age = $older" } }', "statement.action"),
        ('endpoint PUT "/x/:id" { request User from body do { update(users) where "age > 3" } }', "statement.action"),
        ('endpoint GET "/x" { do { cache.get(users) } }', "statement.action"),
        ('endpoint GET "/x" { do { x = transform(toJSON) } }', "statement.action"),
        ('endpoint GET "/x" { do { rows = query(orders) } }', "statement.action"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_today_is_refused_by_name(endpoint: str, construct: str) -> None:
    program = checked(AUTH + MODELS + endpoint)
    assert construct in [each.construct for each in problems(program)]
