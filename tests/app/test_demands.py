"""What an endpoint demands of a request, and what it says when the demand is not met."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.app.serving import ANONYMOUS, Answer, Served, served
from tests.app.support import NewDatabase

from backstay.app.plan.endpoints import compile_endpoints
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.program import Program

TEXT = """
config { name: "papers" version: "1.0.0" auth: jwt { secret: env("JWT_SECRET") } }

role editor { permissions: ["papers:*"] }
role reader { permissions: ["papers:read"] }

entity Paper {
  id: int, primary
  title: string, required
  words: int, default(0)
  access { read: title != "hidden" or user.has("papers:write"), write: true }
}

endpoint GET /papers { auth: public returns: list(Paper) query { least: int, default(0) }
  validate { query.least < 1000 else "nobody writes so much" }
}

endpoint POST /papers {
  auth: public
  headers { x_desk: string, required, max(5), x_rank: int, default(3) }
  body { id: int, required, title: string, required, words: int, default(10) }
  validate {
    body.words > 0 else "an empty paper"
    len(body.title) < 20
    headers.x_rank < 10 or body.words > 100 else "rank {headers.x_rank} needs more words"
    count(Paper where title == body.title) == 0 else "{body.title} is written already"
  }
  error 409: "taken"
  do {
    if body.title == "no" { fail "not that one" }
    let paper = create Paper { id: body.id, title: body.title, words: body.words }
    return paper
  }
  status: 201
}

endpoint GET /papers/{id} { path { id: int } auth: public returns: Paper error 404: "no such paper" }

endpoint PATCH /papers/{id} {
  path { id: int }
  auth: public
  body { words: int, required }
  do {
    update Paper where id == path.id { words: body.words } else fail 404 "gone"
    return { id: path.id }
  }
}

endpoint DELETE /papers/{id} {
  path { id: int }
  require_role "papers:write"
  do { delete Paper where id == path.id }
}

