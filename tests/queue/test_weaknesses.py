"""Where the original codeQ is wrong, this queue is right: each case that its HTTP face can show. The
numbers are those of the list of the original's weaknesses, in its order; those of tokens and
tenants are in `test_weaknesses_trust`."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, serving, until

from backstay.core.clock import SystemClock, SystemDice, Uuid7
from backstay.queue.settings import QueueSettings
from backstay.queue.store.choose import engine_of
from backstay.queue.store.sqlite import SqliteEngine

DONE = {"status": "COMPLETED", "result": {}}


def claimed(server: Server, command: str, **fields: Any) -> dict[str, Any]:
    task = server.claim(command, **fields)
    assert task is not None
    return task


def result(server: Server, task: dict[str, Any], **fields: Any) -> Any:
    body = {**DONE, "leaseToken": task["leaseToken"], **fields}
    return server.post(f"/tasks/{task['id']}/result", body)


def test_weakness_01_two_claims_at_once_never_get_one_task(server: Server, command: str):
    for _ in range(20):
        server.create(command)
    taken: list[str] = []

    def work() -> None:
        while task := server.claim(command):
            taken.append(task["id"])

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(taken) == len(set(taken)) == 20


def test_weakness_02_a_finished_task_does_not_come_back(server: Server, command: str):
    server.create(command)
    task = claimed(server, command, leaseSeconds=0.3)
    assert result(server, task).status == 200
    assert server.claim(command, waitSeconds=1) is None
    assert server.task(task["id"])["status"] == "COMPLETED"
    assert server.get(f"/admin/queues/{command}").json["inProgress"] == 0


def test_weakness_03_all_expired_leases_are_found_however_many(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        for _ in range(4):
            server.post("/tasks/batch", {"tasks": [{"command": "A", "payload": 1}] * 100})
        for _ in range(4):
            body = {"count": 100, "commands": ["A"], "leaseSeconds": 0.3}
            assert len(server.post("/tasks/claim/batch", body).json["tasks"]) == 100
        until(lambda: server.get("/admin/queues/A").json["inProgress"] == 0)
        depth = server.get("/admin/queues/A").json
        assert depth["ready"] + depth["delayed"] == 400


def test_weakness_04_kill_9_leaves_no_half_of_a_create(tmp_path: Path):
    """A key that is taken leads to a task that is in a queue: no retry is answered with a lost one."""
    keys = [f"k{number}" for number in range(240)]

    def create(key: str) -> str | None:
        body = {"command": "A", "payload": 1, "idempotencyKey": key}
        try:
            return str(server.post("/tasks", body).json["id"])
        except (OSError, HTTPException):  # killed meanwhile: whether it was made, nobody told
            return None

    with serving(tmp_path / "data") as server, ThreadPoolExecutor(8) as callers:
        begun = [callers.submit(create, key) for key in keys]
        until(lambda: sum(each.done() for each in begun) >= 40)
        server.kill()
        told = [each.result() for each in begun]
        assert None in told
        server.start()
        again = [create(key) for key in keys]
        assert all(new == old for old, new in zip(told, again, strict=True) if old)
        taken = []
        while task := server.claim("A"):
            taken.append(task["id"])
        assert sorted(taken) == sorted(map(str, again))


def test_weakness_05_what_moves_due_tasks_undoes_no_claim_and_moves_none_twice(
    server: Server, command: str
):
    tasks = [{"command": command, "payload": n, "delaySeconds": 0.3 + n / 200} for n in range(80)]
    answer = server.post("/tasks/batch", {"tasks": tasks}).json
    made = {each["task"]["id"] for each in answer["results"]}
    taken: list[str] = []

    def work() -> None:
        while len(taken) < len(made) and (task := server.claim(command, waitSeconds=1)):
            taken.append(task["id"])
            assert server.task(task["id"])["status"] == "IN_PROGRESS"

    with ThreadPoolExecutor(5) as workers:
        for each in [workers.submit(work) for _ in range(5)]:
            each.result(60)
    assert sorted(taken) == sorted(made)
    depth = server.get(f"/admin/queues/{command}").json
    assert (depth["ready"], depth["delayed"], depth["inProgress"]) == (0, 0, len(made))


def test_weakness_06_late_result_of_an_old_lease_is_refused(server: Server, command: str):
    server.create(command)
    old = claimed(server, command, leaseSeconds=0.3)
    new = claimed(server, command, waitSeconds=10)
    assert new["id"] == old["id"]
    # Both workers are `local`: only the token tells them apart.
    late = result(server, old)
    assert (late.status, late.json["code"]) == (409, "QUEUE004")
    assert result(server, new).status == 200


def test_weakness_06_of_two_different_results_the_first_counts(server: Server, command: str):
    server.create(command)
    task = claimed(server, command)
    assert result(server, task, result={"n": 1}).status == 200
    assert result(server, task, result={"n": 2}).status == 409
    # The same one again is an answer that was lost, and is answered as the first time.
    assert result(server, task, result={"n": 1}).status == 200
    assert server.get(f"/tasks/{task['id']}/result").json["result"]["result"] == {"n": 1}


def test_weakness_07_a_heartbeat_after_the_lease_is_told_so(server: Server, command: str):
    server.create(command, maxAttempts=1)
    task = claimed(server, command, leaseSeconds=0.2)
    until(lambda: server.task(task["id"])["status"] == "FAILED")
    beat = server.post(f"/tasks/{task['id']}/heartbeat", {"leaseToken": task["leaseToken"]})
    assert beat.status == 409


def test_weakness_08_time_passes_also_when_nobody_claims(server: Server, command: str):
    server.create(command, delaySeconds=0.3)
    server.create(f"{command}_X", maxAttempts=1)
    claimed(server, f"{command}_X", leaseSeconds=0.3)
    until(lambda: server.get(f"/admin/queues/{command}").json["ready"] == 1)
    until(lambda: server.get(f"/admin/queues/{command}_X").json["dlq"] == 1)


def test_weakness_09_a_task_far_ahead_outlives_retention_and_cleanup(tmp_path: Path):
    with serving(tmp_path / "data", env={"RETENTION_SECONDS": "0.2"}) as server:
        ahead = server.create("A", runAt="2099-01-01T00:00:00Z")
        server.create("B")
        task = claimed(server, "B")
        result(server, task)
        until(lambda: server.get(f"/tasks/{task['id']}").status == 404)
        server.post("/admin/tasks/cleanup", {"before": "2098-01-01T00:00:00Z"})
        assert server.task(ahead["id"])["status"] == "PENDING"


def test_weakness_10_a_cleanup_of_the_future_spares_what_has_not_ended(
    server: Server, command: str
):
    ready, later = server.create(command), server.create(command, delaySeconds=500)
    claimed(server, command)
    cleaned = {"command": command, "before": "2099-01-01T00:00:00Z"}
    assert server.post("/admin/tasks/cleanup", cleaned).json["deleted"] == 0
    assert server.task(ready["id"])["status"] == "IN_PROGRESS"
    assert server.task(later["id"])["status"] == "PENDING"


async def test_weakness_13_an_answer_is_on_disk_unless_one_asks_for_less(tmp_path: Path):
    clock = SystemClock()

    async def synchronous(settings: QueueSettings) -> object:
        engine = engine_of(settings, clock, SystemDice(), Uuid7(clock))
        assert isinstance(engine, SqliteEngine)
        await engine.open()
        try:
            return await engine._db.write(lambda db: db.pragma("synchronous"))
        finally:
            await engine.close()

    full, normal = 2, 1
    assert await synchronous(QueueSettings(data=tmp_path)) == full
    assert await synchronous(QueueSettings(data=tmp_path, durability="process")) == normal


@pytest.mark.parametrize("path", ["one", "batch"])
def test_weakness_14_15_artifacts_reach_no_disk(server: Server, command: str, path: str):
    server.create(command)
    task = claimed(server, command)
    artifacts = [{"name": "../../etc/x", "contentBase64": "eA=="}]
    body = {**DONE, "leaseToken": task["leaseToken"], "artifacts": artifacts}
    if path == "one":
        refused = server.post(f"/tasks/{task['id']}/result", body)
        assert (refused.status, refused.json["code"]) == (501, "QUEUE017")
    else:
        batch = {"results": [{"taskId": task["id"], **body}]}
        [item] = server.post("/tasks/batch/results", batch).json["results"]
        assert item["code"] == "QUEUE017"
    assert server.task(task["id"])["status"] == "IN_PROGRESS"


def test_weakness_25_each_delivery_counts_once(server: Server, command: str):
    made = server.create(command, maxAttempts=5)
    for delivery in range(1, 6):
        task = claimed(server, command, waitSeconds=5)
        assert task["attempts"] == delivery
        nack = {"leaseToken": task["leaseToken"], "delaySeconds": 0.01}
        server.post(f"/tasks/{task['id']}/nack", nack)
    assert server.task(made["id"])["attempts"] == 5
    assert server.task(made["id"])["lastKnownLocation"] == "DLQ_SET"


def test_weakness_26_the_error_of_a_failed_result_stays_with_the_task(server: Server, command: str):
    server.create(command)
    task = claimed(server, command)
    result(server, task, status="FAILED", error="no paper", result=None)
    seen = server.task(task["id"])
    assert (seen["status"], seen["error"]) == ("FAILED", "no paper")
    assert server.get(f"/admin/queues/{command}").json["dlq"] == 0


def test_weakness_27_the_reason_of_a_nack_is_kept_while_the_task_waits(
    server: Server, command: str
):
    server.create(command)
    task = claimed(server, command)
    nack = {"leaseToken": task["leaseToken"], "reason": "no ink", "delaySeconds": 60}
    server.post(f"/tasks/{task['id']}/nack", nack)
    [attempt] = server.get(f"/tasks/{task['id']}/attempts").json["attempts"]
    assert (attempt["outcome"], attempt["error"]) == ("nacked", "no ink")


@pytest.mark.parametrize("operation", ["heartbeat", "abandon", "nack", "result"])
def test_weakness_28_an_unknown_id_is_not_found(server: Server, operation: str):
    body = DONE if operation == "result" else {}
    assert server.post(f"/tasks/unknown/{operation}", body).status == 404


def test_weakness_30_a_broken_store_is_the_servers_fault(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        (tmp_path / "data" / "queue.db").rename(tmp_path / "elsewhere.db")
        refused = server.post("/tasks", {"command": "A", "payload": 1})
        assert refused.status == 503
        assert refused.json["code"] == "CORE046"


@pytest.mark.parametrize(
    "path", ["/tasks/claim", "/admin/tasks/cleanup", "/admin/audit", "/admin/queues/NONE/purge"]
)
def test_weakness_bodies_may_be_left_out_where_every_field_may(server: Server, path: str):
    assert server.post(path).status in (200, 204)


@pytest.mark.parametrize("operation", ["heartbeat", "abandon", "nack"])
def test_weakness_older_workers_send_no_body_and_no_token(
    server: Server, command: str, operation: str
):
    server.create(command)
    task = claimed(server, command)
    assert server.post(f"/tasks/{task['id']}/{operation}").status == 200


def test_weakness_no_command_is_built_in(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        for command in ("ANY_KIND", "OTHER_KIND"):
            server.create(command)
        listed = server.get("/admin/queues").json["data"]
        assert sorted(queue["command"] for queue in listed) == ["ANY_KIND", "OTHER_KIND"]
        text = server.get("/metrics", prefix="").body.decode()
        assert 'codeq_queue_depth{command="ANY_KIND",queue="ready"} 1' in text
        # A claim of nothing in particular is a claim of everything.
        seen = [server.post("/tasks/claim").json["command"] for _ in range(2)]
        assert sorted(seen) == ["ANY_KIND", "OTHER_KIND"]


def test_weakness_names_with_colons_do_not_collide(server: Server, command: str):
    names = [f"{command}:a:pending:0", f"{command}:a", f"{command}", command.lower()]
    for name in names:
        server.create(name)
    for name in names:
        assert claimed(server, name)["command"] == name
        assert server.claim(name) is None


def test_weakness_delays_are_finer_than_seconds(server: Server, command: str):
    before = time.time()
    made = server.create(command, delaySeconds=0.2)
    after = time.time()
    due = datetime.fromisoformat(made["runAt"]).timestamp()
    assert before + 0.199 < due < after + 0.201
    claimed(server, command, waitSeconds=5)
    assert time.time() > due - 0.001


def test_weakness_a_lease_has_an_upper_bound(server: Server, command: str):
    server.create(command)
    refused = server.post("/tasks/claim", {"commands": [command], "leaseSeconds": 1e7})
    assert (refused.status, refused.json["code"]) == (400, "QUEUE014")
