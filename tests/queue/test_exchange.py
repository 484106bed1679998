"""Results out and new work in by one request; and the batch calls of codeQ, which share its way.

Each test runs on a server that logs each task by itself, and on one that does not: the first asks
its store task by task, the second for the whole batch.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.queue.support import Server, serving
from tests.queue.test_auth import KEY, minted
from tests.queue.working import at_work, eventually

from backstay.queue.client import Ended, QueueClient, Refused
from backstay.queue.worker import Worker, WorkerSettings


@pytest.fixture(scope="module", params=["info", "debug"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    data = tmp_path_factory.mktemp("exchange") / "data"
    with serving(data, env={"LOG_LEVEL": request.param}) as found:
        yield found


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("strict") / "data"
    with serving(data, env={"JWT_SECRET": KEY}) as found:
        yield found


def filled(server: Server, command: str, count: int) -> None:
    tasks = [{"command": command, "payload": {"n": n}, "priority": n % 10} for n in range(count)]
    assert server.post("/tasks/batch", {"tasks": tasks}).status == 200


def claimed(server: Server, command: str, count: int) -> list[dict[str, Any]]:
    answer = server.post("/tasks/claim/batch", {"count": count, "commands": [command]})
    return answer.json["tasks"] if answer.status == 200 else []


def done(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = {"taskId": task["id"], "status": "COMPLETED", "result": {}}
    return {**body, "leaseToken": task["leaseToken"], **changes}


def test_what_a_claim_shows_is_what_the_task_says(server: Server, command: str):
    more = {"tags": ["a", "ü"], "key": 'k"1', "webhook": "http://127.0.0.1:9/x", "priority": 7}
    made = server.create(command, payload={"s": 'q"\\\n\u0001ö'}, maxAttempts=4, **more)
    [shown] = claimed(server, command, 5)
    assert shown.pop("leaseToken")
    assert shown == server.task(made["id"])
    assert shown["attempts"] == 1
    assert shown["payload"] == made["payload"]


def test_an_exchange_takes_results_and_gives_the_next_tasks(server: Server, command: str):
    filled(server, command, 5)
    first = claimed(server, command, 2)
    body = {"results": [done(task, result={"by": 1}) for task in first]}
    more = {"count": 10, "commands": [command], "leaseSeconds": 30}
    answer = server.post("/tasks/exchange", {**body, **more})
    assert answer.status == 200, answer.body
    assert answer.json["refused"] == []
    assert [task.get("priority", 0) for task in answer.json["tasks"]] == [2, 1, 0]
    for task in first:
        assert server.get(f"/tasks/{task['id']}/result").json["result"]["result"] == {"by": 1}
    rest = server.post("/tasks/exchange", {"results": [done(t) for t in answer.json["tasks"]]})
    assert rest.json == {"refused": [], "tasks": []}
    assert server.get(f"/tasks?command={command}&status=COMPLETED").json["data"][4]


def test_an_exchange_says_which_results_it_did_not_take(server: Server, command: str):
    filled(server, command, 4)
    tasks = claimed(server, command, 4)
    results = [
        done(tasks[0]),
        done(tasks[1], leaseToken="an old one"),
        done(tasks[2], status="MAYBE"),
        done({"id": "unknown", "leaseToken": "x"}),
        done(tasks[3], status="FAILED", error="broke"),
    ]
    answer = server.post("/tasks/exchange", {"results": results}).json
    refused = [(item["index"], item["taskId"], item["code"]) for item in answer["refused"]]
    assert refused == [
        (1, tasks[1]["id"], "QUEUE004"),
        (2, tasks[2]["id"], "QUEUE016"),
        (3, "unknown", "QUEUE001"),
    ]
    states = [server.task(task["id"])["status"] for task in tasks]
    assert states == ["COMPLETED", "IN_PROGRESS", "IN_PROGRESS", "FAILED"]


def test_the_answer_of_a_batch_of_results_names_each_of_them(server: Server, command: str):
    filled(server, command, 3)
    tasks = claimed(server, command, 3)
    results = [done(task, result={"n": n}) for n, task in enumerate(tasks)]
    answers = server.post("/tasks/batch/results", {"results": results}).json["results"]
    assert [each["taskId"] for each in answers] == [task["id"] for task in tasks]
    for n, each in enumerate(answers):
        stored = server.get(f"/tasks/{each['taskId']}/result").json["result"]
        assert each["result"] == stored
        assert stored["result"] == {"n": n}
    again = server.post("/tasks/batch/results", {"results": results}).json["results"]
    assert again == answers


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"count": 101}, "QUEUE015"),
        ({"count": -1}, "QUEUE015"),
        ({"results": [done({"id": "x", "leaseToken": "y"})] * 101}, "QUEUE015"),
        ({"count": 1, "leaseSeconds": 1e9}, "QUEUE014"),
        ({"counts": 1}, "CORE105"),
    ],
)
def test_a_bad_exchange_is_refused_as_a_whole(server: Server, body: dict[str, Any], code: str):
    answer = server.post("/tasks/exchange", body)
    assert (answer.status, answer.json["code"]) == (400, code), answer.body


def test_metrics_count_a_batch_task_by_task(server: Server, command: str):
    filled(server, command, 7)
    tasks = claimed(server, command, 7)
    server.post("/tasks/exchange", {"results": [done(task) for task in tasks]})
    text = server.get("/metrics", prefix="").body.decode()
    for line in (
        f'codeq_task_claimed_total{{command="{command}"}} 7',
        f'codeq_task_completed_total{{command="{command}",status="COMPLETED"}} 7',
        f'codeq_task_wait_seconds_count{{command="{command}"}} 7',
        f'codeq_task_processing_latency_seconds_count{{command="{command}",status="COMPLETED"}} 7',
    ):
        assert line in text, line


@pytest.mark.parametrize("scopes", [["codeq:claim"], ["codeq:result"]])
def test_an_exchange_needs_the_scopes_of_both(strict: Server, scopes: Sequence[str]):
    worker = {"kind": "worker", "claims": {"eventTypes": ["MINE"]}}
    refused = strict.post("/tasks/exchange", {"count": 1}, **minted(scopes, **worker))
    assert (refused.status, refused.json["code"]) == (403, "QUEUE009")
    both = minted(["codeq:claim", "codeq:result"], **worker)
    assert strict.post("/tasks/exchange", {"count": 1}, **both).json["tasks"] == []
    foreign = strict.post("/tasks/exchange", {"count": 1, "commands": ["OTHER"]}, **both)
    assert (foreign.status, foreign.json["code"]) == (403, "QUEUE008")


def test_an_exchange_stays_inside_its_tenant(strict: Server):
    everything = ["codeq:produce", "codeq:claim", "codeq:result"]
    acme, other = (minted(everything, tenant=name) for name in ("acme", "other"))
    for _ in range(2):
        strict.post("/tasks", {"command": "OURS", "payload": 1}, **acme)
    claim = {"count": 1, "commands": ["OURS"]}
    worker = {"kind": "worker", "claims": {"eventTypes": ["*"]}, "sub": "w"}
    scopes = ["codeq:claim", "codeq:result"]
    ours = minted(scopes, tenant="acme", **worker)
    theirs = minted(scopes, tenant="other", **worker)
    assert strict.post("/tasks/exchange", claim, **theirs).json["tasks"] == []
    [task] = strict.post("/tasks/exchange", claim, **ours).json["tasks"]
    stolen = strict.post("/tasks/exchange", {"results": [done(task)]}, **theirs).json
    assert [item["code"] for item in stolen["refused"]] == ["QUEUE001"]
    assert strict.post("/tasks/exchange", {"results": [done(task)]}, **ours).json["refused"] == []
    assert strict.get(f"/tasks/{task['id']}", **other).status == 404


async def test_of_two_results_for_one_task_the_client_tells_which_was_refused(
    server: Server, command: str
):
    await asyncio.to_thread(filled, server, command, 1)
    async with QueueClient(server.base_url) as client:
        [task] = await client.batch_claim_tasks(1, [command])
        results = [Ended(task.id, "old"), Ended(task.id, task.lease_token)]
        answers, tasks = await client.exchange(results, 5, [command])
    assert [each.code if each else "" for each in answers] == ["QUEUE004", ""]
    assert list(tasks) == []


# --- the worker ------------------------------------------------------------------------------


class Watched(QueueClient):
    """Counts the requests that bring results."""

    exchanges = 0
    plain = 0

    async def exchange(self, *given: Any, **named: Any) -> Any:
        type(self).exchanges += 1
        return await super().exchange(*given, **named)

    async def batch_submit_results(self, results: Sequence[Ended]) -> Sequence[Refused | None]:
        type(self).plain += 1
        return await super().batch_submit_results(results)


def counting(server: Server, kind: type[Watched], **changes: Any) -> Worker:
    settings = {"concurrency": 10, "wait": 1.0, "grace": 5.0, **changes}
    return Worker(lambda: kind(server.base_url, retries=0), WorkerSettings(**settings))


def completed(server: Server, command: str) -> int:
    found = server.get(f"/tasks?command={command}&status=COMPLETED&limit=200").json["data"]
    return len(found)


async def test_a_busy_worker_asks_for_work_with_its_results(server: Server, command: str):
    class Client(Watched):
        pass

    worker = counting(server, Client)

    @worker.task(command)
    async def work(payload: object) -> None:
        return

    await asyncio.to_thread(filled, server, command, 60)
    async with at_work(worker):
        await eventually(lambda: completed(server, command) == 60)
    assert Client.exchanges >= 5
    assert Client.plain <= 1  # what ended after it was told to stop


async def test_never_more_is_exchanged_than_there_are_places(server: Server, command: str):
    class Client(Watched):
        pass

    worker = counting(server, Client, concurrency=3)
    running: set[int] = set()
    most: list[int] = []

    @worker.task(command)
    async def work(payload: dict[str, int]) -> None:
        running.add(payload["n"])
        most.append(len(running))
        await asyncio.sleep(0.002)
        running.discard(payload["n"])

    await asyncio.to_thread(filled, server, command, 40)
    async with at_work(worker):
        await eventually(lambda: completed(server, command) == 40)
    assert max(most) <= 3
    assert Client.exchanges > 0


async def test_a_queue_that_does_not_exchange_is_told_and_asked_by_itself(
    server: Server, command: str
):
    class Older(Watched):
        async def exchange(self, *given: Any, **named: Any) -> Any:
            """As an older server answers: this one has no such route."""
            type(self).exchanges += 1
            await self._post("/tasks/exchanges/none", {}, role="worker")

    worker = counting(server, Older)

    @worker.task(command)
    async def work(payload: object) -> None:
        return

    await asyncio.to_thread(filled, server, command, 30)
    async with at_work(worker):
        await eventually(lambda: completed(server, command) == 30)
    assert Older.exchanges == 1
    assert Older.plain >= 3


async def test_what_comes_after_the_worker_was_stopped_is_handed_back(server: Server, command: str):
    begun: list[int] = []

    class Stopping(Watched):
        async def exchange(self, *given: Any, **named: Any) -> Any:
            answers, tasks = await super().exchange(*given, **named)
            worker.stop()
            type(self).plain += len(tasks)
            return answers, tasks

    worker = counting(server, Stopping, concurrency=2)

    @worker.task(command)
    async def work(payload: dict[str, int]) -> None:
        begun.append(payload["n"])

    await asyncio.to_thread(filled, server, command, 6)
    async with at_work(worker):
        await eventually(lambda: len(begun) >= 2)
    assert Stopping.exchanges >= 1
    assert len(begun) == completed(server, command)
    left = server.get(f"/tasks?command={command}&status=PENDING").json["data"]
    assert len(left) == 6 - len(begun)
    assert {task.get("attempts", 0) for task in left} == {0}


async def test_too_many_claims_do_not_hold_up_results(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("limited")
    config = folder / "config.yaml"
    config.write_text("rateLimit:\n  worker: {requestsPerMinute: 6, burstSize: 1}\n")
    with serving(folder / "data", "--config", str(config), env={"JWT_SECRET": KEY}) as server:
        produce = minted(["codeq:produce"])
        task = server.post("/tasks", {"command": "ONE", "payload": 1}, **produce).json
        claims = {"eventTypes": ["ONE"]}
        scopes = ["codeq:claim", "codeq:result", "codeq:heartbeat"]
        bearer = minted(scopes, kind="worker", claims=claims)["headers"]["Authorization"]
        token = bearer.removeprefix("Bearer ")
        worker = Worker(
            lambda: QueueClient(server.base_url, worker_token=token, retries=0),
            WorkerSettings(concurrency=2, wait=0.5, grace=1.0),
        )

        @worker.task("ONE")
        async def work(payload: object) -> None:
            return

        async with at_work(worker):
            path = f"/tasks/{task['id']}"
            await eventually(lambda: server.get(path, **produce).json["status"] == "COMPLETED")
        requests = [line for line in server.log() if line.get("path", "").endswith("/exchange")]
        assert [line["status"] for line in requests] == [429]
