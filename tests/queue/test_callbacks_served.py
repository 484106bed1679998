"""Callbacks of a real server: told over HTTP, again after kill -9, shown to whom they concern."""

import asyncio
from pathlib import Path
from typing import Any

from tests.queue.receiver import Receiver, hanging, status
from tests.queue.support import Server, serving
from tests.queue.support import until as poll
from tests.queue.test_auth import KEY, minted

from backstay.core.control import ask
from backstay.core.runtime import find_runtime


def quick(tmp_path: Path, *, seconds: float = 15.0, most: int = 2) -> tuple[str, str]:
    """`seconds` is also a third of the time after which a crashed server's calls come again."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"webhookTimeoutSeconds: {seconds}\n"
        f"resultWebhookMaxAttempts: {most}\n"
        "resultWebhookBaseBackoffSeconds: 0.1\n"
        "resultWebhookMaxBackoffSeconds: 0.2\n"
    )
    return "--config", str(config)


def test_weakness_11_every_way_to_end_over_http_is_told(server: Server, command: str):
    with Receiver() as receiver:
        ids = {how: _ended(server, f"{command}_{how}", receiver.url, how) for how in _ENDS}
        poll(lambda: len(receiver.calls) == len(ids))
        told = {body["taskId"]: (body["status"], body["error"]) for body in receiver.bodies}
        for how in _ENDS:
            poll(lambda how=how: _counted(server, f"{command}_{how}"))
    assert told == {ids[how]: said for how, said in _ENDS.items()}


def _counted(server: Server, command: str) -> bool:
    labels = f'kind="task_result",command="{command}",outcome="success"'
    metrics = server.get("/metrics", prefix="").body.decode()
    return f"codeq_webhook_deliveries_total{{{labels}}} 1" in metrics


_ENDS = {
    "SINGLE": ("COMPLETED", ""),
    "BATCH": ("COMPLETED", ""),
    "FAIL": ("FAILED", "it broke"),
    "NACK": ("FAILED", "no more"),
    "CANCEL": ("CANCELLED", "not needed"),
    "EXPIRE": ("FAILED", "LEASE_EXPIRED"),
}


def _ended(server: Server, command: str, url: str, how: str) -> str:
    id_ = server.create(command, webhook=url, maxAttempts=1)["id"]
    if how == "CANCEL":
        assert server.post(f"/tasks/{id_}/cancel", {"reason": "not needed"}).status == 200
        return id_
    task = server.claim(command, leaseSeconds=0.05 if how == "EXPIRE" else 60)
    assert task is not None
    done = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
    failed = {"status": "FAILED", "error": "it broke", "leaseToken": task["leaseToken"]}
    if how == "SINGLE":
        assert server.post(f"/tasks/{id_}/result", done).status == 200
    elif how == "BATCH":
        batch = {"results": [{"taskId": id_, **done}]}
        assert server.post("/tasks/batch/results", batch).status == 200
    elif how == "FAIL":
        assert server.post(f"/tasks/{id_}/result", failed).status == 200
    elif how == "NACK":
        assert server.post(f"/tasks/{id_}/nack", {"reason": "no more"}).json["status"] == "dlq"
    return id_


def _complete(server: Server, command: str, url: str) -> str:
    return _ended(server, command, url, "SINGLE")


def test_weakness_11_kill_9_between_the_call_and_its_settlement_repeats_the_call(tmp_path):
    with (
        Receiver(hanging(lambda: receiver)) as receiver,
        serving(tmp_path / "data", *quick(tmp_path, seconds=0.4, most=1000)) as server,
    ):
        id_ = _complete(server, "PACK", receiver.url)
        poll(lambda: receiver.calls)
        # The receiver has it; nobody has said so to the store.
        server.kill()
        receiver.behave = status(200)
        server.start()
        poll(lambda: len(receiver.calls) >= 2, 20.0)
        poll(lambda: server.get("/admin/deliveries").json["data"] == [], 20.0)
        assert server.get("/admin/deliveries?givenUp=true").json["data"] == []
    assert {body["taskId"] for body in receiver.bodies} == {id_}


def test_weakness_11_what_waits_for_its_next_try_survives_kill_9(tmp_path):
    with (
        Receiver(status(503)) as receiver,
        serving(tmp_path / "data", *quick(tmp_path, seconds=0.4, most=1000)) as server,
    ):
        ids = {_complete(server, "PACK", receiver.url) for _ in range(4)}
        poll(lambda: receiver.calls)
        server.kill()
        receiver.behave = status(200)
        server.start()
        poll(lambda: ids <= {call.json["taskId"] for call in receiver.calls}, 20.0)
        poll(lambda: server.get("/admin/deliveries").json["data"] == [], 20.0)
        assert server.get("/admin/deliveries?givenUp=true").json["data"] == []


def test_given_up_ones_are_seen_and_retried_by_admins_only_and_per_tenant(tmp_path):
    env = {"JWT_SECRET": KEY, "WEBHOOK_EGRESS_ALLOW": "loopback", "WEBHOOK_HMAC_SECRET": "hush"}
    work = ["codeq:produce", "codeq:claim", "codeq:result"]
    with (
        Receiver(status(500)) as receiver,
        serving(tmp_path / "data", *quick(tmp_path), env=env) as server,
    ):
        worker = minted(work, tenant="acme")
        made = server.post(
            "/tasks", {"command": "PACK", "payload": {}, "webhook": receiver.url}, **worker
        )
        task = server.post("/tasks/claim", {"commands": ["PACK"]}, **worker).json
        done = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
        assert server.post(f"/tasks/{task['id']}/result", done, **worker).status == 200
        admin = minted(["codeq:admin"], tenant="acme")
        given_up = "/admin/deliveries?givenUp=true"
        [kept] = poll(lambda: server.get(given_up, **admin).json["data"])
        assert (kept["taskId"], kept["attempts"]) == (made.json["id"], 2)
        assert (kept["error"], kept["nextTry"]) == ("it answered 500", None)
        assert all(call.headers["x-codeq-signature"] for call in receiver.calls)
        path = f"/admin/deliveries/{kept['deliveryId']}/retry"
        other = minted(["codeq:admin"], tenant="globex")
        assert server.get(given_up, **other).json["data"] == []
        assert (server.post(path, **other).status, server.post(path, **worker).status) == (404, 403)
        receiver.behave = status(204)
        assert server.post(path, **admin).status == 202
        for waiting in (given_up, "/admin/deliveries"):
            poll(lambda waiting=waiting: server.get(waiting, **admin).json["data"] == [])
        assert server.post(path, **admin).json["code"] == "QUEUE064"
    assert "hush" not in server.log_file.read_text()


def test_weakness_16_a_server_that_wants_tokens_calls_nothing_near_unless_it_is_allowed(tmp_path):
    every = ["codeq:produce", "codeq:admin"]
    with Receiver() as receiver, serving(tmp_path / "data", env={"JWT_SECRET": KEY}) as server:
        token = minted(every)
        made = server.post(
            "/tasks", {"command": "PACK", "payload": {}, "webhook": receiver.url}, **token
        )
        assert server.post(f"/tasks/{made.json['id']}/cancel", **token).status == 200
        [kept] = poll(lambda: server.get("/admin/deliveries?givenUp=true", **token).json["data"])
    assert kept["error"].startswith("CORE036")
    assert receiver.calls == []


def test_a_dead_receiver_is_seen_by_the_doctor_and_its_breaker_by_people(tmp_path):
    closed = "http://127.0.0.1:9/"
    with serving(tmp_path / "data", *quick(tmp_path)) as server:
        for _ in range(6):
            _complete(server, "PACK", closed)

        poll(lambda: _asked(server, "/probe/queue.callbacks")["spared"] == ["127.0.0.1:9"], 20.0)
        breakers = {one["target"]: one["state"] for one in _asked(server, "/breakers")}
        assert breakers == {"127.0.0.1:9": "open"}
        assert server.get("/healthz", prefix="").status == 200


def _asked(server: Server, route: str) -> Any:
    return asyncio.run(ask(find_runtime(server.data) / "queue.ctl", route))


async def test_a_receiver_that_hangs_does_not_keep_the_process(tmp_path):
    with Receiver(hanging(lambda: receiver)) as receiver, serving(tmp_path / "data") as server:
        _complete(server, "PACK", receiver.url)
        poll(lambda: receiver.calls)
        # The receiver would hold it for fifteen seconds.
        assert server.stop() == 0
        assert not receiver.released.is_set()
        assert "background step failed" not in server.log_file.read_text()
