"""The SDK and `codeq worker start`, against a real server."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import CODEQ, Server, clean_env, serving, until

from backstay.core.errors import Fault
from backstay.queue.client import QueueClient
from backstay.queue.worker import Job, Reject, Release, Retry, Worker, WorkerSettings


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


def ended(server: Server, task: dict[str, Any]) -> Callable[[], dict[str, Any] | None]:
    def look() -> dict[str, Any] | None:
        found = server.task(task["id"])
        return found if found["status"] not in ("PENDING", "IN_PROGRESS") else None

    return look


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
    program = (
        "import sys, backstay.queue.worker\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stderr


# --- codeq worker start ----------------------------------------------------------------------


def start_worker(server: Server, *arguments: str, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        (*CODEQ, "--base-url", server.base_url, "worker", "start", *arguments),
        env=clean_env() | {"CODEQ_CONFIG_DIR": "/nonexistent", "PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **more,
    )


def stop_worker(worker: "subprocess.Popen[str]") -> tuple[int, str]:
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=30)
    return worker.returncode, out


@pytest.mark.seed("Q19")
def test_worker_start_takes_the_events_it_names_and_no_others(server: Server, command: str):
    mine, other = server.create(f"{command}_MINE"), server.create(f"{command}_OTHER")
    worker = start_worker(server, "--events", f"{command}_MINE", "--exec", "cat")
    until(ended(server, mine), 20)
    until(lambda: server.get(f"/admin/queues/{command}_MINE").json["waitingClaims"] == 1)
    code, out = stop_worker(worker)
    assert code == 0, out
    assert mine["id"] in out
    untouched = server.task(other["id"])
    assert untouched["status"] == "PENDING"
    assert "attempts" not in untouched


def test_exec_gets_the_payload_and_its_exit_code_decides(server: Server, command: str):
    program = (
        'read body; case "$body" in *bad*) echo "no good" >&2; exit 3;; esac; '
        'echo "{\\"task\\": \\"$CODEQ_TASK_ID\\", \\"got\\": $body}"'
    )
    good = server.create(command, payload={"n": 1})
    bad = server.create(command, payload="bad", maxAttempts=1)
    worker = start_worker(server, "--events", command, "--exec", program)
    until(ended(server, good), 20)
    until(ended(server, bad), 20)
    assert stop_worker(worker)[0] == 0
    result = server.get(f"/tasks/{good['id']}/result").json["result"]["result"]
    assert result == {"task": good["id"], "got": {"n": 1}}
    assert server.task(bad["id"])["error"] == "exit code 3: no good"


@pytest.mark.seed("Q23")
def test_lease_seconds_makes_long_leases_also_without_events(tmp_path: Path):
    from backstay.core.clock import parse_rfc3339

    with serving(tmp_path / "data") as server:
        made = server.create("ANY")
        worker = start_worker(server, "--lease-seconds", "600", "--exec", "sleep 30")
        held = until(lambda: _in_progress(server, made["id"]), 20)
        ahead = parse_rfc3339(held["leaseUntil"]) - parse_rfc3339(held["updatedAt"])
        assert 599 <= ahead <= 601
        worker.kill()
        worker.communicate()


def _in_progress(server: Server, id: str) -> dict[str, Any] | None:
    found = server.task(id)
    return found if found["status"] == "IN_PROGRESS" else None


@pytest.mark.seed("Q24")
def test_the_worker_command_heartbeats_by_itself_and_a_silent_holder_loses_its_task(
    server: Server, command: str
):
    assert json.loads(json.dumps(_default_heartbeat())) == 60
    made = server.create(command)
    options = ("--events", command, "--lease-seconds", "0.6", "--heartbeat-seconds", "0.2")
    worker = start_worker(server, *options, "--exec", "sleep 2")
    found = until(ended(server, made), 20)
    assert (found["status"], found["attempts"]) == ("COMPLETED", 1)
    again = server.create(command)
    until(lambda: _in_progress(server, again["id"]), 20)
    worker.kill()
    worker.communicate()
    task = server.claim(command, waitSeconds=20)
    assert task is not None
    assert (task["id"], task["attempts"]) == (again["id"], 2)


def _default_heartbeat() -> float:
    from backstay.cli.codeq import worker_start

    options = {option.name: option.default for option in worker_start.params}
    return float(options["heartbeat_seconds"])
