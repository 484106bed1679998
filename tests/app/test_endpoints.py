"""What an endpoint may declare: query parameters in a `where`, defaults, methods, answers."""

from decimal import Decimal
from pathlib import Path

import pytest
from tests.app import programs as p
from tests.app.serving import ANONYMOUS, BUYER, Served, served
from tests.app.support import NewDatabase

from backstay.lang.program import ListOf

TASK = p.Entity(
    "Task",
    "tasks",
    (
        p.key(),
        p.Field("title", p.STRING, required=True, minimum=Decimal(1)),
        p.Field("size", p.INT, default=p.Constant(1, p.INT)),
        p.Field("due", p.STAMP),
        p.Field("owner", p.STRING),
    ),
)
ID = (p.Field("id", p.UUID, required=True),)
PATH_ID = p.Get(p.Name("path", p.RecordType(ID)), "id", p.UUID)
QUERY = (
    p.Field("least", p.INT, default=p.Constant(2, p.INT), minimum=Decimal(0)),
    p.Field("days", p.DURATION),
)
LEAST = p.Get(p.Name("query", p.RecordType(QUERY)), "least", p.INT)
BODY = p.RecordType(
    (
        p.Field("title", p.STRING, required=True),
        p.Field("size", p.INT, default=p.Constant(7, p.INT)),
        p.Field(
            "due", p.STAMP, default=p.binary("+", p.NOW, p.Constant(60.0, p.DURATION), p.STAMP)
        ),
    )
)
USER_ID = p.Get(p.Name("user", p.USER), "id", p.STRING)


def body(field: str, kind: p.Type) -> p.Get:
    return p.Get(p.Name("body", BODY), field, kind)


MAKE = p.Create(
    "Task",
    (
        ("title", body("title", p.STRING)),
        ("size", body("size", p.INT)),
        ("due", body("due", p.STAMP)),
        ("owner", USER_ID),
    ),
    "task",
)
ROW = p.Name("task", p.RowType("Task"))
MISSING = p.Fail(p.text("no such task"), 404)
BY_ID = p.eq(p.Column("id", p.UUID), PATH_ID)
ENDPOINTS = (
    p.Endpoint(
        "GET",
        "/tasks",
        "optional",
        ListOf("Task", ("title",), ("size",), p.binary(">=", p.Column("size", p.INT), LEAST)),
        query_fields=QUERY,
    ),
    p.Endpoint("POST", "/tasks", "optional", p.Action((MAKE,), ROW), body=BODY, status=201),
    p.Endpoint(
        "PATCH",
        "/tasks/{id}",
        "public",
        p.Action(
            (
                p.Update(
                    "Task",
                    BY_ID,
                    (
                        (
                            "size",
                            p.binary("+", p.Column("size", p.INT), p.Constant(1, p.INT), p.INT),
                        ),
                    ),
                    MISSING,
                ),
            ),
            p.Record((("id", PATH_ID),), p.RecordType(ID)),
        ),
        path_fields=ID,
    ),
    p.Endpoint(
        "DELETE",
        "/tasks/{id}",
        "public",
        p.Action((p.Delete("Task", BY_ID),)),
        path_fields=ID,
    ),
)


@pytest.fixture
async def app(tmp_path: Path, new_database: NewDatabase):
    async with served(
        p.program(TASK, endpoints=ENDPOINTS), tmp_path, database=new_database()
    ) as made:
        yield made


async def test_a_list_is_narrowed_by_its_declared_parameter_and_its_default(app: Served) -> None:
    for size in (1, 2, 3):
        made = await app.ask("POST", "/tasks", {"title": f"t{size}", "size": size})
        assert made.status == 201

    async def titles(query: str) -> list[str]:
        found = (await app.ask("GET", f"/tasks{query}"))["data"]
        return [row["title"] for row in found]  # type: ignore[attr-defined]

    assert await titles("?sort=size") == ["t2", "t3"]
    assert await titles("?least=3") == ["t3"]
    assert await titles("?least=0&title=t1&days=24h") == ["t1"]
    bad = await app.ask("GET", "/tasks?least=-1&days=soon&colour=1")
    assert bad.status == 400
    assert {each["field"] for each in bad["values"]["errors"]} == {"least", "days", "colour"}  # type: ignore[index]


async def test_defaults_of_a_body_fill_what_was_not_sent_and_null_stays_null(app: Served) -> None:
    left_out = await app.ask("POST", "/tasks", {"title": "a"}, who=BUYER)
    assert (left_out["size"], left_out["owner"]) == (7, "bob")
    assert left_out["due"]
    null = await app.ask("POST", "/tasks", {"title": "b", "size": None, "due": None}, who=ANONYMOUS)
    assert (null["size"], null["due"], null["owner"]) == (None, None, "")


async def test_change_and_delete_answer_what_they_declare(app: Served) -> None:
    made = await app.ask("POST", "/tasks", {"title": "a"})
    path = f"/tasks/{made['id']}"
    changed = await app.ask("PATCH", path)
    assert (changed.status, changed.json) == (200, {"id": made["id"]})
    assert await app.rows("SELECT size FROM tasks") == [(8,)]
    gone = await app.ask("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert await app.rows("SELECT count(*) FROM tasks") == [(0,)]
    missing = await app.ask("PATCH", path)
    assert (missing.status, missing["error"]) == (404, "no such task")


async def test_a_repeated_delete_with_a_key_is_the_first_one(app: Served) -> None:
    made = await app.ask("POST", "/tasks", {"title": "a"})
    path, key = f"/tasks/{made['id']}", {"idempotency-key": "once"}
    assert (await app.ask("DELETE", path, headers=key)).status == 204
    again = await app.ask("DELETE", path, headers=key)
    assert (again.status, again.headers["idempotency-replayed"]) == (204, "true")
    unknown = await app.ask("DELETE", f"{path}?force=1")
    assert (unknown.status, unknown["code"]) == (400, "APP012")
