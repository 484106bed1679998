"""Who may do what, judged by a real server with a real secret."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apsw
import pytest
from tests.queue.support import Server, run_codeq, serving, until

from backstay.core.clock import SystemClock
from backstay.core.dev_issuer import make_dev_issuer
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

# Only this machine reaches it, but the server does not take it for an address of that kind.
HOST = "127.0.0.2"
KEY = "a secret of thirty-two bytes, or more"
EVERYTHING = (
    "codeq:produce",
    "codeq:claim",
    "codeq:heartbeat",
    "codeq:abandon",
    "codeq:nack",
    "codeq:result",
    "codeq:admin",
)
ROUTES: list[tuple[str, str, Any, str]] = [
    ("POST", "/tasks", {"command": "A", "payload": 1}, "codeq:produce"),
    ("POST", "/tasks/batch", {"tasks": [{"command": "A", "payload": 1}]}, "codeq:produce"),
    ("GET", "/tasks", None, "codeq:produce"),
    ("GET", "/tasks/x", None, "codeq:produce"),
    ("GET", "/tasks/x/result", None, "codeq:produce"),
    ("POST", "/tasks/x/cancel", {}, "codeq:produce"),
    ("GET", "/replies/app", None, "codeq:produce"),
    ("POST", "/replies/app/ack", {"taskIds": []}, "codeq:produce"),
    ("POST", "/tasks/claim", {"commands": ["NONE"]}, "codeq:claim"),
    ("POST", "/tasks/claim/batch", {"count": 1, "commands": ["NONE"]}, "codeq:claim"),
    ("POST", "/tasks/x/heartbeat", {}, "codeq:heartbeat"),
    ("POST", "/tasks/x/abandon", {}, "codeq:abandon"),
    ("POST", "/tasks/x/nack", {}, "codeq:nack"),
    ("POST", "/tasks/x/result", {"status": "FAILED", "error": "x"}, "codeq:result"),
    (
        "POST",
        "/tasks/batch/results",
        {"results": [{"taskId": "x", "status": "FAILED", "error": "x"}]},
        "codeq:result",
    ),
    ("GET", "/admin/queues", None, "codeq:admin"),
    ("GET", "/admin/queues/A", None, "codeq:admin"),
    ("POST", "/admin/tasks/cleanup", {"command": "NONE"}, "codeq:admin"),
]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("strict") / "data"
    with serving(data, env={"JWT_SECRET": KEY}) as server:
        yield server


def minted(scopes: Sequence[str], ttl: float = 600.0, **more: Any) -> dict[str, Any]:
    issuer = Issuer(Secret(more.pop("key", KEY)), "backstay", "backstay", SystemClock())
    token = issuer.mint(more.pop("sub", "tester"), scopes, ttl=ttl, **more)
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.seed("Q9")
@pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES)
def test_each_route_tells_bad_credentials_from_missing_permission(
    strict: Server, method: str, path: str, body: Any, scope: str
):
    for bad in (
        {"headers": {"Authorization": "Bearer junk"}},
        minted(EVERYTHING, ttl=-600),
        minted(EVERYTHING, key="another secret of thirty-two bytes"),
        {},
    ):
        assert strict.call(method, path, body, **bad).status == 401
    others = [held for held in EVERYTHING if held != scope]
    if path.startswith("/tasks") and method == "GET":
        others = ["codeq:heartbeat"]  # whoever produces, claims or looks after it may look
    if path.endswith("/cancel"):
        others = ["codeq:claim"]
    refused = strict.call(method, path, body, **minted(others))
    assert refused.status == 403
    assert scope in refused.json["error"]
    allowed = strict.call(method, path, body, **minted([scope]))
    assert allowed.status in (200, 202, 204, 404)


@pytest.mark.seed("Q9")
def test_the_command_line_shows_the_number(strict: Server, tmp_path: Any):
    home = {"CODEQ_CONFIG_DIR": str(tmp_path)}
    weak = minted(["codeq:heartbeat"])["headers"]["Authorization"].removeprefix("Bearer ")
    for token, number in (("junk", "401"), (weak, "403")):
        told = run_codeq(
            "--base-url", strict.base_url, "--producer-token", token, "task", "list", env=home
        )
        assert told.returncode == 3
        assert number in told.stderr


@pytest.mark.seed("Q33")
def test_an_expired_token_is_refused_and_a_fresh_one_works(strict: Server):
    assert strict.get("/tasks", **minted(["codeq:produce"], ttl=-600)).status == 401
    assert strict.get("/tasks", **minted(["codeq:produce"])).status == 200


@pytest.mark.seed("Q21")
def test_a_worker_needs_the_claim_scope_and_the_event_type(strict: Server):
    events = {"claims": {"eventTypes": ["MINE"]}, "kind": "worker"}
    body = {"commands": ["MINE"]}
    assert strict.post("/tasks/claim", body, **minted(["codeq:result"], **events)).status == 403
    able = minted(["codeq:claim"], **events)
    assert strict.post("/tasks/claim", body, **able).status == 204
    foreign = strict.post("/tasks/claim", {"commands": ["MINE", "OTHER"]}, **able)
    assert (foreign.status, foreign.json["code"]) == (403, "QUEUE008")
    assert "event type not allowed" in foreign.json["error"]


@pytest.mark.seed("Q37")
def test_a_token_of_three_scopes_and_two_events_can_do_just_that(strict: Server):
    events = ["GENERATE_MASTER", "GENERATE_CREATIVE"]
    worker = minted(
        ["codeq:claim", "codeq:heartbeat", "codeq:result"],
        kind="worker",
        claims={"eventTypes": events},
    )
    producer = minted(["codeq:produce"])
    for event in events:
        strict.post("/tasks", {"command": event, "payload": {}}, **producer)
    strict.post("/tasks", {"command": "OTHER", "payload": {}}, **producer)
    seen = []
    while (answer := strict.post("/tasks/claim", {}, **worker)).status == 200:
        task = answer.json
        seen.append(task["command"])
        lease = {"leaseToken": task["leaseToken"]}
        path = f"/tasks/{task['id']}"
        assert strict.post(f"{path}/heartbeat", lease, **worker).status == 200
        assert strict.post(f"{path}/nack", lease, **worker).status == 403
        assert strict.post(f"{path}/abandon", lease, **worker).status == 403
        result = {"status": "COMPLETED", "result": {}, **lease}
        assert strict.post(f"{path}/result", result, **worker).status == 200
    assert sorted(seen) == sorted(events)
    assert strict.post("/tasks/claim", {"commands": ["OTHER"]}, **worker).status == 403


def test_tenants_neither_see_nor_touch_each_other(strict: Server):
    acme = minted(EVERYTHING, tenant="acme")
    globex = minted(EVERYTHING, tenant="globex")
    body = {"command": "SHARED", "payload": {}, "idempotencyKey": "k"}
    made = strict.post("/tasks", body, **acme).json
    assert made["tenantId"] == "acme"
    assert strict.post("/tasks", body, **globex).json["id"] != made["id"]
    assert strict.get(f"/tasks/{made['id']}", **globex).status == 404
    assert strict.post(f"/tasks/{made['id']}/cancel", {}, **globex).status == 404
    listed = strict.get("/tasks?command=SHARED", **globex).json["data"]
    assert [task["tenantId"] for task in listed] == ["globex"]
    claimed = strict.post("/tasks/claim", {"commands": ["SHARED"]}, **globex).json
    assert claimed["tenantId"] == "globex"
    both = minted(EVERYTHING, claims={"tenants": ["*"]})
    assert strict.post("/tasks/claim", {"commands": ["SHARED"]}, **both).json["id"] == made["id"]


def test_on_loopback_health_and_metrics_need_no_token(strict: Server):
    assert strict.get("/healthz", prefix="").status == 200
    assert strict.get("/metrics", prefix="").status == 200


def test_weakness_22_where_others_reach_it_metrics_are_for_admins_unless_opened(
    tmp_path: Any,
):
    env = {"JWT_SECRET": KEY}
    with serving(tmp_path / "shut", env=env, host=HOST) as server:
        assert server.get("/healthz", prefix="").status == 200
        refused = server.get("/metrics", prefix="")
        assert (refused.status, refused.json["code"]) == (401, "AUTH005")
        assert server.get("/metrics", prefix="", **minted(["codeq:claim"])).status == 403
        shown = server.get("/metrics", prefix="", **minted(["codeq:admin"]))
        assert b"codeq_" in shown.body
    config = tmp_path / "config.yaml"
    config.write_text("metricsOpen: true\n")
    more = ("--config", str(config))
    with serving(tmp_path / "open", *more, env=env, host=HOST) as server:
        assert b"codeq_" in server.get("/metrics", prefix="").body


def test_a_tenants_admin_counts_the_waiting_claims_that_would_serve_that_tenant(strict: Server):
    acme, globex = (minted(EVERYTHING, tenant=name) for name in ("acme", "globex"))
    both = minted(EVERYTHING, claims={"tenants": ["*"]})

    def waiting(who: dict[str, Any]) -> int:
        return int(strict.get("/admin/queues/AWAITED", **who).json["waitingClaims"])

    wish = {"commands": ["AWAITED"], "waitSeconds": 30}
    with ThreadPoolExecutor(2) as workers:
        claims = [workers.submit(strict.post, "/tasks/claim", wish, **globex)]
        until(lambda: waiting(globex) == 1)
        assert (waiting(acme), waiting(both)) == (0, 1)
        claims.append(workers.submit(strict.post, "/tasks/claim", wish, **both))
        until(lambda: waiting(both) == 2)
        assert (waiting(acme), waiting(globex)) == (1, 2)
        for _ in claims:
            strict.post("/tasks", {"command": "AWAITED", "payload": 1}, **globex)
        assert [claim.result().status for claim in claims] == [200, 200]


def test_a_tenants_cleanup_deletes_its_own_and_leaves_the_repair_to_those_who_serve_all(
    tmp_path: Any,
):
    with serving(tmp_path / "data", env={"JWT_SECRET": KEY}) as server:
        acme, globex = (minted(EVERYTHING, tenant=name) for name in ("acme", "globex"))
        both = minted(EVERYTHING, claims={"tenants": ["*"]})
        for who in (acme, globex):
            made = server.post("/tasks", {"command": "A", "payload": 1}, **who).json
            server.post(f"/tasks/{made['id']}/cancel", {}, **who)
        server.stop()
        store = apsw.Connection(str(tmp_path / "data" / "queue.db"))
        store.execute("INSERT INTO payload VALUES (4711, '{}')")
        store.close()
        server.start()

        def cleaned(who: dict[str, Any]) -> tuple[int, int]:
            told = server.post("/admin/tasks/cleanup", {"command": "A"}, **who).json
            return told["deleted"], told["repaired"]

        assert cleaned(acme) == (1, 0)
        assert cleaned(both) == (1, 1), "what the other tenant ended, and the entry of no task"


def test_alone_on_loopback_the_development_issuer_counts(tmp_path: Any):
    secret = make_dev_issuer(_folder(tmp_path / "data"))
    with serving(tmp_path / "data") as server:
        token = Issuer(secret, "backstay", "backstay", SystemClock()).mint(
            "anna", ["codeq:produce"], tenant="acme"
        )
        auth = {"headers": {"Authorization": f"Bearer {token}"}}
        made = server.post("/tasks", {"command": "A", "payload": 1}, **auth)
        assert made.json["tenantId"] == "acme"
        assert server.post("/tasks/claim", {}, **auth).status == 403
        assert server.post("/tasks/claim", {}).json["id"] == made.json["id"]


def _folder(path: Any) -> Any:
    path.mkdir()
    return path


@pytest.mark.seed("Q9")
def test_every_route_of_the_document_wants_a_token_and_one_of_its_scopes(strict: Server):
    document = strict.get("/openapi.json", prefix="").json
    judged = 0
    for path, operations in document["paths"].items():
        probe = path.replace("{id}", "x").replace("{name}", "x").replace("{command}", "x")
        for method, operation in operations.items():
            if "security" not in operation:
                continue
            wanted = {scope for way in operation["security"] for scope in way["bearer"]}
            ask = {"method": method.upper(), "path": probe, "prefix": ""}
            assert strict.call(**ask).status == 401, ask
            junk = {"Authorization": "Bearer a.b.c"}
            assert strict.call(**ask, headers=junk).status == 401, ask
            others = [scope for scope in (*EVERYTHING, "codeq:subscribe") if scope not in wanted]
            refused = strict.call(**ask, **minted(others))
            assert refused.status == 403, ask
            assert any(scope in refused.json["error"] for scope in wanted)
            judged += 1
    assert judged > 40
