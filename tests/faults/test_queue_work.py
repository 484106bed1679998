"""Faults of workers and tasks, made with real servers; the doctor names each of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.consulting import apply, assert_mended, assert_named, assert_silent
from tests.queue.support import Server, serving, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data") as served:
        yield served


def work_off(server: Server, command: str = "PRINT") -> None:
    """Everything that may be claimed."""
    while task := server.claim(command):
        result = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
        assert server.post(f"/tasks/{task['id']}/result", result).status == 200


def nack(server: Server, command: str, **fields: object) -> None:
    task = server.claim(command)
    assert task is not None
    body = {"leaseToken": task["leaseToken"], "reason": "no ink", **fields}
    assert server.post(f"/tasks/{task['id']}/nack", body).status == 200


def test_a_queue_that_works_is_left_in_peace(server: Server) -> None:
    for _ in range(5):
        server.create("PRINT")
        work_off(server)
    server.create("PRINT", delaySeconds=600)
    assert_silent(server)
    # Also somebody who asks gets no made-up answer.
    assert_silent(server, "the count of PRINT looks wrong")


def test_a_worker_asks_for_another_command(server: Server) -> None:
    server.create("GENERATE_MASTER")
    server.claim("GENERATE_MASTRE", waitSeconds=0)
    found = assert_named(server, "other-command", "the worker is not claiming GENERATE_MASTER")
    assert "GENERATE_MASTRE" in found["says"]


def test_a_queue_is_paused(server: Server) -> None:
    server.create("PRINT")
    assert server.post("/admin/queues/PRINT/pause", {}).status == 200
    assert server.claim("PRINT") is None
    assert_named(server, "queue-paused", "my worker never claims anything of PRINT")
    late = "tasks of PRINT are late"
    found = assert_named(server, "pause-delays", late)
    apply(found, "resume", CODEQ_BASE_URL=server.base_url)
    work_off(server)
    assert_mended(server, late)


BOUNDS = [{"concurrency": 1}, {"rate": 0.001}, {"keyConcurrency": 1}, {"keyRate": 0.001}]


@pytest.mark.parametrize("bound", BOUNDS, ids=str)
def test_a_queue_is_at_its_bound(server: Server, bound: dict[str, float]) -> None:
    for _ in range(2):
        server.create("PRINT", key="one")
    answer = server.call("PUT", "/admin/queues/PRINT/policy", bound)
    assert answer.status == 200, answer.body
    assert server.claim("PRINT") is not None
    assert server.claim("PRINT") is None
    assert_named(server, "queue-bounded", "the worker gets nothing, PRINT is not claiming")
    late = "tasks of PRINT are late"
    found = assert_named(server, "bounds-delay", late)
    assert "holds 1 tasks back" in found["says"]
    where = {"CODEQ_BASE_URL": server.base_url}
    for name, value in bound.items():
        assert re.search(rf"{name}: +{value}\n", apply(found, "bounds", **where))
    apply(found, "unbound", **where)
    work_off(server)
    assert_mended(server, late)


def test_the_tasks_are_not_due(server: Server) -> None:
    server.create("PRINT", delaySeconds=600)
    assert_named(server, "tasks-put-off", "worker is idle, never claims PRINT")


def test_others_hold_the_tasks(server: Server) -> None:
    server.create("PRINT")
    assert server.claim("PRINT", leaseSeconds=600) is not None
    assert_named(server, "tasks-leased", "the worker never claims PRINT")


def test_there_is_no_task(server: Server) -> None:
    assert server.claim("PRINT") is None
    assert_named(server, "no-tasks", "the worker never claims PRINT")


def test_the_lease_is_shorter_than_the_work(server: Server) -> None:
    for _ in range(3):
        server.create("RENDER", maxAttempts=1)
        task = server.claim("RENDER", leaseSeconds=0.1)
        assert task is not None
        path = f"/tasks/{task['id']}"
        until(
            lambda path=path: (
                server.get(path).json["status"] == "DEAD_LETTER"
                or server.get(path).json["status"] == "FAILED"
            ),
            10.0,
        )
        late = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
        assert server.post(f"{path}/result", late).status == 409
    assert_named(server, "lease-too-short", "--only", "lease-expired")


def test_workers_die_at_the_work(server: Server) -> None:
    for _ in range(4):
        server.create("RENDER", maxAttempts=1)
        assert server.claim("RENDER", leaseSeconds=0.1) is not None
    assert_named(server, "worker-lost", "--only", "lease-expired")


def test_tasks_fail_again_and_again(server: Server) -> None:
    for _ in range(6):
        server.create("PRINT")
        nack(server, "PRINT")
    found = assert_named(server, "tasks-fail")
    assert "6 deliveries of PRINT" in found["says"]


def test_tasks_are_tried_again_at_once(tmp_path: Path) -> None:
    quick = {"BACKOFF_BASE_SECONDS": "0.05", "BACKOFF_MAX_SECONDS": "0.1"}
    with serving(tmp_path / "data", env=quick) as server:
        server.create("PRINT", maxAttempts=20)
        for _ in range(6):
            until(lambda: nack_one(server), 10.0)
        assert_named(server, "backoff-too-short")


def nack_one(server: Server) -> bool:
    task = server.claim("PRINT", waitSeconds=1)
    if task is None:
        return False
    path = f"/tasks/{task['id']}/nack"
    return server.post(path, {"leaseToken": task["leaseToken"]}).status == 200


def test_tasks_have_failed_for_the_last_time(server: Server) -> None:
    server.create("PRINT", maxAttempts=1)
    nack(server, "PRINT")
    found = assert_named(server, "dead-letters")
    assert found["fixes"][0]["command"] == "codeq queue inspect PRINT --dlq"


def test_workers_do_not_keep_up(server: Server) -> None:
    for _ in range(3):
        server.create("PRINT")
    assert server.claim("PRINT", leaseSeconds=600) is not None
    assert_named(server, "too-few-workers", "tasks of PRINT are too slow, they are late")


def test_tasks_wait_for_their_next_try(server: Server) -> None:
    server.create("PRINT")
    nack(server, "PRINT", delaySeconds=600)
    assert_named(server, "backoff-delays", "tasks of PRINT come with a delay")
