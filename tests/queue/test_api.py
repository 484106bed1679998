"""The codeQ routes of a real server: what is answered, and what is refused in which words."""

import threading
import time
from typing import Any

import pytest
from tests.queue.support import Server, until


def test_a_task_goes_round(server: Server, command: str):
    made = server.create(command, payload={"n": 1}, priority=3)
    assert made["status"] == "PENDING"
    assert made["payload"] == '{"n": 1}'
    assert made["priority"] == 3
    assert made["tenantId"] == "default"
    task = server.claim(command, leaseSeconds=600)
    assert task is not None
    assert (task["id"], task["status"], task["attempts"]) == (made["id"], "IN_PROGRESS", 1)
    assert "leaseToken" not in server.task(task["id"])
    done = server.post(
        f"/tasks/{task['id']}/result",
        {"status": "COMPLETED", "result": {"ok": [1]}, "leaseToken": task["leaseToken"]},
    )
    assert done.status == 200
    assert done.json["result"] == {"ok": [1]}
    both = server.get(f"/tasks/{task['id']}/result").json
    assert both["task"]["status"] == both["result"]["status"] == "COMPLETED"
    assert both["result"]["result"] == {"ok": [1]}


@pytest.mark.seed("Q10")
def test_healthz_is_ok_while_the_store_works_and_names_it_when_it_does_not(tmp_path):
    from tests.queue.support import serving

    with serving(tmp_path / "data") as server:
        answer = server.get("/healthz", prefix="")
        assert (answer.status, answer.json["status"]) == (200, "ok")
        (tmp_path / "data" / "queue.db").rename(tmp_path / "elsewhere.db")
        sick = until(lambda: _unless_ok(server))
        assert sick.status == 503
        assert "store" in sick.json["error"]
        assert str(tmp_path / "data" / "queue.db") in sick.json["error"]
        refused = server.post("/tasks", {"command": "A", "payload": {}})
        assert (refused.status, refused.json["code"]) == (503, "CORE046")
        (tmp_path / "elsewhere.db").rename(tmp_path / "data" / "queue.db")
        until(lambda: server.get("/healthz", prefix="").status == 200)


def _unless_ok(server: Server) -> Any:
    answer = server.get("/healthz", prefix="")
    return answer if answer.status != 200 else None


@pytest.mark.seed("Q16")
def test_payload_size_is_limited_by_configuration(server: Server, command: str):
    large = server.post("/tasks", {"command": command, "payload": "x" * 20_000})
    assert large.status == 413
    assert "20000" in large.json["error"]
    assert server.get(f"/tasks?command={command}").json["data"] == []
    huge = server.post("/tasks", {"command": command, "payload": "x" * 200_000})
    assert huge.status == 413
    assert server.get(f"/tasks?command={command}").json["data"] == []
    fits = server.post("/tasks", {"command": command, "payload": "x" * 19_998})
    assert fits.status == 202


@pytest.mark.seed("Q17")
def test_every_answer_has_a_request_id_that_the_log_knows(server: Server):
    paths = (("GET", "/tasks"), ("GET", "/tasks/none"), ("POST", "/tasks"), ("GET", "/nowhere"))
    for n, (method, path) in enumerate(paths):
        given = server.call(method, path, headers={"X-Request-Id": f"given-{n}"})
        assert given.headers["x-request-id"] == f"given-{n}"
        line = _line(server, f"given-{n}")
        assert (line["method"], line["path"]) == (method, f"/v1/codeq{path}")
        assert line["status"] == given.status
        assert line["duration"] > 0
        made = server.call(method, path).headers["x-request-id"]
        assert _line(server, made)["status"] == given.status


def _line(server: Server, request_id: str) -> dict[str, Any]:
    return until(
        lambda: next(
            (
                line
                for line in server.log()
                if line.get("request_id") == request_id and line["msg"] == "http request"
            ),
            None,
        )
    )


@pytest.mark.seed("Q18")
def test_wait_seconds_is_the_longest_wait_and_an_arrival_ends_it(server: Server, command: str):
    began = time.monotonic()
    assert server.claim(command, waitSeconds=0) is None
    assert time.monotonic() - began < 0.5
    began = time.monotonic()
    assert server.claim(command, waitSeconds=1) is None
    assert 0.9 < time.monotonic() - began < 2.0
    for wait in (5, 10):
        taken: list[float] = []
        claiming = threading.Thread(
            target=lambda: taken.append(_claimed_at(server, command, wait))  # noqa: B023
        )
        claiming.start()
        until(lambda: server.get(f"/admin/queues/{command}").json["waitingClaims"] == 1)
        sent = time.monotonic()
        server.create(command)
        claiming.join(20)
        assert taken[0] - sent < 1.0


def _claimed_at(server: Server, command: str, wait: float) -> float:
    assert server.claim(command, waitSeconds=wait) is not None
    return time.monotonic()


