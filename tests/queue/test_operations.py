"""What people do with tasks once there are many: find, look back, cancel, retry, put off, redrive,
purge, audit, copy. A real server."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, serving, until

from backstay.core.clock import rfc3339


def fail_once(server: Server, command: str, **fields: Any) -> dict[str, Any]:
    """A task that became a dead letter in its only delivery."""
    made = server.create(command, maxAttempts=1, **fields)
    task = server.claim(command)
    assert task is not None
    nack = {"reason": "no cartons", "leaseToken": task["leaseToken"]}
    assert server.post(f"/tasks/{task['id']}/nack", nack).json["status"] == "dlq"
    return made


def ids(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [task["id"] for task in answer.json["data"]]


def test_search_by_everything_that_is_known_of_a_task(server: Server, command: str):
    first = server.create(command, tags=["red", "gift"], key="customer-1")["id"]
    between = time.time() + 0.005
    until(lambda: time.time() > between + 0.005)
    at = rfc3339(between)
    second = server.create(command, tags=["blue"], delaySeconds=500)["id"]
    third = fail_once(server, f"{command}_X", tags=["red"])["id"]
    mine = f"command={command}"
    assert ids(server.get(f"/tasks?{mine}&tag=red")) == [first]
    assert ids(server.get(f"/tasks?{mine}&key=customer-1")) == [first]
    assert ids(server.get(f"/tasks?{mine}&status=READY")) == [first]
    assert ids(server.get(f"/tasks?{mine}&status=DELAYED")) == [second]
    assert ids(server.get(f"/tasks?{mine}&status=PENDING")) == [first, second]
    assert ids(server.get(f"/tasks?{mine}&order=newest")) == [second, first]
    assert ids(server.get(f"/tasks?{mine}&createdBefore={at}")) == [first]
    assert ids(server.get(f"/tasks?{mine}&createdAfter={at}")) == [second]
    for word in ("DEAD", "FAILED", "dead,COMPLETED"):
        assert ids(server.get(f"/tasks?command={command}_X&status={word}")) == [third]
    assert server.get("/tasks?status=READY&state=dead").status == 400


def test_search_by_worker_and_tenant(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        server.create("A")
        task = server.claim("A")
        assert task is not None
        assert ids(server.get("/tasks?worker=local")) == [task["id"]]
        assert ids(server.get("/tasks?worker=somebody")) == []
        assert ids(server.get("/tasks?tenant=default")) == [task["id"]]
        assert ids(server.get("/tasks?tenant=acme")) == []


def test_the_history_names_every_delivery(server: Server, command: str):
    made = server.create(command, maxAttempts=3)
    for reason in ("no cartons", "no tape"):
        task = server.claim(command, waitSeconds=5)
        assert task is not None
        nack = {"reason": reason, "delaySeconds": 0.01, "leaseToken": task["leaseToken"]}
        server.post(f"/tasks/{task['id']}/nack", nack)
    task = server.claim(command, waitSeconds=5)
    assert task is not None
    told = server.get(f"/tasks/{made['id']}/attempts").json
    assert told["taskId"] == made["id"]
    assert [attempt["number"] for attempt in told["attempts"]] == [1, 2, 3]
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["nacked", "nacked", "leased"]
    assert [attempt.get("error") for attempt in told["attempts"]] == ["no cartons", "no tape", None]
    assert {attempt["workerId"] for attempt in told["attempts"]} == {"local"}
    assert "endedAt" not in told["attempts"][2]
    assert told["attempts"][0]["startedAt"] < told["attempts"][0]["endedAt"]
    assert server.get("/tasks/unknown/attempts").status == 404


def test_cancel_by_filter_ends_what_is_not_ended(server: Server, command: str):
    done = server.create(command, tags=["old"])
    task = server.claim(command)
    assert task is not None
    lease = {"leaseToken": task["leaseToken"]}
    server.post(f"/tasks/{task['id']}/result", {"status": "COMPLETED", "result": {}, **lease})
    kept = server.create(command, tags=["new"])["id"]
    gone = [server.create(command, tags=["old"], delaySeconds=n)["id"] for n in (0, 500)]
    body = {"command": command, "tag": "old", "reason": "sold out"}
    assert server.post("/tasks/cancel", body).json == {"count": 2, "more": False}
    assert [server.task(id_)["status"] for id_ in gone] == ["CANCELLED"] * 2
    assert server.task(gone[0])["error"] == "sold out"
    assert server.task(done["id"])["status"] == "COMPLETED"
    assert server.task(kept)["status"] == "PENDING"


def test_a_filter_stops_at_its_limit_and_says_that_there_is_more(server: Server, command: str):
    for _ in range(5):
        server.create(command)
    body = {"command": command, "limit": 3}
    assert server.post("/tasks/cancel", body).json == {"count": 3, "more": True}
    assert server.post("/tasks/cancel", body).json == {"count": 2, "more": False}
    assert server.post("/tasks/cancel", body).json == {"count": 0, "more": False}


def test_retry_is_now_for_what_waits_and_anew_for_what_ended(server: Server, command: str):
    waiting = server.create(command, delaySeconds=500)["id"]
    assert server.post(f"/tasks/{waiting}/retry").json["lastKnownLocation"] == "PENDING_LIST"
    assert server.claim(command) is not None
    held = server.post(f"/tasks/{waiting}/retry")
    assert (held.status, held.json["code"]) == (409, "QUEUE003")
    dead = fail_once(server, f"{command}_X")["id"]
    again = server.post(f"/tasks/{dead}/retry").json
    assert (again["status"], again.get("attempts", 0)) == ("PENDING", 0)
    assert server.claim(f"{command}_X") is not None


def test_reschedule_moves_a_waiting_task(server: Server, command: str):
    made = server.create(command)["id"]
    put_off = server.post(f"/tasks/{made}/reschedule", {"runAt": "2099-01-01T00:00:00Z"}).json
    assert put_off["runAt"] == "2099-01-01T00:00:00.000000Z"
    assert server.claim(command) is None
    server.post(f"/tasks/{made}/reschedule", {"delaySeconds": 0.2})
    assert server.claim(command, waitSeconds=5) is not None
    assert server.post(f"/tasks/{made}/reschedule").status == 409


def test_dead_letters_are_seen_and_redriven(server: Server, command: str):
    made = [fail_once(server, command, tags=["t"])["id"] for _ in range(3)]
    assert ids(server.get(f"/admin/queues/{command}/dlq")) == made
    page = server.get(f"/admin/queues/{command}/dlq?limit=2&order=newest")
    assert ids(page) == made[::-1][:2]
    assert page.json["data"][0]["error"] == "no cartons"
    redrive = f"/admin/queues/{command}/redrive"
    assert server.post(redrive, {"filter": {"tag": "other"}}).json["count"] == 0
    assert server.post(redrive, {"limit": 1}).json == {"count": 1, "more": True}
    assert server.post(redrive).json == {"count": 2, "more": False}
    assert server.get(f"/admin/queues/{command}").json["dlq"] == 0
    claimed = server.post("/tasks/claim/batch", {"count": 100, "commands": [command]}).json
    assert sorted(task["id"] for task in claimed["tasks"]) == sorted(made)


def test_a_redrive_with_a_rate_comes_one_after_the_other(server: Server, command: str):
    for _ in range(3):
        fail_once(server, command)
    began = time.time()
    server.post(f"/admin/queues/{command}/redrive", {"ratePerSecond": 5})
    seen = []
    for _ in range(3):
        assert server.claim(command, waitSeconds=5) is not None
        seen.append(time.time() - began)
    assert seen[1] >= 0.19
    assert seen[2] >= 0.39


def test_purge_deletes_ends_of_one_command_only(server: Server, command: str):
    dead = fail_once(server, command)["id"]
    other = fail_once(server, f"{command}_X")["id"]
    waiting = server.create(command)["id"]
    purge = f"/admin/queues/{command}/purge"
    assert server.post(purge, {"status": "COMPLETED"}).json["count"] == 0
    assert server.post(purge, {"before": "2020-01-01T00:00:00Z"}).json["count"] == 0
    assert server.post(purge, {"status": "DEAD"}).json == {"count": 1, "more": False}
    assert server.get(f"/tasks/{dead}").status == 404
    assert server.get(f"/tasks/{other}").status == 200
    assert server.get(f"/tasks/{waiting}").status == 200


def test_heartbeats_in_a_batch_are_answered_alone_and_tell_progress(server: Server, command: str):
    for _ in range(2):
        server.create(command)
    tasks = server.post("/tasks/claim/batch", {"count": 2, "commands": [command]}).json["tasks"]
    beats = [
        {
            "taskId": tasks[0]["id"],
            "leaseToken": tasks[0]["leaseToken"],
            "extendSeconds": 600,
            "progress": {"done": 3, "of": 10},
        },
        {"taskId": tasks[1]["id"], "leaseToken": "of somebody else"},
        {"taskId": "unknown"},
        {"taskId": tasks[1]["id"], "extendSeconds": 1e9},
    ]
    answers = server.post("/tasks/batch/heartbeat", {"heartbeats": beats}).json["results"]
    assert [answer.get("ok", False) for answer in answers] == [True, False, False, False]
    assert [answer.get("code") for answer in answers[1:]] == ["QUEUE004", "QUEUE001", "QUEUE014"]
    seen = server.task(tasks[0]["id"])
    assert seen["progress"] == {"done": 3, "of": 10}
    assert seen["leaseUntil"] == answers[0]["leaseUntil"]
    one = {"leaseToken": tasks[0]["leaseToken"]}
    server.post(f"/tasks/{tasks[0]['id']}/heartbeat", one)
    assert server.task(tasks[0]["id"])["progress"] == {"done": 3, "of": 10}


def test_a_batch_claim_waits_for_the_first(server: Server, command: str):
    began = time.monotonic()
    body = {"count": 100, "commands": [command], "waitSeconds": 1}
    assert server.post("/tasks/claim/batch", body).status == 204
    assert time.monotonic() - began > 0.9


def test_what_a_task_was_made_with_is_shown(server: Server, command: str):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made = server.post(
        "/tasks",
        {
            "command": command,
            "payload": 1,
            "tags": ["a", "b", "a"],
            "key": "k",
            "webhook": "https://example.com/hook",
        },
        headers={"traceparent": trace},
    ).json
    seen = server.task(made["id"])
    assert (seen["tags"], seen["key"]) == (["a", "b"], "k")
    assert seen["webhook"] == "https://example.com/hook"
    assert seen["traceParent"] == trace


def test_an_audit_tells_and_mends(server: Server):
    told = server.post("/admin/audit", {"repair": True, "command": "NONE"})
    assert told.json == {"inconsistencies": [], "repaired": 0}


def test_a_backup_is_a_whole_copy_and_work_goes_on(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        made = server.create("A")
        told = server.post("/admin/backup")
        assert told.status == 200, told.body
        copy = tmp_path / "data" / told.json["file"]
        assert copy.stat().st_size == told.json["bytes"]
        server.create("A")
    (tmp_path / "other").mkdir()
    copy.rename(tmp_path / "other" / "queue.db")
    with sqlite3.connect(tmp_path / "other" / "queue.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with serving(tmp_path / "other") as second:
        assert [task["id"] for task in second.get("/tasks").json["data"]] == [made["id"]]


@pytest.mark.seed("Q32")
def test_a_purge_makes_the_store_hold_less(tmp_path: Path):
    def rows(data: Path) -> int:
        with sqlite3.connect(f"file:{data / 'queue.db'}?mode=ro", uri=True) as db:
            names = [
                name
                for (name,) in db.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                )
            ]
            return sum(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names)

    with serving(tmp_path / "data") as server:
        server.create("KEEP")
        before = rows(tmp_path / "data")
        for n in range(10):
            server.create("GO", idempotencyKey=f"k{n}", payload=n)
            task = server.claim("GO")
            assert task is not None
            lease = {"leaseToken": task["leaseToken"]}
            done = {"status": "COMPLETED", "result": {"n": n}, **lease}
            assert server.post(f"/tasks/{task['id']}/result", done).status == 200
        assert rows(tmp_path / "data") >= before + 10
        assert server.post("/admin/queues/GO/purge").json["count"] == 10
        until(lambda: rows(tmp_path / "data") <= before + 1)
