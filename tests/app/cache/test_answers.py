"""Endpoints with a cache: kept answers are right for who asks, and gone when a row is written.

`codeai server` as a process of its own on both databases, with the cache in memory and in a Redis
that is killed, hangs and comes back.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, SECRET, Serving
from tests.e2e.stack import Answer, until
from tests.servers.require import absent
from tests.servers.valkey import RedisServer, system_binary

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
SHOP = Path(__file__).with_name("shop.cai")


def serve(folder: Path, **env: str) -> Serving:
    serving = Serving(folder, str(BIN / "codeai"), "server", str(SHOP))
    return serving.start(JWT_SECRET=SECRET, **env)


def bearer(name: str, *scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {ISSUER.mint(name, list(scopes))}"}


def make(shop: Serving, name: str) -> str:
    answer = shop.ask("POST", "/api/v1/items", {"name": name})
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def items(shop: Serving, query: str = "", **headers: str) -> Answer:
    answer = shop.ask("GET", f"/api/v1/items{query}", **headers)
    assert answer.status == 200, answer.body
    return answer


def names(answer: Answer) -> set[str]:
    return {row["name"] for row in answer.json["data"]}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    binary = system_binary()
    if binary is None:
        absent("redis-server", "Debian: sudo apt-get install redis-server")
    server = RedisServer(binary, tmp_path / "redis")
    yield server
    server.running.process.send_signal(signal.SIGCONT)
    server.stop()


@pytest.fixture(params=["memory", "redis", "postgres+redis"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serving]:
    env: dict[str, str] = {}
    if "redis" in request.param:
        env["REDIS_URL"] = f"redis://{request.getfixturevalue('redis').address}/0"
    if "postgres" in request.param:
        env["DATABASE_URL"] = request.getfixturevalue("new_url")()
    serving = serve(tmp_path / "c", **env)
    yield serving
    serving.close()


def test_an_answer_is_kept_until_a_row_behind_it_is_written(shop: Serving) -> None:
    first = make(shop, "tent")
    assert items(shop).headers["x-cache"] == "miss"
    kept = items(shop)
    assert (kept.headers["x-cache"], names(kept)) == ("hit", {"tent"})

    make(shop, "rope")
    assert names(items(shop)) == {"tent", "rope"}
    assert items(shop).headers["x-cache"] == "hit"
    shop.ask("PUT", f"/api/v1/items/{first}", {"name": "tarp"})
    assert names(items(shop)) == {"tarp", "rope"}
    assert shop.ask("GET", f"/api/v1/items/{first}").json["name"] == "tarp"
    assert shop.metric("cache_requests_total", path="/api/v1/items", result="hit") == 2


def test_a_workflow_that_writes_a_row_spoils_the_answer(shop: Serving) -> None:
    item = make(shop, "tent")
    assert names(items(shop)) == {"tent"}
    assert items(shop).headers["x-cache"] == "hit"
    assert shop.ask("POST", "/api/v1/renamings", {"item": item, "name": "tarp"}).status == 202
    until(lambda: names(items(shop)) == {"tarp"}, PATIENCE, lambda: str(items(shop).json))


def test_each_query_is_an_answer_of_its_own(shop: Serving) -> None:
    make(shop, "tent")
    make(shop, "rope")
    assert names(items(shop, "?name=tent")) == {"tent"}
    assert names(items(shop, "?name=rope")) == {"rope"}
    again = items(shop, "?name=tent")
    assert (again.headers["x-cache"], names(again)) == ("hit", {"tent"})
    assert [row["name"] for row in items(shop, "?sort=name").json["data"]] == ["rope", "tent"]
    assert [row["name"] for row in items(shop, "?sort=-name").json["data"]] == ["tent", "rope"]


def test_nobody_is_shown_what_was_kept_for_another(shop: Serving) -> None:
    item = make(shop, "tent")
    ada, bob, chief = bearer("ada"), bearer("bob"), bearer("chief", "admin")
    order = shop.ask("POST", "/api/v1/orders", {"item": item}, **ada).json["id"]

    def owners(**headers: str) -> list[str]:
        answer = shop.ask("GET", "/api/v1/orders", **headers)
        return [row["owner"] for row in answer.json["data"]]

    for _ in range(2):
        assert owners(**ada) == ["ada"]
        assert owners(**bob) == []
        assert owners(**chief) == ["ada"]
        assert shop.ask("GET", "/api/v1/orders").status == 401
        assert shop.ask("GET", f"/api/v1/orders/{order}", **ada).status == 200
        assert shop.ask("GET", f"/api/v1/orders/{order}", **bob).status == 404
    # Another token of the same person is the same reader.
    assert shop.ask("GET", "/api/v1/orders", **bearer("ada")).headers["x-cache"] == "hit"
    # A row that is included belongs to the answer.
    shop.ask("PUT", f"/api/v1/items/{item}", {"name": "tarp"})
    shown = shop.ask("GET", f"/api/v1/orders/{order}", **ada).json
    assert shown["item"]["name"] == "tarp"


def test_what_reads_no_user_is_shared_by_those_of_the_same_roles(shop: Serving) -> None:
    make(shop, "tent")
    assert items(shop, **bearer("ada")).headers["x-cache"] == "miss"
    assert items(shop, **bearer("bob")).headers["x-cache"] == "hit"
    assert items(shop, **bearer("chief", "admin")).headers["x-cache"] == "miss"


def cache_check(shop: Serving) -> dict[str, object]:
    found: dict[str, object] = shop.ask("GET", "/health").json["checks"]["cache"]
    return found


def becomes(shop: Serving, status: str) -> None:
    until(lambda: cache_check(shop)["status"] == status, PATIENCE, lambda: str(cache_check(shop)))


@pytest.mark.seed("C15")
@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_a_redis_that_is_lost_costs_time_and_never_an_answer(
    tmp_path: Path, redis: RedisServer, fault: str
) -> None:
    shop = serve(tmp_path / "c", REDIS_URL=f"redis://{redis.address}/0")
    try:
        item = make(shop, "tent")
        assert names(items(shop)) == {"tent"}
        assert items(shop).headers["x-cache"] == "hit"
        becomes(shop, "healthy")

        if fault == "killed":
            redis.kill()
        else:
            redis.running.process.send_signal(signal.SIGSTOP)
        # Right from the first request on, and a write that Redis cannot hear of counts as well.
        assert names(items(shop)) == {"tent"}
        shop.ask("PUT", f"/api/v1/items/{item}", {"name": "tarp"})
        for _ in range(3):
            answer = items(shop)
            assert (answer.headers["x-cache"], names(answer)) == ("miss", {"tarp"})
        becomes(shop, "unhealthy")
        health = shop.ask("GET", "/health")
        assert (health.status, health.json["status"]) == (200, "degraded")
        assert shop.metric("cache_requests_total", result="away") >= 3
        assert [line for line in shop.lines() if line["msg"] == "cache ping failed"]

        if fault == "killed":
            redis.restart()  # with all that it had: its file was synced at every write
        else:
            redis.running.process.send_signal(signal.SIGCONT)
        becomes(shop, "healthy")
        # What it kept from before was made worthless before it was asked again.
        until(lambda: items(shop).headers["x-cache"] == "hit", PATIENCE, lambda: "never kept")
        assert names(items(shop)) == {"tarp"}
    finally:
        shop.close()


@pytest.mark.seed("C15")
def test_a_server_starts_without_its_redis_and_finds_it_later(
    tmp_path: Path, redis: RedisServer
) -> None:
    redis.kill()
    shop = serve(tmp_path / "c", REDIS_URL=f"redis://{redis.address}/0")
    try:
        make(shop, "tent")
        assert names(items(shop)) == {"tent"}
        becomes(shop, "unhealthy")
        redis.restart()
        becomes(shop, "healthy")
        until(lambda: items(shop).headers["x-cache"] == "hit", PATIENCE, lambda: "never kept")
    finally:
        shop.close()


def test_a_write_of_a_process_that_died_is_known_after_its_start(
    tmp_path: Path, redis: RedisServer
) -> None:
    """A commit that Redis never heard of: the next start spoils everything first."""
    url = f"redis://{redis.address}/0"
    shop = serve(tmp_path / "c", REDIS_URL=url)
    try:
        item = make(shop, "tent")
        items(shop)
        assert items(shop).headers["x-cache"] == "hit"
        redis.running.process.send_signal(signal.SIGSTOP)
        shop.ask("PUT", f"/api/v1/items/{item}", {"name": "tarp"})
        shop.close()
        redis.running.process.send_signal(signal.SIGCONT)
        shop.start(JWT_SECRET=SECRET, REDIS_URL=url)
        assert names(items(shop)) == {"tarp"}
    finally:
        shop.close()


def test_two_replicas_hear_of_each_others_writes(
    tmp_path: Path, redis: RedisServer, new_url: object
) -> None:
    assert callable(new_url)
    env = {"REDIS_URL": f"redis://{redis.address}/0", "DATABASE_URL": new_url()}
    one, two = serve(tmp_path / "1", **env), serve(tmp_path / "2", **env)
    try:
        make(one, "tent")
        assert names(items(two)) == {"tent"}
        assert items(one).headers["x-cache"] == "hit"
        make(two, "rope")
        assert names(items(one)) == {"tent", "rope"}
    finally:
        one.close()
        two.close()


def test_an_address_that_is_no_redis_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"APP070.*REDIS_URL"):
        serve(tmp_path / "c", REDIS_URL="postgres://somewhere")
