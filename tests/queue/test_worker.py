"""The worker SDK against a real server."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import msgspec
import pytest
from tests.queue.support import Server, ended
from tests.queue.working import at_work, eventually, worker_for

from backstay.core.errors import Fault
from backstay.queue.client import QueueClient
from backstay.queue.worker import (
    Job,
    Reject,
    Release,
    Retry,
    Worker,
    WorkerSettings,
    current_job,
)


class Sum(msgspec.Struct):
    a: int
    b: int


async def test_async_and_plain_functions_serve_their_commands(server: Server, command: str):
    worker = worker_for(server)

    @worker.task(f"{command}_A")
    async def double(payload: dict[str, int]) -> dict[str, int]:
        return {"twice": payload["n"] * 2}

    @worker.task(f"{command}_B")
    def thread(payload: dict[str, int], job: Job) -> dict[str, object]:
        return {
            "main": threading.current_thread() is threading.main_thread(),
            "attempt": job.attempt,
        }

    first = server.create(f"{command}_A", payload={"n": 21})
    second = server.create(f"{command}_B")
    async with at_work(worker):
        await eventually(ended(server, first))
        await eventually(ended(server, second))
    assert server.get(f"/tasks/{first['id']}/result").json["result"]["result"] == {"twice": 42}
    told = server.get(f"/tasks/{second['id']}/result").json["result"]["result"]
    assert told == {"main": False, "attempt": 1}


async def test_exceptions_decide_what_becomes_of_the_task(server: Server, command: str):
    worker = worker_for(server)
    released: list[int] = []

    @worker.task(command)
    async def work(payload: str) -> None:
        if payload == "failed":
            raise Reject("card declined")
        if payload == "retry":
            raise Retry("later", 0.01)
        if payload == "release" and not released:
            released.append(1)
            raise Release
        if payload == "bug":
            raise KeyError("sku")

    def make(payload: str) -> dict[str, Any]:
        return server.create(command, payload=payload, maxAttempts=1)

    tasks = {name: make(name) for name in ("failed", "retry", "release", "bug")}
    async with at_work(worker):
        found = {name: await eventually(ended(server, task)) for name, task in tasks.items()}
    seen = {name: (task["status"], task.get("error")) for name, task in found.items()}
    assert seen == {
        "failed": ("FAILED", "card declined"),
        "retry": ("FAILED", "later"),
        "release": ("COMPLETED", None),
        "bug": ("FAILED", "KeyError: 'sku'"),
    }
    assert found["release"]["attempts"] == 1


async def test_a_worker_without_tasks_says_so(server: Server):
    with pytest.raises(Fault) as caught:
        await worker_for(server).serve()
    assert caught.value.entry.code == "QUEUE050"


def test_importing_the_sdk_pulls_no_server_library():
    heavy = ("granian", "uvloop", "apsw", "aiohttp", "click", "rich", "httptools", "joserfc")
    heavy += ("structlog", "prometheus_client", "yaml")
    program = (
        "import sys, backstay.queue.worker\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stderr


async def test_an_object_that_is_called_like_a_coroutine_function_is_awaited(
    server: Server, command: str
):
    class Packer:
        async def __call__(self, payload: int) -> int:
            return payload + 1

    worker = worker_for(server)
    worker.task(command)(Packer())
    task = server.create(command, payload=1)
    async with at_work(worker):
        await eventually(ended(server, task))
    assert server.get(f"/tasks/{task['id']}/result").json["result"]["result"] == {"value": 2}


async def test_a_payload_is_decoded_to_its_annotation_and_a_bad_one_fails_its_task_alone(
    server: Server, command: str
):
    worker = worker_for(server)

    @worker.task(command)
    async def add(payload: Sum) -> dict[str, int]:
        return {"sum": payload.a + payload.b}

    good = server.create(command, payload={"a": 1, "b": 2})
    bad = server.create(command, payload={"a": 1, "b": "two"})
    after = server.create(command, payload={"a": 3, "b": 4})
    async with at_work(worker):
        for task in (good, bad, after):
            await eventually(ended(server, task))
    failed = server.task(bad["id"])
    assert failed["status"] == "FAILED"
    assert failed["error"] == "bad payload: Expected `int`, got `str` - at `$.b`"
    assert server.get(f"/tasks/{after['id']}/result").json["result"]["result"] == {"sum": 7}


async def test_never_more_is_claimed_than_there_are_free_places(server: Server, command: str):
    worker = worker_for(server, concurrency=3)
    let_go = asyncio.Event()
    running: set[str] = set()

    @worker.task(command)
    async def work(payload: object, job: Job) -> None:
        running.add(job.id)
        await let_go.wait()

    for _ in range(8):
        server.create(command)
    async with at_work(worker):
        await eventually(lambda: len(running) == 3)
        depth = server.get(f"/admin/queues/{command}").json
        assert (depth["inProgress"], depth["ready"]) == (3, 5)
        let_go.set()
        await eventually(lambda: len(running) == 8)


async def test_plain_functions_run_side_by_side_up_to_the_concurrency(server: Server, command: str):
    worker = worker_for(server, concurrency=12)
    together = threading.Barrier(12, timeout=20)

    @worker.task(command)
    def work(payload: object) -> None:
        together.wait()  # passes only when twelve threads are in here at once

    tasks = [server.create(command, maxAttempts=1) for _ in range(12)]
    async with at_work(worker):
        for task in tasks:
            found = await eventually(ended(server, task))
            assert found["status"] == "COMPLETED", found


async def test_results_that_are_ready_together_go_in_one_request(server: Server, command: str):
    sent: list[int] = []

    class Counting(QueueClient):
        async def batch_submit_results(self, results: Any) -> Any:
            sent.append(len(results))
            return await super().batch_submit_results(results)

        async def exchange(self, results: Any, *more: Any, **named: Any) -> Any:
            sent.append(len(results))
            return await super().exchange(results, *more, **named)

    settings = WorkerSettings(concurrency=50, lease=5.0)
    worker = Worker(lambda: Counting(server.base_url), settings)
    started: list[str] = []
    everybody = asyncio.Event()

    @worker.task(command)
    async def work(payload: object, job: Job) -> None:
        started.append(job.id)
        if len(started) == 50:
            everybody.set()
        await everybody.wait()

    body = {"tasks": [{"command": command, "payload": n} for n in range(50)]}
    server.post("/tasks/batch", body)
    async with at_work(worker):
        await eventually(lambda: sum(sent) == 50)
    assert sent == [50]
    assert server.get(f"/tasks?command={command}&status=COMPLETED").json["data"]


async def test_progress_is_seen_while_the_task_runs(server: Server, command: str):
    worker = worker_for(server)
    let_go = asyncio.Event()

    @worker.task(command)
    async def work(payload: object, job: Job) -> None:
        job.progress({"done": 3, "of": 10})
        await let_go.wait()

    task = server.create(command)
    async with at_work(worker):
        await eventually(lambda: server.task(task["id"]).get("progress") == {"done": 3, "of": 10})
        let_go.set()


async def test_a_job_knows_its_context_and_its_logs_carry_it(
    server: Server, command: str, caplog: pytest.LogCaptureFixture
):
    worker = worker_for(server)
    seen: list[Job] = []

    @worker.task(command)
    def work(payload: object) -> None:
        seen.append(current_job())
        current_job().log.warning("packing")

    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = server.post(
        "/tasks", {"command": command, "payload": 1}, headers={"traceparent": trace}
    )
    task = answer.json
    async with at_work(worker):
        await eventually(ended(server, task))
    [job] = seen
    assert (job.id, job.attempt, job.traceparent) == (task["id"], 1, trace)
    record = next(each for each in caplog.records if each.message == "packing")
    assert vars(record)["task_id"] == task["id"]
    # The server's log has the claim under the same request id.
    assert any(line.get("request_id") == job.request_id for line in server.log())


def test_a_function_that_could_never_be_called_is_refused_when_it_is_registered():
    worker = Worker(QueueClient)
    with pytest.raises(TypeError, match="must take the payload"):
        worker.task("A")(lambda: None)
    with pytest.raises(TypeError, match="cannot be stopped"):
        worker.task("A", timeout=1)(lambda payload: None)

    def unknown(payload: "NoSuchType") -> None:  # noqa: F821 - that is the point
        """Never called."""

    with pytest.raises(TypeError, match="NoSuchType"):
        worker.task("A")(unknown)


@pytest.mark.parametrize("name", ["CODEQ_CONCURRENCY", "CODEQ_LEASE_SECONDS"])
def test_a_setting_of_the_environment_that_is_no_number_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv(name, "many")
    with pytest.raises(Fault, match=name):
        Worker.from_env()
