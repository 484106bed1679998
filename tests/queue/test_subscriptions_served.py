"""Subscriptions of a real server: made, renewed, listed, kept over kill -9, within a token's bounds."""

import pytest
from tests.queue.receiver import Receiver, hanging
from tests.queue.support import Server, serving
from tests.queue.support import until as poll
from tests.queue.test_auth import KEY, minted


def asked(server: Server, receiver: Receiver, **fields: object):
    return server.post("/workers/subscriptions", {"callbackUrl": receiver.url, **fields})


def test_weakness_11_a_dead_subscriber_does_not_hang_producers(server: Server, command: str):
    with Receiver(hanging(lambda: dead)) as dead:
        assert asked(server, dead, eventTypes=[command], minIntervalSeconds=0.1).status == 200
        server.create(command)
        poll(lambda: dead.calls)
        # The subscriber holds its call; a producer that waited for it would not get here.
        for _ in range(50):
            server.create(command)
        assert not dead.released.is_set()


def test_it_is_made_renewed_listed_told_and_deleted(server: Server, command: str):
    with Receiver() as receiver:
        made = asked(server, receiver, eventTypes=[command], ttlSeconds=60)
        assert made.status == 200
        assert set(made.json) == {"subscriptionId", "expiresAt"}
        id_ = made.json["subscriptionId"]
        renewed = server.post(f"/workers/subscriptions/{id_}/heartbeat", {"ttlSeconds": 600})
        assert renewed.json["expiresAt"] > made.json["expiresAt"]
        assert server.post(f"/workers/subscriptions/{id_}/heartbeat").status == 200
        [listed] = _listed(server, id_)
        assert (listed["eventTypes"], listed["minIntervalSeconds"]) == ([command], 5.0)
        server.create(command)
        poll(lambda: receiver.calls)
        assert receiver.bodies[0]["subscriptionId"] == id_
        assert server.call("DELETE", f"/workers/subscriptions/{id_}").status == 204
        assert _listed(server, id_) == []
        for gone in (
            server.call("DELETE", f"/workers/subscriptions/{id_}"),
            server.post(f"/workers/subscriptions/{id_}/heartbeat"),
        ):
            assert (gone.status, gone.json["code"]) == (404, "QUEUE062")


def _listed(server: Server, id_: str) -> list:
    found = server.get("/workers/subscriptions").json["data"]
    return [one for one in found if one["subscriptionId"] == id_]


@pytest.mark.parametrize(
    ("fields", "status", "code", "word"),
    [
        ({"deliveryMode": "group", "groupId": "g"}, 501, "QUEUE017", "deliveryMode group"),
        ({"deliveryMode": "hash"}, 501, "QUEUE017", "deliveryMode hash"),
        ({"groupId": "g"}, 501, "QUEUE017", "group"),
        ({"callbackUrl": "ftp://x/"}, 400, "QUEUE022", "callbackUrl"),
        ({"callbackUrl": ""}, 400, "QUEUE022", "callbackUrl"),
        ({"ttlSeconds": 1e9}, 400, "QUEUE014", "ttlSeconds"),
        ({"minIntervalSeconds": 0.001}, 400, "QUEUE014", "minIntervalSeconds"),
        ({"minIntervalSeconds": -1}, 400, "QUEUE014", "minIntervalSeconds"),
        ({"eventTypes": ["a b"]}, 400, "QUEUE010", "command"),
        ({"eventTypes": ["A"] * 101}, 400, "CORE105", "eventTypes"),
    ],
)
def test_weakness_12_what_is_not_served_or_wrong_is_refused_by_name(
    server: Server, fields: dict, status: int, code: str, word: str
):
    with Receiver() as receiver:
        refused = asked(server, receiver, **fields)
        assert (refused.status, refused.json["code"]) == (status, code)
        assert word in refused.json["error"]


def test_a_subscription_survives_kill_9(tmp_path):
    with Receiver() as receiver, serving(tmp_path / "data") as server:
        asked(server, receiver, eventTypes=["PACK"])
        server.kill()
        server.start()
        server.create("PACK")
        poll(lambda: receiver.calls)


def test_a_token_subscribes_within_its_event_types_scope_and_tenant(tmp_path):
    env = {"JWT_SECRET": KEY, "WEBHOOK_EGRESS_ALLOW": "loopback"}
    with Receiver() as receiver, serving(tmp_path / "data", env=env) as server:
        mine = minted(["codeq:subscribe"], claims={"eventTypes": ["PACK"]}, tenant="a")
        url = {"callbackUrl": receiver.url}
        denied = server.post("/workers/subscriptions", url, **minted(["codeq:claim"]))
        assert (denied.status, denied.json["code"]) == (403, "QUEUE009")
        denied = server.post("/workers/subscriptions", {**url, "eventTypes": ["SHIP"]}, **mine)
        assert (denied.status, denied.json["code"]) == (403, "QUEUE008")
        made = server.post("/workers/subscriptions", url, **mine)
        assert made.status == 200, made.body
        [one] = server.get("/workers/subscriptions", **mine).json["data"]
        assert one["eventTypes"] == ["PACK"]
        other = minted(["codeq:subscribe"], tenant="b")
        assert server.get("/workers/subscriptions", **other).json["data"] == []
        path = f"/workers/subscriptions/{made.json['subscriptionId']}"
        assert server.call("DELETE", path, **other).status == 404
