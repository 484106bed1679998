"""Pages of other sites: which may ask, what they are told, and that nobody else is told anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.standing import standing
from tests.conformance.proofs.support import PATIENCE, Serving
from tests.e2e.stack import until

from backstay.app.cors import cors_of
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.program import Program

SHOP = "https://shop.example"
TEXT = """
config {
  name: "shop"
  version: "1.0.0"
  cors { origins: ["https://shop.example", "http://localhost:5173"], methods: ["GET", "POST"], max_age: 1h }
}
entity A { id: int, primary }
endpoint GET /a/{id} { path { id: int } returns: A }
endpoint POST /a { body { id: int, required } do { let a = create A { id: body.id } return a } }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with standing(tmp_path_factory.mktemp("cors"), TEXT) as serving:
        yield serving


def program(cors: str) -> Program:
    found, problems = check_text(
        "a.cai", f'config {{ name: "a" version: "1.0.0"\n cors {{ {cors} }} }}'
    )
    assert found is not None, problems
    return found


def test_a_browser_is_told_what_its_page_may_send(server: Serving) -> None:
    asked = {"Origin": SHOP, "Access_Control_Request_Method": "POST"}
    answer = server.ask("OPTIONS", "/api/v1/a", **asked)
    assert (answer.status, answer.body) == (204, b"")
    told = {name.lower(): value for name, value in answer.headers.items()}
    assert told["access-control-allow-origin"] == SHOP
    assert told["access-control-allow-methods"] == "GET, POST"
    assert "x-api-key" in told["access-control-allow-headers"]
    assert told["access-control-max-age"] == "3600"
    assert told["vary"] == "origin"
    assert "access-control-allow-credentials" not in told


def test_a_page_may_send_the_headers_that_an_endpoint_reads_also_after_a_change(
    tmp_path: Path,
) -> None:
    def allowed(app: Serving) -> str:
        asked = {"Origin": SHOP, "Access_Control_Request_Method": "POST"}
        answer = app.ask("OPTIONS", "/api/v1/a", **asked)
        return {name.lower(): value for name, value in answer.headers.items()}[
            "access-control-allow-headers"
        ]

    own = 'endpoint POST /b { idempotency: header("X-Order") do { create A { id: 2 } } }'
    with standing(tmp_path, TEXT + own, CODEAI_RELOAD="true") as app:
        assert "x-order" in allowed(app)
        assert "x-desk" not in allowed(app)
        more = "endpoint GET /b { headers { x_desk: string } returns: list(A) }"
        (tmp_path / "app.cai").write_text(TEXT + own + more)
        until(lambda: "x-desk" in allowed(app), PATIENCE, app.err.read_text)


def test_answers_and_refusals_alike_reach_the_page(server: Serving) -> None:
    made = server.ask("POST", "/api/v1/a", {"id": 1}, Origin=SHOP)
    assert made.status == 200, made.body
    missing = server.ask("GET", "/api/v1/a/9", Origin="http://localhost:5173")
    assert missing.status == 404
    for answer, origin in ((made, SHOP), (missing, "http://localhost:5173")):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "etag" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://shop.example.evil.example", "null", "http://shop.example"],
)
def test_other_sites_are_told_nothing_and_change_nothing(server: Serving, origin: str) -> None:
    refused = server.ask("POST", "/api/v1/a", {"id": 2}, Origin=origin)
    assert (refused.status, refused.json["code"]) == (403, "CORE014")
    asked = server.ask("OPTIONS", "/api/v1/a", Origin=origin, Access_Control_Request_Method="POST")
    assert asked.status == 405
    for answer in (refused, asked):
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
    assert server.ask("GET", "/api/v1/a/2").status == 404


def test_the_settings_name_origins_in_place_of_the_program(tmp_path: Path) -> None:
    with standing(tmp_path, TEXT, CORS_ORIGINS="https://other.example") as app:
        assert "access-control-allow-origin" not in app.ask("GET", "/health", Origin=SHOP).headers
        other = app.ask("GET", "/health", Origin="https://other.example")
        assert other.headers["access-control-allow-origin"] == "https://other.example"


@pytest.mark.parametrize(
    ("cors", "says"),
    [
        ('origins: ["*"], credentials: true', "credentials with any origin"),
        ('origins: ["shop.example"]', "is no origin"),
        ('origins: ["https://shop.example/"]', "is no origin"),
        ("origins: [1]", "no list of texts"),
        ('origins: ["*"], max_age: "soon"', "max_age is no time"),
        ('origins: ["*"], exposed: ["x"]', "'exposed' is nothing that it knows"),
    ],
)
def test_what_a_browser_would_not_take_is_refused_before_anything_is_served(
    cors: str, says: str
) -> None:
    with pytest.raises(Fault) as refused:
        cors_of(program(cors), ())
    assert refused.value.entry.code == "APP005"
    assert says in refused.value.message


def test_without_the_word_no_origin_is_allowed() -> None:
    assert cors_of(program('methods: ["GET"]'), ()) is None