@pytest.mark.seed("Q22")
def test_a_living_lease_is_exclusive_and_an_ended_one_is_not(server: Server, command: str):
    made = server.create(command)
    first = server.claim(command, leaseSeconds=0.6)
    assert first is not None
    assert server.claim(command) is None
    second = server.claim(command, waitSeconds=10)
    assert second is not None
    assert second["id"] == made["id"]
    assert second["attempts"] == 2
    late = server.post(
        f"/tasks/{made['id']}/result",
        {"status": "COMPLETED", "result": {}, "leaseToken": first["leaseToken"]},
    )
    assert late.status == 409


def test_a_heartbeat_keeps_the_task_past_its_first_lease(server: Server, command: str):
    server.create(command)
    task = server.claim(command, leaseSeconds=0.6)
    assert task is not None
    for _ in range(4):
        beat = {"extendSeconds": 0.6, "leaseToken": task["leaseToken"]}
        assert server.post(f"/tasks/{task['id']}/heartbeat", beat).json["ok"] is True
        assert server.claim(command, waitSeconds=0.4) is None
    assert server.task(task["id"])["status"] == "IN_PROGRESS"


@pytest.mark.seed("Q25")
def test_a_nacked_task_comes_back_after_the_policys_delay_and_the_log_says_why(
    server: Server, command: str
):
    made = server.create(command)
    task = server.claim(command)
    assert task is not None
    nack = server.post(
        f"/tasks/{task['id']}/nack", {"reason": "no cartons", "leaseToken": task["leaseToken"]}
    )
    assert nack.json == {"status": "requeued", "delaySeconds": 0.3}
    began = time.monotonic()
    assert server.claim(command, waitSeconds=5) is not None
    assert 0.2 < time.monotonic() - began < 1.5
    line = next(line for line in server.log() if line.get("reason") == "no cartons")
    assert line["task_id"] == made["id"]
    assert line["delay"] == 0.3


@pytest.mark.seed("Q27")
@pytest.mark.parametrize("limit", [0, 3])
def test_a_task_that_always_fails_is_delivered_exactly_that_often(
    server: Server, command: str, limit: int
):
    made = server.create(command, maxAttempts=limit)
    expected = limit or 10  # the configuration's maxAttemptsDefault
    answers = []
    for _ in range(expected):
        task = server.claim(command, waitSeconds=5)
        assert task is not None
        answers.append(
            server.post(
                f"/tasks/{task['id']}/nack",
                {"reason": "never", "delaySeconds": 0.01, "leaseToken": task["leaseToken"]},
            ).json["status"]
        )
    assert answers == ["requeued"] * (expected - 1) + ["dlq"]
    assert server.claim(command, waitSeconds=0.5) is None
    dead = server.task(made["id"])
    assert (dead["status"], dead["attempts"], dead["error"]) == ("FAILED", expected, "never")
    assert server.get(f"/admin/queues/{command}").json["dlq"] == 1


def test_outcomes_come_until_they_are_acknowledged(server: Server, command: str):
    reader = f"{command}.reader"
    path = f"/replies/{reader}"
    made = server.create(command, replyTo=reader, idempotencyKey="step-1")
    task = server.claim(command)
    assert task is not None
    server.post(
        f"/tasks/{task['id']}/result",
        {"status": "FAILED", "error": "no", "leaseToken": task["leaseToken"]},
    )
    answer = server.get(f"{path}?waitSeconds=5")
    expected = {"taskId": made["id"], "key": "step-1", "ok": False, "output": "", "error": "no"}
    assert answer.json == {"outcomes": [expected]}
    assert server.post(f"{path}/ack", {"taskIds": [made["id"]]}).json == {"acknowledged": 1}
    assert server.get(path).json == {"outcomes": []}


def test_pages_go_by_cursor(server: Server, command: str):
    made = [server.create(command, payload=n)["id"] for n in range(5)]
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = server.get(f"/tasks?command={command}&limit=2&cursor={cursor}").json
        seen += [task["id"] for task in page["data"]]
        cursor = page["pagination"]["next_cursor"]
    assert seen == made
    assert page["pagination"]["has_next"] is False
    assert len(server.get(f"/tasks?command={command}&status=pending").json["data"]) == 5
    assert server.get(f"/tasks?command={command}&state=dead").json["data"] == []


def test_cancel_ends_a_task_and_its_worker_is_told(server: Server, command: str):
    server.create(command)
    task = server.claim(command)
    assert task is not None
    cancelled = server.post(f"/tasks/{task['id']}/cancel", {"reason": "changed my mind"})
    assert (cancelled.json["status"], cancelled.json["error"]) == ("CANCELLED", "changed my mind")
    beat = server.post(f"/tasks/{task['id']}/heartbeat", {"leaseToken": task["leaseToken"]})
    assert (beat.status, beat.json["code"]) == (409, "QUEUE003")


