"""Pause and bounds over HTTP, on a real server: who may, what is shown, and that they hold."""

import pytest
from tests.queue.support import Server, serving, until
from tests.queue.test_auth import KEY, minted


def policy(server: Server, command: str, **fields: object):
    return server.call("PUT", f"/admin/queues/{command}/policy", fields)


def depth(server: Server, command: str) -> dict:
    return server.get(f"/admin/queues/{command}").json


def test_a_paused_queue_takes_tasks_and_gives_none_until_it_is_resumed(
    server: Server, command: str
):
    server.post(f"/admin/queues/{command}/pause")
    assert depth(server, command)["paused"], "also while nothing is in it"
    server.post(f"/admin/queues/{command}/resume")
    before = server.create(command)
    assert server.claim(command)["id"] == before["id"]
    paused = server.post(f"/admin/queues/{command}/pause")
    assert (paused.status, paused.json["paused"]) == (200, True)
    made = server.create(command)
    assert server.claim(command) is None
    assert (depth(server, command)["paused"], depth(server, command)["ready"]) == (True, 1)
    # What was leased before goes on.
    assert server.post(f"/tasks/{before['id']}/heartbeat", {}).status == 200
    resumed = server.post(f"/admin/queues/{command}/resume")
    assert resumed.json["paused"] is False
    assert server.claim(command)["id"] == made["id"]
    assert depth(server, command)["paused"] is False


def test_a_claim_that_waits_on_a_paused_queue_is_served_by_the_resume(server: Server, command: str):
    import threading

    server.post(f"/admin/queues/{command}/pause")
    made = server.create(command)
    got: list = []
    waiting = threading.Thread(target=lambda: got.append(server.claim(command, waitSeconds=30)))
    waiting.start()
    until(lambda: depth(server, command)["waitingClaims"] == 1)
    server.post(f"/admin/queues/{command}/resume")
    waiting.join(20)
    assert [task["id"] for task in got] == [made["id"]]


def test_concurrency_bounds_what_is_in_progress(server: Server, command: str):
    assert policy(server, command, concurrency=2).status == 200
    for _ in range(4):
        server.create(command)
    held = [server.claim(command) for _ in range(2)]
    assert server.claim(command) is None
    task = held[0]
    assert task is not None
    done = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
    assert server.post(f"/tasks/{task['id']}/result", done).status == 200
    assert server.claim(command) is not None
    assert server.claim(command) is None


def test_a_rate_bounds_claims_and_lets_the_next_through_by_itself(server: Server, command: str):
    policy(server, command, rate=2, burst=3)
    for _ in range(5):
        server.create(command)
    burst = server.post("/tasks/claim/batch", {"count": 5, "commands": [command]}).json["tasks"]
    assert len(burst) == 3
    assert server.claim(command, waitSeconds=20) is not None


def test_keys_are_bounded_each_for_itself(server: Server, command: str):
    policy(server, command, keyConcurrency=1)
    for key in ("a", "a", "b", ""):
        server.create(command, **({"key": key} if key else {}))
    claimed = [server.claim(command) for _ in range(4)]
    assert [task and task.get("key", "") for task in claimed] == ["a", "b", "", None]


def test_a_policy_is_shown_replaced_and_taken_away(server: Server, command: str):
    path = f"/admin/queues/{command}/policy"
    blank = server.get(path).json
    assert (blank["tenantId"], blank["concurrency"], blank["updatedAt"]) == ("*", 0, None)
    put = policy(server, command, concurrency=3, rate=1.5, burst=4, keyConcurrency=2, keyRate=0.5)
    shown = server.get(path).json
    assert shown == put.json
    assert (shown["concurrency"], shown["rate"], shown["burst"]) == (3, 1.5, 4)
    assert (shown["keyConcurrency"], shown["keyRate"], shown["paused"]) == (2, 0.5, False)
    assert shown["updatedAt"]
    # A pause keeps the bounds.
    assert server.post(f"/admin/queues/{command}/pause").json["concurrency"] == 3
    assert server.post(f"/admin/queues/{command}/resume").json["concurrency"] == 3
    assert policy(server, command, rate=9).json["concurrency"] == 0
    assert policy(server, command).json == blank


def test_the_policy_of_everybody_holds_where_a_tenant_has_none(server: Server, command: str):
    policy(server, command, concurrency=5)
    inherited = server.get(f"/admin/queues/{command}/policy?tenant=acme").json
    assert (inherited["tenantId"], inherited["concurrency"]) == ("*", 5)
    assert inherited["inherited"]
    policy(server, command, tenant="acme", concurrency=1)
    own = server.get(f"/admin/queues/{command}/policy?tenant=acme").json
    assert (own["tenantId"], own["concurrency"], own["inherited"]) == ("acme", 1, False)
    policy(server, command, tenant="acme", concurrency=9, rate=3)
    held = server.get(f"/admin/queues/{command}/policy?tenant=acme").json
    assert (held["concurrency"], held["rate"]) == (5, 3), "the tighter of both"
    server.post(f"/admin/queues/{command}/pause")
    held = server.get(f"/admin/queues/{command}/policy?tenant=acme").json
    assert (held["paused"], held["pausedForAll"]) == (True, True)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"concurrency": -1}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"rate": -0.1}, "rate"),
        ({"burst": 0}, "burst"),
        ({"keyConcurrency": 2_000_000}, "keyConcurrency"),
        ({"concurency": 1}, "concurency"),
        ({"paused": "yes"}, "paused"),
    ],
)
def test_what_is_no_bound_is_refused_with_its_field(
    server: Server, command: str, fields: dict, word: str
):
    refused = policy(server, command, **fields)
    assert refused.status == 400
    assert word in refused.json["error"]


def test_bounds_survive_kill_9(tmp_path):
    with serving(tmp_path / "data") as server:
        policy(server, "PACK", concurrency=1)
        server.post("/admin/queues/SHIP/pause")
        for command in ("PACK", "PACK", "SHIP"):
            server.create(command)
        assert server.claim("PACK") is not None
        server.kill()
        server.start()
        assert server.claim("PACK") is None
        assert server.claim("SHIP") is None
        assert server.get("/admin/queues/SHIP").json["paused"]


def test_admins_of_a_tenant_bound_their_own_queues_and_nobody_elses(tmp_path):
    with serving(tmp_path / "data", env={"JWT_SECRET": KEY}) as server:
        path = "/admin/queues/PACK"
        for nobody in (minted(["codeq:produce"]), minted(["codeq:claim"])):
            for method, route in (("GET", "policy"), ("PUT", "policy"), ("POST", "pause")):
                refused = server.call(
                    method, f"{path}/{route}", {} if method != "GET" else None, **nobody
                )
                assert (refused.status, refused.json["code"]) == (403, "QUEUE009")
        acme = minted(["codeq:admin"], tenant="acme")
        assert server.post(f"{path}/pause", **acme).json["tenantId"] == "acme"
        globex = minted(["codeq:admin"], tenant="globex")
        assert server.get(f"{path}/policy", **globex).json["paused"] is False
        for method, route in (("PUT", "policy"), ("POST", "pause"), ("POST", "resume")):
            refused = server.call(method, f"{path}/{route}", {"tenant": "acme"}, **globex)
            assert (refused.status, refused.json["code"]) == (403, "QUEUE024")
        every = minted(["codeq:admin"], claims={"tenants": ["*"]})
        assert server.post(f"{path}/resume", {"tenant": "acme"}, **every).json["paused"] is False
        assert server.post(f"{path}/pause", **every).json["tenantId"] == "*"
        assert server.get(f"{path}/policy", **globex).json["paused"] is True
