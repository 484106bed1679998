"""A tenant with every scope there is gets at nothing of another: every route that the server
declares is tried with the other's ids, names and commands."""

import json
import re
from typing import Any

import pytest
from tests.queue.hostile.conftest import Person
from tests.queue.support import Server, until

NEEDLE = "alice-needle-7f3a"
"""Names that Eve has heard of: tags, keys."""
SECRET = "alice-secret-c41b"
"""What she must never see: payloads, results, errors, addresses."""
COMMAND = "ISOLATED"
BODIES: dict[str, list[Any]] = {
    "/tasks": [{"command": COMMAND, "payload": {}, "idempotencyKey": f"{NEEDLE}-once"}],
    "/tasks/batch": [{"tasks": [{"command": COMMAND, "payload": 1}]}],
    "/tasks/claim": [{"commands": [COMMAND]}, {}, {"commands": ["*"]}],
    "/tasks/claim/batch": [{"count": 100, "commands": [COMMAND]}, {"count": 100}],
    "/tasks/cancel": [
        {"command": COMMAND},
        {"tag": NEEDLE},
        {"key": NEEDLE},
        {"worker": "alice-worker"},
    ],
    "/tasks/{id}/result": [{"status": "COMPLETED", "result": {}}],
    "/admin/queues/{command}/redrive": [{}, {"filter": {"tag": NEEDLE}}],
    "/admin/queues/{command}/purge": [{}, {"before": "2100-01-01T00:00:00Z"}],
    "/admin/queues/{command}/policy": [{"paused": True}, {"paused": True, "tenant": "alice"}],
    "/admin/queues/{command}/pause": [{}, {"tenant": "alice"}, {"tenant": "*"}],
    "/admin/tasks/cleanup": [{"before": "2100-01-01T00:00:00Z"}, {"command": COMMAND}],
    "/admin/periodic/{name}": [
        {"command": COMMAND, "payload": {}, "cron": "@yearly", "tenant": "alice"},
    ],
    "/workers/subscriptions": [{"callbackUrl": "http://eve.example/", "eventTypes": [COMMAND]}],
}
QUERIES = ("", "?tenant=alice", "?tenant=*", f"?tag={NEEDLE}", f"?key={NEEDLE}", "?limit=200")


class Alice:
    """Everything a tenant can have, each with the needle in it."""

    def __init__(self, server: Server) -> None:
        self.person = person = Person(server, "alice")
        made = {"command": COMMAND, "payload": {"secret": SECRET}, "tags": [NEEDLE], "key": NEEDLE}
        made |= {"webhook": f"http://127.0.0.1:1/{SECRET}", "maxAttempts": 1, "replyTo": "alice"}
        for outcome in ("result", "nack", "hold"):
            person.post("/tasks", made)
            task = person.post("/tasks/claim", {"commands": [COMMAND], "leaseSeconds": 600})
            hold = {"leaseToken": task["leaseToken"]}
            if outcome == "result":
                body = {"status": "COMPLETED", "result": {"secret": SECRET}, **hold}
                person.post(f"/tasks/{task['id']}/result", body)
            elif outcome == "nack":
                person.post(f"/tasks/{task['id']}/nack", {"reason": SECRET, **hold})
            else:
                self.lease = task
        person.post("/tasks", {**made, "delaySeconds": 3600, "idempotencyKey": f"{NEEDLE}-once"})
        person.post("/tasks", made)
        self.periodic = f"{NEEDLE}-nightly"
        cron = {"command": COMMAND, "payload": {"secret": SECRET}, "cron": "0 0 1 1 *"}
        person.put(f"/admin/periodic/{self.periodic}", cron)
        hook = {"callbackUrl": f"http://alice.example/{SECRET}", "ttlSeconds": 86_400}
        self.subscription = person.post("/workers/subscriptions", hook)["subscriptionId"]
        # Near addresses are not called for a server that wants tokens: they are given up at once.
        until(lambda: len(self._given_up()) == 2, 20)
        self.delivery = self._given_up()[0]["deliveryId"]

    def _given_up(self) -> list[dict[str, Any]]:
        return list(self.person.get("/admin/deliveries?givenUp=true")["data"])

    def sees(self) -> Any:
        """All of it, as she sees it."""
        tasks = self.person.get("/tasks?limit=200")["data"]
        return {
            "tasks": tasks,
            "attempts": [self.person.get(f"/tasks/{task['id']}/attempts") for task in tasks],
            "replies": self.person.get("/replies/alice"),
            "periodic": self.person.get("/admin/periodic"),
            "deliveries": self._given_up(),
            # Without when she was told: of her own tasks she may hear at any moment.
            "subscriptions": [
                each | {"notifiedAt": None}
                for each in self.person.get("/workers/subscriptions")["data"]
            ],
            "policy": self.person.get(f"/admin/queues/{COMMAND}/policy"),
            "dlq": self.person.get(f"/admin/queues/{COMMAND}/dlq"),
        }

    def names(self) -> dict[str, list[str]]:
        """What may stand in a path."""
        ids = [task["id"] for task in self.person.get("/tasks?limit=200")["data"]]
        return {
            "id": [*ids, self.subscription, self.delivery],
            "command": [COMMAND],
            "name": [self.periodic, "alice"],
        }