BAD: list[tuple[str, object, int, str]] = [
    ("/tasks", b"{", 400, "CORE104"),
    ("/tasks", {"command": "A"}, 400, "CORE105"),
    ("/tasks", {"command": 1, "payload": 1}, 400, "CORE105"),
    ("/tasks", {"command": "A", "payload": 1, "prioritty": 2}, 400, "CORE105"),
    ("/tasks", {"command": "A", "payload": None}, 400, "QUEUE011"),
    ("/tasks", {"command": " ", "payload": 1}, 400, "QUEUE010"),
    ("/tasks", {"command": "*", "payload": 1}, 400, "QUEUE010"),
    ("/tasks", {"command": "A", "payload": 1, "priority": 1.5}, 400, "CORE105"),
    ("/tasks", {"command": "A", "payload": 1, "runAt": "tomorrow"}, 400, "QUEUE013"),
    ("/tasks", {"command": "A", "payload": 1, "delaySeconds": -1}, 400, "QUEUE014"),
    ("/tasks", {"command": "A", "payload": 1, "webhook": "ftp://x"}, 400, "QUEUE022"),
    ("/tasks", {"command": "A", "payload": 1, "replyTo": "a/b"}, 400, "QUEUE021"),
    ("/tasks", {"command": "A", "payload": 1, "idempotencyKey": "k" * 513}, 400, "QUEUE021"),
    ("/tasks/batch", {"tasks": []}, 400, "QUEUE015"),
    ("/tasks/claim", {"leaseSeconds": 1e9}, 400, "QUEUE014"),
    ("/tasks/claim", b"[]", 400, "CORE105"),
    ("/tasks/claim/batch", {"count": 101}, 400, "QUEUE015"),
    ("/tasks/x/result", {"status": "DONE"}, 400, "QUEUE016"),
    ("/tasks/x/result", {"status": "COMPLETED", "result": 1}, 400, "QUEUE016"),
    ("/tasks/x/result", {"status": "FAILED", "error": " "}, 400, "QUEUE016"),
    ("/tasks/x/heartbeat", {}, 404, "QUEUE001"),
    ("/tasks/x/abandon", None, 404, "QUEUE001"),
    ("/tasks/x/nack", None, 404, "QUEUE001"),
    ("/tasks/batch/heartbeat", {"heartbeats": []}, 400, "QUEUE015"),
    ("/tasks", {"command": "A", "payload": 1, "tags": [""]}, 400, "QUEUE021"),
    ("/tasks", {"command": "A", "payload": 1, "tags": ["t"] * 17}, 400, "QUEUE021"),
    ("/tasks", {"command": "A", "payload": 1, "key": "k" * 129}, 400, "QUEUE021"),
    ("/tasks/cancel", {"status": "READY"}, 400, "QUEUE023"),
    ("/tasks/cancel", {"command": "A", "status": "ODD"}, 400, "QUEUE018"),
    ("/tasks/x/retry", None, 404, "QUEUE001"),
    ("/tasks/x/reschedule", {"runAt": "soon"}, 400, "QUEUE013"),
    ("/admin/queues/A/redrive", {"filter": {"status": "READY"}}, 400, "QUEUE018"),
    ("/admin/queues/A/redrive", {"ratePerSecond": -1}, 400, "CORE105"),
    ("/admin/queues/A/purge", {"status": "PENDING"}, 400, "QUEUE018"),
    ("/admin/tasks/cleanup", {"before": "yesterday"}, 400, "QUEUE013"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), BAD)
def test_bad_input_has_its_own_answer(
    server: Server, path: str, body: object, status: int, code: str
):
    answer = server.post(path, body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["error"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "status=ODD", "state=odd", "cursor=x", "statsu=READY"]
)
def test_bad_queries_are_named(server: Server, query: str):
    answer = server.get(f"/tasks?{query}")
    assert (answer.status, answer.json["code"]) == (400, "QUEUE018")


def test_metrics_count_what_happened(server: Server, command: str):
    server.create(command)
    task = server.claim(command)
    assert task is not None
    server.create(command)
    text = server.get("/metrics", prefix="").body.decode()
    assert f'codeq_task_created_total{{command="{command}"}} 2\n' in text
    assert f'codeq_task_claimed_total{{command="{command}"}} 1\n' in text
    assert f'codeq_queue_depth{{command="{command}",queue="ready"}} 1\n' in text
    assert f'codeq_queue_depth{{command="{command}",queue="in_progress"}} 1\n' in text
    assert "codeq_store_commits_total" in text


@pytest.mark.seed("Q13")
@pytest.mark.parametrize(("level", "debug"), [("debug", True), ("info", False)])
def test_log_level_is_honoured(tmp_path, level: str, debug: bool):
    from tests.queue.support import serving

    with serving(tmp_path / "data", env={"LOG_LEVEL": level}) as server:
        server.create("A")
        server.claim("A")
        assert server.stop() == 0
        assert any(line["level"] == "debug" for line in server.log()) is debug
        assert any(line["level"] == "info" for line in server.log())


@pytest.mark.parametrize(
    ("path", "feature"),
    [
        ("/admin/topics", "topics"),
        ("/admin/topics/x", "topics"),
        ("/artifacts", "artifacts"),
        ("/admin/artifacts", "artifacts"),
        ("/raft/status", "raft"),
    ],
)
def test_what_this_version_does_not_serve_is_refused_by_name(
    server: Server, path: str, feature: str
):
    refused = server.get(path)
    assert (refused.status, refused.json["code"]) == (501, "QUEUE017")
    assert feature in refused.json["error"]
