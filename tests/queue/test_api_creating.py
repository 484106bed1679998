"""What a creation may say to a real server: priority, time, key, many at once."""

import time

import pytest
from tests.queue.support import Server, until


@pytest.mark.seed("Q41")
def test_higher_priority_first_and_first_in_first_out_inside_it(server: Server, command: str):
    for n, priority in enumerate((0, 5, 9, 5, 0, 9)):
        server.create(command, payload=n, priority=priority)
    order = []
    while task := server.claim(command):
        order.append(int(task["payload"]))
    assert order == [2, 5, 1, 3, 0, 4]


def test_a_priority_outside_0_to_9_counts_as_the_nearest_as_in_codeq(server: Server, command: str):
    for n, priority in enumerate((-3, 0, 9, 10**20, 10)):
        made = server.create(command, payload=n, priority=priority)
        assert made.get("priority", 0) == (9 if n > 1 else 0)
    order = []
    while task := server.claim(command):
        order.append(int(task["payload"]))
    assert order == [2, 3, 4, 0, 1]
    first = server.create(command, priority=10, idempotencyKey="once")
    assert server.create(command, priority=9, idempotencyKey="once")["id"] == first["id"]


@pytest.mark.seed("Q45")
@pytest.mark.parametrize("watched", [True, False])
def test_a_delayed_task_comes_no_earlier_and_soon_after_its_time(
    server: Server, command: str, watched: bool
):
    began = time.monotonic()
    made = server.create(command, delaySeconds=1)
    assert server.claim(command) is None
    if watched:
        task = server.claim(command, waitSeconds=10)
        took = time.monotonic() - began
    else:
        until(lambda: server.task(made["id"])["lastKnownLocation"] == "PENDING_LIST")
        took = time.monotonic() - began
        task = server.claim(command)
    assert task is not None
    assert 0.99 < took < 1.8


def test_run_at_beats_delay_and_the_past_is_now(server: Server, command: str):
    server.create(command, runAt="2020-01-01T00:00:00Z", delaySeconds=100)
    assert server.claim(command) is not None


def test_an_idempotency_key_gives_the_first_task_or_a_conflict(server: Server, command: str):
    first = server.create(command, idempotencyKey="k", payload={"n": 1})
    again = server.create(command, idempotencyKey="k", payload={"n": 1})
    assert again["id"] == first["id"]
    clash = server.post("/tasks", {"command": command, "payload": 2, "idempotencyKey": "k"})
    assert (clash.status, clash.json["code"]) == (409, "QUEUE005")
    assert clash.json["error"].startswith("idempotency conflict")


def test_batches_stand_and_fail_item_by_item(server: Server, command: str):
    bodies = [
        {"command": command, "payload": 1},
        {"command": "", "payload": 2},
        {"command": command, "payload": None},
        {"command": command, "payload": 4},
    ]
    results = server.post("/tasks/batch", {"tasks": bodies}).json["results"]
    assert ["task" in result for result in results] == [True, False, False, True]
    assert [result.get("code") for result in results[1:3]] == ["QUEUE010", "QUEUE011"]
    claimed = server.post("/tasks/claim/batch", {"count": 5, "commands": [command]}).json["tasks"]
    assert [task["payload"] for task in claimed] == ["1", "4"]
    answers = server.post(
        "/tasks/batch/results",
        {
            "results": [
                {
                    "taskId": claimed[0]["id"],
                    "status": "COMPLETED",
                    "result": {},
                    "leaseToken": claimed[0]["leaseToken"],
                },
                {"taskId": claimed[1]["id"], "status": "FAILED"},
                {"taskId": "unknown", "status": "FAILED", "error": "x"},
            ]
        },
    ).json["results"]
    assert answers[0]["result"]["status"] == "COMPLETED"
    assert [answer["code"] for answer in answers[1:]] == ["QUEUE016", "QUEUE001"]