@pytest.fixture(scope="module")
def alice(strict: Server) -> Alice:
    return Alice(strict)


def attempts(strict: Server, alice: Alice) -> list[tuple[str, str, Any]]:
    """Each route and method of the served document, with all names and bodies."""
    document = strict.get("/openapi.json", prefix="").json
    found: list[tuple[str, str, Any]] = []
    names = alice.names()
    for full, methods in document["paths"].items():
        if not full.startswith("/v1/codeq"):
            continue
        path = full.removeprefix("/v1/codeq")
        places = re.findall(r"\{(\w+)\}", path)
        assert set(places) <= set(names), f"no names are known for {path}"
        filled = [path]
        for place in places:
            filled = [
                each.replace(f"{{{place}}}", name) for each in filled for name in names[place]
            ]
        for method in methods:
            bodies = BODIES.get(
                path, [{}, {"tenant": "alice"}, {"leaseToken": alice.lease["leaseToken"]}]
            )
            for target in filled:
                if method in ("get", "delete"):
                    found += [(method.upper(), target + query, None) for query in QUERIES]
                else:
                    found += [(method.upper(), target, body) for body in bodies]
    return found


def test_no_route_shows_or_changes_anything_of_another_tenant(strict: Server, alice: Alice):
    before, ids = alice.sees(), alice.names()["id"]
    assert json.dumps(before).count(SECRET) > 20, "there is something to find"
    for eve in (Person(strict, "eve"), Person(strict, "eve", tenants=["eve", "*"])):
        tried = 0
        for method, target, body in attempts(strict, alice):
            answer = eve.ask(method, target, body)
            tried += 1
            assert answer.status < 500 or answer.status == 501, (method, target, answer.body)
            assert SECRET.encode() not in answer.body, (method, target, body, answer.body)
            told = [name for name in ids if name in answer.body.decode() and name not in target]
            assert not told, (method, target, body, answer.body)
        assert tried > 100
    assert alice.sees() == before


def test_a_batch_with_another_tenants_ids_is_refused_item_by_item(strict: Server, alice: Alice):
    eve, before = Person(strict, "eve"), alice.sees()
    lease = {"taskId": alice.lease["id"], "leaseToken": alice.lease["leaseToken"]}
    results = {"results": [{**lease, "status": "COMPLETED", "result": {}}]}
    [item] = eve.post("/tasks/batch/results", results)["results"]
    assert (item["status"], item["code"]) == (404, "QUEUE001")
    beats = {"heartbeats": [{**lease, "extendSeconds": 1}]}
    [item] = eve.post("/tasks/batch/heartbeat", beats)["results"]
    assert (item["status"], item["code"]) == (404, "QUEUE001")
    acked = eve.post("/replies/alice/ack", {"taskIds": [task["id"] for task in before["tasks"]]})
    assert acked["acknowledged"] == 0
    assert alice.sees() == before


def test_a_worker_of_the_same_name_in_another_tenant_is_nobody(strict: Server, alice: Alice):
    twin = Person(strict, "mallory", sub="alice-worker")
    for act in ("heartbeat", "abandon", "nack"):
        answer = twin.ask("POST", f"/tasks/{alice.lease['id']}/{act}", {})
        assert (answer.status, answer.json["code"]) == (404, "QUEUE001")


@pytest.mark.parametrize("tenant", ["*", "alice\0", " alice", "ALICE", "alice ", "*,alice"])
def test_a_tenant_that_looks_like_another_or_like_all_is_neither(
    strict: Server, alice: Alice, tenant: str
):
    answer = Person(strict, tenant).ask("GET", "/tasks?limit=200")
    assert answer.status in (200, 401)
    assert SECRET.encode() not in answer.body


def test_when_a_tenants_queue_was_last_asked_tells_nothing_of_other_tenants(strict: Server):
    """The age of the last claim, and how many wait, are of those who serve this tenant."""
    path = "/admin/queues/ASKED"
    carl, dora = Person(strict, "carl"), Person(strict, "dora")
    for person in (carl, dora):
        person.post("/tasks", {"command": "ASKED", "payload": 1})
    assert dora.get(path)["lastClaimAgeSeconds"] is None
    assert carl.post("/tasks/claim", {"commands": ["ASKED"]})["payload"] == "1"
    assert carl.get(path)["lastClaimAgeSeconds"] is not None
    seen = dora.get(path)
    assert (seen["lastClaimAgeSeconds"], seen["waitingClaims"]) == (None, 0)
