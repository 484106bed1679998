"""The worker SDK against a real server."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.queue.support import Server, ended, serving, until

from backstay.core.errors import Fault
from backstay.queue.client import QueueClient
from backstay.queue.worker import (
    Backoff,
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


def worker_for(server: Server, **changes: Any) -> Worker:
    settings = {"lease": 5.0, "wait": 2.0, "concurrency": 4, "grace": 5.0, **changes}
    return Worker(lambda: QueueClient(server.base_url), WorkerSettings(**settings))


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    serving_ = asyncio.create_task(worker.serve())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(serving_, 20)


async def eventually(true: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(until, true, 15)


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


async def test_a_blocked_event_loop_keeps_its_lease(server: Server, command: str):
    worker = worker_for(server, lease=0.6)

    @worker.task(command)
    async def block(payload: object) -> dict[str, object]:
        time.sleep(2.0)  # what nobody should do in a coroutine, and somebody will
        return {"slept": True}

    task = server.create(command)
    async with at_work(worker):
        await asyncio.sleep(0)
        found = await eventually(ended(server, task))
    assert (found["status"], found["attempts"]) == ("COMPLETED", 1)


async def test_work_whose_lease_is_refused_is_cancelled(server: Server, command: str):
    worker = worker_for(server, lease=0.6)
    ends: list[str] = []

    @worker.task(command)
    async def work(payload: object) -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    task = server.create(command)
    async with at_work(worker):
        await eventually(lambda: server.task(task["id"])["status"] == "IN_PROGRESS")
        await asyncio.to_thread(server.post, f"/tasks/{task['id']}/cancel")
        await eventually(lambda: ends == ["cancelled"])
    assert server.task(task["id"])["status"] == "CANCELLED"


async def test_draining_finishes_what_runs_and_hands_back_what_is_too_slow(
    server: Server, command: str
):
    worker = worker_for(server, grace=1.0)
    begun: list[str] = []

    @worker.task(command)
    async def work(payload: float) -> None:
        begun.append(str(payload))
        await asyncio.sleep(payload)

    quick, slow = server.create(command, payload=0.5), server.create(command, payload=60)
    async with at_work(worker):
        await eventually(lambda: len(begun) == 2)
    assert server.task(quick["id"])["status"] == "COMPLETED"
    handed_back = server.task(slow["id"])
    assert handed_back["status"] == "PENDING"
    assert "attempts" not in handed_back


async def test_a_result_survives_a_restart_of_the_server(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        worker = worker_for(server, lease=30.0)
        gone = asyncio.Event()

        @worker.task("A")
        async def work(payload: object) -> dict[str, object]:
            server.kill()
            gone.set()
            return {"done": True}

        task = server.create("A")
        async with at_work(worker):
            await asyncio.wait_for(gone.wait(), 10)
            await asyncio.to_thread(server.start)
            found = await eventually(ended(server, task))
        assert (found["status"], found["attempts"]) == ("COMPLETED", 1)


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


async def test_a_result_that_json_cannot_hold_and_one_that_is_too_large_fail_the_task_with_a_reason(
    server: Server, command: str
):
    worker = worker_for(server)

    @worker.task(command)
    async def work(payload: str) -> object:
        return object() if payload == "odd" else "x" * 400_000

    odd = server.create(command, payload="odd", maxAttempts=1)
    large = server.create(command, payload="large", maxAttempts=1)
    async with at_work(worker):
        assert "TypeError" in (await eventually(ended(server, odd)))["error"]
        assert "too large" in (await eventually(ended(server, large)))["error"]


async def test_nothing_that_a_function_does_breaks_the_worker(
    server: Server, command: str, monkeypatch: pytest.MonkeyPatch
):
    # The half character would not reach whoever collects the logs of a parallel test run.
    monkeypatch.setattr(logging.getLogger("backstay.task"), "disabled", True)
    worker = worker_for(server)

    @worker.task(command)
    async def work(payload: str, job: Job) -> object:
        if payload == "exit":
            sys.exit("enough")
        if payload == "cancel":
            raise asyncio.CancelledError
        if payload == "half a character":
            raise ValueError("\ud83d")
        if payload == "odd progress":
            job.progress(object())
        return "fine"

    def make(payload: str) -> dict[str, Any]:
        return server.create(command, payload=payload, maxAttempts=1)

    payloads = ("exit", "cancel", "half a character", "odd progress", "well")
    tasks = {payload: make(payload) for payload in payloads}
    async with at_work(worker):
        found = {name: await eventually(ended(server, task)) for name, task in tasks.items()}
    assert {name: task.get("error") for name, task in found.items()} == {
        "exit": "SystemExit: enough",
        "cancel": "CancelledError",
        "half a character": "ValueError: ?",
        "odd progress": "TypeError: Encoding objects of type object is unsupported",
        "well": None,
    }


async def test_a_coroutine_that_takes_too_long_is_stopped_and_tried_again(
    server: Server, command: str
):
    worker = worker_for(server)
    tries: list[int] = []

    @worker.task(command, timeout=0.2, retry=Backoff("fixed", base=0.01))
    async def work(payload: object, job: Job) -> None:
        tries.append(job.attempt)
        if not job.last_try:
            await asyncio.sleep(60)

    task = server.create(command, maxAttempts=2)
    async with at_work(worker):
        await eventually(ended(server, task))
    assert tries == [1, 2]
    assert server.task(task["id"])["status"] == "COMPLETED"


async def test_a_plain_function_hears_that_its_lease_is_lost(server: Server, command: str):
    worker = worker_for(server, lease=0.6)
    begun, heard = threading.Event(), threading.Event()

    @worker.task(command)
    def work(payload: object, job: Job) -> None:
        begun.set()
        if job.gone.wait(20):
            heard.set()

    task = server.create(command)
    async with at_work(worker):
        await asyncio.to_thread(begun.wait, 20)
        await asyncio.to_thread(server.post, f"/tasks/{task['id']}/cancel")
        assert await asyncio.to_thread(heard.wait, 20)


async def test_credentials_that_are_refused_end_a_worker_at_once(tmp_path: Path):
    with serving(
        tmp_path / "data", env={"JWT_SECRET": "a secret of thirty-two bytes, or more"}
    ) as server:
        worker = worker_for(server)
        worker.task("A")(lambda payload: None)
        with pytest.raises(Fault) as caught:
            await asyncio.wait_for(worker.serve(), 20)
        assert caught.value.entry.exit == 3


async def test_a_hurried_stop_hands_back_at_once_and_a_hanging_thread_does_not_hold_it(
    server: Server, command: str
):
    worker = worker_for(server, grace=600.0)
    begun, forever = threading.Event(), threading.Event()

    @worker.task(command)
    def hang(payload: object) -> None:
        begun.set()
        forever.wait(60)

    task = server.create(command)
    async with at_work(worker):
        await asyncio.to_thread(begun.wait, 20)
        worker.stop()  # `at_work` says it a second time
    assert server.task(task["id"])["status"] == "PENDING"
    forever.set()


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
