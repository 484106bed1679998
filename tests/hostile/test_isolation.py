"""One principal never meets another's data: tenants of the queue, owners in an app."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.e2e.stack import Stack
from tests.hostile.attack import CODEQ, Reply, bearer, failures, post, send, strict, token

VAULT = Path(__file__).with_name("vault.cai")


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with strict(tmp_path_factory.mktemp("vault"), VAULT) as stack:
        yield stack
        assert failures(stack) == []


@pytest.fixture(scope="module")
def box(vault: Stack) -> str:
    """Alice's, with a note in it."""
    made = post(vault.port, "/api/v1/boxes", {"owner": "alice", "label": "mine"}, who("alice"))
    assert made.status == 201, made.body
    key = str(made.json["id"])
    note = {"box": key, "owner": "alice", "text": "hidden"}
    assert post(vault.port, "/api/v1/notes", note, who("alice")).status == 201
    return key


def who(sub: str, tenant: str = "default", scope: str = "") -> Sequence[tuple[str, str]]:
    return bearer(token(sub, scope, tenant=tenant))


def bob(vault: Stack, target: str) -> Reply:
    return send(vault.port, "GET", target, who("bob"))


def test_another_tenant_sees_no_task_no_result_and_no_reply(vault: Stack):
    alice, eve = (who(name, name, f"{CODEQ} codeq:admin") for name in ("alice", "eve"))
    tasks = "/v1/codeq/tasks"
    body = {"command": "ISO", "payload": {"s": 1}, "idempotencyKey": "k", "replyTo": "box"}
    task = post(vault.port, tasks, body, alice).json["id"]
    foreign = {
        ("GET", f"{tasks}/{task}"): b"",
        ("GET", f"{tasks}/{task}/result"): b"",
        **{
            ("POST", f"{tasks}/{task}/{verb}"): b"{}"
            for verb in ("cancel", "heartbeat", "nack", "abandon")
        },
        ("POST", f"{tasks}/{task}/result"): b'{"status":"COMPLETED","result":{}}',
    }
    for (method, path), given in foreign.items():
        assert send(vault.port, method, path, eve, given).code == "QUEUE001", path
    assert post(vault.port, f"{tasks}/claim", {"commands": ["ISO"]}, eve).status == 204
    assert send(vault.port, "GET", f"{tasks}?command=ISO", eve).json["data"] == []
    assert post(vault.port, tasks, {**body, "payload": 2}, eve).json["id"] != task
    assert post(vault.port, f"{tasks}/claim", {"commands": ["ISO"]}, alice).json["id"] == task
    done = {"status": "COMPLETED", "result": {"of": "alice"}}
    assert post(vault.port, f"{tasks}/{task}/result", done, alice).status == 200
    replies = "/v1/codeq/replies/box"
    assert send(vault.port, "GET", replies, eve).json["outcomes"] == []
    assert post(vault.port, f"{replies}/ack", {"taskIds": [task]}, eve).json["acknowledged"] == 0
    assert [
        each["taskId"] for each in send(vault.port, "GET", replies, alice).json["outcomes"]
    ] == [task]


def test_a_row_of_somebody_else_is_not_there(vault: Stack, box: str):
    assert bob(vault, f"/api/v1/boxes/{box}").status == 404
    counted = bob(vault, "/api/v1/boxes?total=true&label=mine").json
    assert (counted["data"], counted["pagination"]["total"]) == ([], 0)
    assert bob(vault, f"/api/v1/notes?box={box}").json["data"] == []
    renamed = post(vault.port, f"/api/v1/boxes/{box}/rename", {"label": "x"}, who("bob"))
    assert renamed.status == 404
    forged = post(vault.port, "/api/v1/boxes", {"owner": "alice", "label": "x"}, who("bob"))
    assert (forged.status, forged.code) == (403, "APP014")
    seen = send(vault.port, "GET", f"/api/v1/boxes/{box}", who("alice")).json
    assert (seen["label"], len(seen["notes"])) == ("mine", 1)


@pytest.mark.parametrize(
    "query",
    ["owner=alice", "owner[ne]=x", "sort=owner", "sort=-id,owner", "box.label=mine", "include=box"],
)
def test_what_is_not_offered_cannot_be_asked_for(vault: Stack, query):
    assert bob(vault, f"/api/v1/notes?{query}").code == "APP012"


@pytest.mark.parametrize("value", ["' OR 1=1 --", 10**30, 1e300, True, None, [1], {"a": 1}, "a\0b"])
def test_a_bent_cursor_shows_nothing_of_others(vault: Stack, box: str, value):
    for spelled in (["label,id", [value, box]], ["label,id", ["a", value]], [value]):
        cursor = base64.urlsafe_b64encode(json.dumps(spelled).encode()).decode().rstrip("=")
        answer = bob(vault, f"/api/v1/boxes?sort=label&cursor={cursor}")
        assert answer.status in (200, 400)
        assert b"alice" not in answer.body


def test_what_anybody_can_ask_for_takes_the_app_from_nobody(vault: Stack):
    """Five answers 503 of a route without its secret opened the gateway's breaker for all routes."""
    for _ in range(7):
        answer = post(vault.port, "/api/v1/hooks/bank", {"box": "1"})
        assert (answer.status, answer.code) == (503, "APP075")
        assert b"x-backstay-narrow" not in answer.head.lower()
    assert bob(vault, "/api/v1/boxes").status == 200


def test_an_idempotency_key_is_its_owners_however_names_are_cut(vault: Stack):
    body = {"owner": "b", "label": "mine"}
    key = [("Idempotency-Key", "shared")]
    first = post(vault.port, "/api/v1/boxes", body, [*who("b", "t/user/a"), *key])
    second = post(vault.port, "/api/v1/boxes", body, [*who("a/user/b", "t"), *key])
    assert first.status == 201
    assert (second.status, second.code) == (403, "APP014")
