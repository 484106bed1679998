"""The slow-query log: what took long, how often, and how the database does it, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, SECRET, Serving

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

SHOP = Path(__file__).parents[1] / "cache" / "shop.cai"
ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
ADMIN = {"Authorization": f"Bearer {ISSUER.mint('ops', ['admin'])}"}


@pytest.fixture
def start(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    started: list[Serving] = []

    def made(threshold: str) -> Serving:
        env = {"JWT_SECRET": SECRET, "SLOW_QUERY": threshold}
        if kind == "postgres":
            env["DATABASE_URL"] = request.getfixturevalue("new_url")()
        serving = Serving(tmp_path / "c", str(BIN / "codeai"), "server", str(SHOP))
        started.append(serving)
        return serving.start(**env)

    yield made
    for each in started:
        each.close()


def test_a_slow_statement_is_logged_counted_and_its_plan_shown(start: object, kind: str) -> None:
    assert callable(start)
    shop: Serving = start("1us")  # so that each statement is slow
    shop.ask("POST", "/api/v1/items", {"name": "a secret value"})
    for _ in range(3):
        assert shop.ask("GET", "/api/v1/items?name=a+secret+value&limit=7").status == 200
        shop.ask("POST", "/api/v1/items", {"name": "more"})
    found = shop.ask("GET", "/api/v1/admin/slow-queries", **ADMIN).json
    (listed,) = [each for each in found["data"] if '"name" = ?' in each["sql"]]
    assert listed["count"] == 3
    assert listed["slowest"] >= listed["mean"] > 0
    plan = shop.ask("GET", f"/api/v1/admin/slow-queries/{listed['id']}/plan", **ADMIN).json["plan"]
    assert any(("Scan" if kind == "postgres" else "SCAN") in line for line in plan), plan
    (line, *_) = [each for each in shop.lines() if each["msg"] == "slow query"]
    assert line["duration"] >= 0
    # Values are people's: they stand in no line and no answer.
    assert "secret value" not in shop.out.read_text().replace("a+secret+value", "")
    assert "secret value" not in str(found)


def test_only_admins_see_them_and_an_unknown_id_is_a_404(start: object) -> None:
    assert callable(start)
    shop: Serving = start("500ms")
    assert shop.ask("GET", "/api/v1/admin/slow-queries").status == 401
    user = {"Authorization": f"Bearer {ISSUER.mint('ada')}"}
    assert shop.ask("GET", "/api/v1/admin/slow-queries", **user).status == 403
    answer = shop.ask("GET", "/api/v1/admin/slow-queries/q99/plan", **ADMIN)
    assert (answer.status, answer.json["code"]) == (404, "APP071")


def test_statements_of_an_idle_app_are_quick(start: object) -> None:
    assert callable(start)
    shop: Serving = start("5s")
    shop.ask("POST", "/api/v1/items", {"name": "tent"})
    assert shop.ask("GET", "/api/v1/admin/slow-queries", **ADMIN).json["data"] == []
