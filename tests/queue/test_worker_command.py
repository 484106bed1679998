"""`codeq worker start`: a program per task, in any language, against a real server."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import CODEQ, Server, clean_env, ended, run_codeq, serving, until

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

NO_HOME = {"CODEQ_CONFIG_DIR": "/nonexistent"}


def start_worker(
    server: Server, *arguments: str, home: Mapping[str, str] = NO_HOME, **more: Any
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        (*CODEQ, "--base-url", server.base_url, "worker", "start", *arguments),
        env=clean_env() | {**home, "PYTHONUNBUFFERED": "1"},
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
    code, out = stop_worker(worker)
    assert code == 0
    assert f"[OK] Task completed: {good['id']}" in out
    assert f"[WARN] Task not completed: {bad['id']} (exit code 3: no good)" in out
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
    options = ("--events", command, "--lease-seconds", "1", "--heartbeat-seconds", "0.3")
    worker = start_worker(server, *options, "--exec", "sleep 2.5")
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


def test_the_exit_code_says_what_becomes_of_the_task(server: Server, command: str, tmp_path: Path):
    once = tmp_path / "once"
    program = (
        'read body; case "$body" in'
        ' *fatal*) echo "no such customer" >&2; exit 65;;'
        f" *later*) test -e {once} || {{ touch {once}; exit 75; }};;"
        " *crash*) kill -9 $$;;"
        ' *list*) echo "[1, 2]";;'
        ' *text*) echo "plain words";;'
        " esac"
    )

    def make(payload: str) -> dict[str, Any]:
        return server.create(command, payload=payload, maxAttempts=1)

    tasks = {name: make(name) for name in ("fatal", "later", "crash", "list", "text")}
    worker = start_worker(server, "--events", command, "--exec", program)
    found = {name: until(ended(server, task), 20) for name, task in tasks.items()}
    assert stop_worker(worker)[0] == 0
    assert (found["fatal"]["status"], found["fatal"]["error"]) == ("FAILED", "no such customer")
    assert found["fatal"]["lastKnownLocation"] == "NONE"
    assert (found["later"]["status"], found["later"]["attempts"]) == ("COMPLETED", 1)
    assert found["crash"]["error"] == "killed by SIGKILL"
    assert found["crash"]["lastKnownLocation"] == "DLQ_SET"

    def result(name: str) -> Any:
        return server.get(f"/tasks/{tasks[name]['id']}/result").json["result"]["result"]

    assert result("list") == {"value": [1, 2]}
    assert result("text") == {"output": "plain words\n"}


def test_a_program_whose_lease_is_lost_is_killed_with_what_it_started(
    server: Server, command: str, tmp_path: Path
):
    pids = tmp_path / "pids"
    program = f"sleep 300 & echo $$ $! > {pids}.new && mv {pids}.new {pids}; wait"
    task = server.create(command)
    options = ("--events", command, "--lease-seconds", "0.6", "--exec", program)
    worker = start_worker(server, *options)
    until(pids.exists, 20)
    server.post(f"/tasks/{task['id']}/cancel")
    until(lambda: not any(map(alive, pids.read_text().split())), 20)
    assert stop_worker(worker)[0] == 0


def alive(pid: str) -> bool:
    """Not gone, and not only waiting to be buried."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_program_does_not_outlive_a_killed_worker(server: Server, command: str, tmp_path: Path):
    pid = tmp_path / "pid"
    program = f"echo $$ > {pid}.new && mv {pid}.new {pid}; exec sleep 300"
    server.create(command)
    worker = start_worker(server, "--events", command, "--exec", program)
    until(pid.exists, 20)
    worker.kill()
    worker.communicate()
    until(lambda: not alive(pid.read_text().strip()), 20)


@pytest.mark.seed("Q4")
@pytest.mark.seed("Q9")
def test_a_worker_that_cannot_begin_says_why_and_ends(tmp_path: Path):
    env = {"JWT_SECRET": "a secret of thirty-two bytes, or more"}
    with serving(tmp_path / "data", env=env) as server:
        refused = start_worker(server, "--exec", "cat")
        out, _ = refused.communicate(timeout=30)
        assert refused.returncode == 3
        assert "401" in out
        server.stop()
        away = start_worker(server, "--exec", "cat")
        out, _ = away.communicate(timeout=30)
        assert away.returncode == 4
        assert server.base_url in out
        assert "Traceback" not in out


def test_a_running_worker_takes_the_token_that_a_login_has_renewed(tmp_path: Path):
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}
    scopes = ("codeq:claim", "codeq:heartbeat", "codeq:result", "codeq:nack", "codeq:produce")

    def log_in(key: str) -> dict[str, str]:
        issuer = Issuer(Secret(key), "backstay", "backstay", SystemClock())
        token = issuer.mint("w", scopes, kind="worker")
        assert run_codeq("auth", "set", "--worker-token", token, env=home).returncode == 0
        return {"Authorization": f"Bearer {token}"}

    def is_done(server: Server, auth: dict[str, str]) -> None:
        made = server.post("/tasks", {"command": "A", "payload": {}}, headers=auth).json
        path = f"/tasks/{made['id']}"
        until(lambda: server.get(path, headers=auth).json["status"] == "COMPLETED", 60)

    first, second = "the first secret of thirty-two bytes", "the second secret, as long as that"
    with serving(tmp_path / "data", env={"JWT_SECRET": first}) as server:
        auth = log_in(first)
        options = ("--events", "A", "--wait-seconds", "1", "--exec", "cat")
        worker = start_worker(server, *options, home=home)
        is_done(server, auth)
        # From here on what the worker holds is worth nothing.
        server.stop()
        server.env["JWT_SECRET"] = second
        server.start()
        until(lambda: b'"status":401' in server.log_file.read_bytes(), 60)
        is_done(server, log_in(second))
        assert stop_worker(worker)[0] == 0


def test_everyday_life_a_killed_worker_loses_nothing_and_its_tasks_come_back_with_the_lease(
    tmp_path: Path,
):
    """40 tasks of 0.4 s on 4 slots; the worker's process group is killed at 4 s and started again:
    all 40 are done within the lease and 5 s, with the settings everybody has."""
    lease = 5.0
    options = ("--events", "LIFE", "--concurrency", "4", "--lease-seconds", f"{lease:g}")
    program = ("--exec", "sleep 0.4; cat")
    with serving(tmp_path / "data") as server:
        body = {"tasks": [{"command": "LIFE", "payload": {"n": n}} for n in range(40)]}
        assert server.post("/tasks/batch", body).status == 200

        def done() -> int:
            found = server.get("/tasks?command=LIFE&status=COMPLETED&limit=200").json["data"]
            return len(found)

        first = start_worker(server, *options, *program, start_new_session=True)
        began = time.monotonic()
        until(lambda: time.monotonic() - began >= 4.0, 10)
        before = done()
        os.killpg(first.pid, signal.SIGKILL)
        killed = time.monotonic()
        first.communicate()
        held = server.get("/admin/queues/LIFE").json["inProgress"]
        second = start_worker(server, *options, *program, start_new_session=True)
        until(lambda: done() == 40, lease + 5.0 - (time.monotonic() - killed))
        assert before < 40
        assert held > 0
        assert stop_worker(second)[0] == 0
        every = server.get("/tasks?command=LIFE&limit=200").json["data"]
        # Only what was under way when it died was delivered twice.
        assert sum(task["attempts"] - 1 for task in every) == held