endpoint POST /papers/{id}/print { path { id: int } auth: public do { update Paper where id == path.id { words: 0 } } }
"""
EDITOR = Principal("user", sub="ed", roles=frozenset({"editor"}))
READER = Principal("user", sub="rea", roles=frozenset({"reader"}))


def program(text: str = TEXT) -> Program:
    checked, found = check_text("papers.cai", text)
    assert checked is not None, found
    return checked


@pytest.fixture
async def desk(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Served]:
    async with served(program(), tmp_path, database=new_database()) as app:
        yield app


def mistakes(answer: Answer) -> list[tuple[str, str]]:
    listed = answer["values"]["errors"]  # type: ignore[index]
    return [(each["field"], each["message"]) for each in listed]


async def write(desk: Served, key: int, title: str, words: int = 10, **headers: str) -> Answer:
    body = {"id": key, "title": title, "words": words}
    sent = {"x-desk": "news"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return await desk.ask("POST", "/papers", body, who=ANONYMOUS, headers=sent)


async def test_every_check_that_does_not_hold_is_named_at_once_and_nothing_is_stored(
    desk: Served,
) -> None:
    answer = await write(desk, 1, "a title of more than twenty", 0, x_rank="12")
    assert answer.status == 422
    assert answer["code"] == "APP011"
    assert mistakes(answer) == [
        ("words", "an empty paper"),
        ("title", "breaks a rule of this endpoint"),
        ("x_rank", "rank 12 needs more words"),
    ]
    assert await desk.rows("SELECT count(*) FROM papers") == [(0,)]
    assert (await write(desk, 1, "fine", 200, x_rank="12")).status == 201
    again = await write(desk, 2, "fine")
    assert mistakes(again) == [("title", "fine is written already")]


async def test_a_list_may_demand_as_well(desk: Served) -> None:
    answer = await desk.ask("GET", "/papers?least=1000", who=ANONYMOUS)
    assert answer.status == 422
    assert mistakes(answer) == [("least", "nobody writes so much")]


async def test_headers_are_typed_and_wanted(desk: Served) -> None:
    body = {"id": 1, "title": "t"}
    without = await desk.ask("POST", "/papers", body, who=ANONYMOUS)
    assert without.status == 400
    assert mistakes(without) == [("x_desk", "is required")]
    bad = await write(desk, 1, "t", x_desk="sports", x_rank="high")
    assert mistakes(bad) == [
        ("x_desk", "must be at most 5 characters"),
        ("x_rank", 'expected a whole number, got "high"'),
    ]


async def test_body_query_path_and_headers_are_judged_together(desk: Served) -> None:
    answer = await desk.ask(
        "POST", "/papers?draft=1", {"id": "one"}, who=ANONYMOUS, headers={"x-rank": "high"}
    )
    assert (answer.status, answer["code"]) == (422, "APP011")
    assert [field for field, _ in mistakes(answer)] == ["id", "title", "draft", "x_desk", "x_rank"]
    said = str(answer["detail"])
    assert all(part in said for part in ("the body is not valid", "the query is", "the header is"))
    path = await desk.ask("PATCH", "/papers/one?loud=1", {}, who=ANONYMOUS)
    assert [field for field, _ in mistakes(path)] == ["words", "loud", "id"]
    # A body that cannot be read at all is told alone.
    torn = await desk.ask("PATCH", "/papers/one", raw=b"{", who=ANONYMOUS)
    assert (torn.status, torn["code"]) == (400, "APP010")


async def test_a_refusal_is_said_in_the_endpoints_own_words_and_keeps_its_code(
    desk: Served,
) -> None:
    missing = await desk.ask("GET", "/papers/7", who=ANONYMOUS)
    assert (missing.status, missing["code"]) == (404, "APP013")
    assert missing["detail"] == missing["error"] == "no such paper"
    await write(desk, 1, "one")
    taken = await write(desk, 1, "two")
    assert (taken.status, taken["code"], taken["detail"]) == (409, "APP017", "taken")
    declined = await write(desk, 3, "no")
    assert (declined.status, declined["detail"]) == (409, "not that one")


def test_words_that_need_a_request_are_refused_before_one_comes() -> None:
    text = TEXT.replace('error 404: "no such paper"', 'error 404: "no paper {path.id}"')
    with pytest.raises(Fault) as refused:
        compile_endpoints(program(text))
    assert refused.value.entry.code == "APP005"
    assert "error 404 of GET /papers/{id}" in refused.value.message


async def test_roles_grant_what_they_declare_and_no_more(desk: Served) -> None:
    await write(desk, 1, "hidden")
    assert (await desk.ask("GET", "/papers", who=ANONYMOUS)).json == []
    assert (await desk.ask("GET", "/papers", who=READER)).json == []
    assert len((await desk.ask("GET", "/papers", who=EDITOR)).json) == 1  # type: ignore[arg-type]
    refused = await desk.ask("DELETE", "/papers/1", who=READER)
    assert (refused.status, refused["code"]) == (403, "APP015")
    nobody = await desk.ask("DELETE", "/papers/1", who=ANONYMOUS)
    assert (nobody.status, nobody["code"]) == (401, "AUTH005")
    # Permissions of the program open nothing of the runtime's.
    root = Principal("user", sub="r", roles=frozenset({"editor", "admin"}))
    assert (await desk.ask("GET", "/admin/entities", who=root)).status == 403
    assert (await desk.ask("DELETE", "/papers/1", who=EDITOR)).status == 204


async def test_what_a_client_saw_is_changed_only_while_it_is_so(desk: Served) -> None:
    await write(desk, 1, "one")
    seen = await desk.ask("GET", "/papers/1", who=ANONYMOUS)
    tag = seen.headers["etag"]

    async def patch(words: int, match: str) -> Answer:
        headers = {"if-match": match}
        return await desk.ask("PATCH", "/papers/1", {"words": words}, who=READER, headers=headers)

    assert (await patch(20, tag)).status == 200
    late = await patch(30, tag)
    assert (late.status, late["code"]) == (412, "APP060")
    now = await desk.ask("GET", "/papers/1", who=ANONYMOUS)
    assert now["words"] == 20
    assert str(now.headers["etag"]) in str(late["detail"])
    assert (await patch(40, f'"other", {now.headers["etag"]}')).status == 200
    assert (await patch(50, "*")).status == 200
    assert (await patch(50, f"W/{now.headers['etag']}")).status == 412
    gone = await desk.ask("DELETE", "/papers/9", who=EDITOR, headers={"if-match": "*"})
    assert (gone.status, gone["code"]) == (412, "APP060")
    blind = await desk.ask("POST", "/papers/1/print", who=READER, headers={"if-match": "*"})
    assert (blind.status, blind["code"]) == (412, "APP060")


async def test_two_who_saw_the_same_do_not_overwrite_each_other(desk: Served) -> None:
    await write(desk, 1, "one")
    tag = (await desk.ask("GET", "/papers/1", who=ANONYMOUS)).headers["etag"]
    answers = await asyncio.gather(
        *(
            desk.ask(
                "PATCH", "/papers/1", {"words": 100 + each}, who=READER, headers={"if-match": tag}
            )
            for each in range(8)
        )
    )
    assert sorted(each.status for each in answers) == [200] + [412] * 7


async def test_a_client_that_has_the_answer_is_told_so_without_a_body(desk: Served) -> None:
    await write(desk, 1, "one")
    seen = await desk.ask("GET", "/papers", who=ANONYMOUS)
    headers = {"if-none-match": f"W/{seen.headers['etag']}"}
    again = await desk.ask("GET", "/papers", who=ANONYMOUS, headers=headers)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == seen.headers["etag"]
    await write(desk, 2, "two")
    more = await desk.ask("GET", "/papers", who=ANONYMOUS, headers=headers)
    assert more.status == 200


async def test_uploads_are_refused_by_name(desk: Served) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x", "x-desk": "news"}
    answer = await desk.ask("POST", "/papers", raw=b"--x--", who=ANONYMOUS, headers=headers)
    assert (answer.status, answer["code"]) == (415, "APP061")
    assert "multipart/form-data" in str(answer["detail"])


MIDDLEWARE = """
config { name: "m" version: "1.0.0" auth: jwt { secret: env("JWT_SECRET") } }
entity A {
  id: int, primary
  access { read: true }
}
middleware known { type authentication config { provider: main } }
middleware guess { type authentication config { provider: main, required: false } }
middleware clerks { type authorization config { role: clerk } }
middleware said { type logging }
auth main { method: jwt, jwks_url: "https://issuer.example/keys" }
role clerk { permissions: ["a:b"] }
role chief { permissions: ["c:d"] }
endpoint GET /known { auth: public middleware known middleware said returns: list(A) }
endpoint GET /guess { auth: public middleware guess returns: list(A) }
endpoint GET /clerks { auth: required roles: [chief, boss] middleware clerks returns: list(A) }
"""


async def test_middleware_is_what_an_endpoint_demands(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    clerk, both = (
        Principal("user", sub="c", roles=frozenset(roles))
        for roles in (("clerk",), ("clerk", "boss"))
    )
    async with served(program(MIDDLEWARE), tmp_path, database=new_database()) as app:
        asked = {
            (path, who.sub): (await app.ask("GET", path, who=who)).status
            for path in ("/known", "/guess", "/clerks")
            for who in (ANONYMOUS, clerk)
        }
        assert asked == {
            ("/known", ""): 401,
            ("/known", "c"): 200,
            ("/guess", ""): 200,
            ("/guess", "c"): 200,
            ("/clerks", ""): 401,
            ("/clerks", "c"): 403,
        }
        assert (await app.ask("GET", "/clerks", who=both)).status == 200


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("type compression", "the type compression is not supported in this version"),
        ("type logging config { level: debug }", "level would be ignored"),
        ("type authorization", "it names no role"),
        ("type rate_limiting config { requests: 0, window: 1m }", "requests is no whole number"),
        ('type rate_limiting config { requests: 1, window: "soon" }', "window is no time"),
        (
            "type rate_limiting config { requests: 1, window: 1m, strategy: sliding_window }",
            "the strategy sliding_window is not supported",
        ),
    ],
)
def test_middleware_that_would_be_ignored_is_refused(written: str, says: str) -> None:
    text = MIDDLEWARE.replace("type logging", written)
    with pytest.raises(Fault) as refused:
        compile_endpoints(program(text))
    assert refused.value.entry.code == "APP005"
    assert says in refused.value.message
