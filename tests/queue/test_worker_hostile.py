"""What the worker SDK withstands: blocked loops, lost leases, restarts, and what functions do."""

import asyncio
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, ended, serving
from tests.queue.working import at_work, eventually, worker_for

from backstay.core.errors import Fault
from backstay.queue.worker import (
    Backoff,
    Job,
)


async def test_a_blocked_event_loop_keeps_its_lease(server: Server, command: str):
    worker = worker_for(server, lease=1.0)

    @worker.task(command)
    async def block(payload: object) -> dict[str, object]:
        time.sleep(2.5)  # what nobody should do in a coroutine, and somebody will
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


async def test_a_task_that_comes_back_to_the_worker_that_lost_it_keeps_its_new_lease(
    server: Server, command: str
):
    worker = worker_for(server, lease=1.0, concurrency=2)
    first_may_end, begun = threading.Event(), threading.Event()
    tokens: list[str] = []

    @worker.task(command)
    def work(payload: object, job: Job) -> dict[str, int]:
        tokens.append(job.task.lease_token)
        if job.attempt == 1:
            begun.set()
            first_may_end.wait(20)  # it does not look at `job.gone`
        else:
            first_may_end.set()
            time.sleep(2.5)  # well past a lease that nobody keeps
        return {"attempt": job.attempt}

    task = server.create(command)
    async with at_work(worker):
        await asyncio.to_thread(begun.wait, 20)
        nack = {"reason": "lost", "delaySeconds": 0.01, "leaseToken": tokens[0]}
        await asyncio.to_thread(server.post, f"/tasks/{task['id']}/nack", nack)
        found = await eventually(ended(server, task))
    assert (found["status"], found["attempts"]) == ("COMPLETED", 2)
    result = server.get(f"/tasks/{task['id']}/result").json["result"]["result"]
    assert result == {"attempt": 2}
