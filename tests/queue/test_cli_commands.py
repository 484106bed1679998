"""Each command of `codeq` that asks the server, with its text for people and JSON for programs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, clean_env, run_codeq, until

SHELLS = ("bash", "zsh", "fish")
PYTHON = (sys.executable, "-c")


@pytest.fixture
def codeq(server: Server, tmp_path: Path) -> Any:
    """`codeq` against the shared server; gives what it printed. Fails with what it complained of."""
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}

    def run(*arguments: str, code: int = 0, **more: Any) -> str:
        told = run_codeq("--base-url", server.base_url, *arguments, env=home, **more)
        assert told.returncode == code, told.stdout + told.stderr
        return str(told.stdout if code in (0, 1) else told.stderr)

    return run


def as_json(codeq: Any, *arguments: str) -> Any:
    return json.loads(codeq(*arguments, "--output", "json"))


def dead_letter(server: Server, command: str, reason: str, **fields: Any) -> str:
    server.create(command, maxAttempts=1, **fields)
    task = server.claim(command)
    assert task is not None
    server.post(f"/tasks/{task['id']}/nack", {"reason": reason, "leaseToken": task["leaseToken"]})
    return str(task["id"])


def test_a_task_is_created_with_all_that_can_be_said_and_found_by_it(
    codeq: Any, command: str, tmp_path: Path
):
    payload = tmp_path / "payload.json"
    payload.write_text('{"order": 7}')
    made = as_json(
        codeq,
        *("task", "create", "--event", command, "--payload", f"@{payload}", "--priority", "9"),
        *("--tag", "night", "--tag", "eu", "--key", "customer-7", "--delay-seconds", "600"),
        *("--idempotency-key", command),
    )
    assert json.loads(made["payload"]) == {"order": 7}
    for option, value in (("--tag", "eu"), ("--key", "customer-7"), ("--status", "DELAYED")):
        found = as_json(codeq, "task", "search", "--event", command, option, value)
        assert [task["id"] for task in found["data"]] == [made["id"]]
    assert codeq("task", "list", "--event", command, "--tag", "us") == "no tasks\n"
    other = codeq("task", "create", "--event", command, "--payload", "-", input="[1]")
    assert other.startswith("[OK] Task created: ")
    newest = as_json(codeq, "task", "list", "--event", command, "--newest", "--limit", "1")
    assert newest["data"][0]["payload"] == "[1]"
    assert newest["next_cursor"]


def test_a_waiting_task_is_put_off_and_taken_now(codeq: Any, server: Server, command: str):
    id_ = server.create(command)["id"]
    told = codeq("task", "reschedule", id_, "--run-at", "2100-01-01T00:00:00Z")
    assert "is due 2100-01-01T00:00:00" in told
    assert server.claim(command) is None
    assert "PENDING" in codeq("task", "retry", id_)
    task = server.claim(command)
    assert task is not None
    assert task["id"] == id_
    assert "--run-at" in codeq("task", "reschedule", id_, code=2)


def test_the_attempts_of_a_task_are_its_history(codeq: Any, server: Server, command: str):
    server.create(command)
    for reason in ("first", "second"):
        task = until(lambda: server.claim(command))
        body = {"reason": reason, "delaySeconds": 0.01, "leaseToken": task["leaseToken"]}
        server.post(f"/tasks/{task['id']}/nack", body)
    shown = codeq("task", "attempts", task["id"])
    assert [line.split()[0] for line in shown.splitlines()] == ["TRY", "1", "2"]
    assert "first" in shown
    assert "nacked" in shown
    assert [each["error"] for each in as_json(codeq, "task", "attempts", task["id"])] == [
        "first",
        "second",
    ]


def test_many_are_cancelled_by_what_they_have_in_common(codeq: Any, server: Server, command: str):
    kept = server.create(command, tags=["keep"])["id"]
    for n in range(3):
        server.create(command, payload=n, tags=["drop"])
    told = codeq("task", "cancel", "--event", command, "--tag", "drop", "--reason", "not wanted")
    assert told == "[OK] 3 tasks cancelled\n"
    assert server.task(kept)["status"] == "PENDING"
    assert "an ID, or at least one" in codeq("task", "cancel", code=2)


def test_dead_letters_begin_again_or_go_for_good(codeq: Any, server: Server, command: str):
    ids = [dead_letter(server, command, f"broke {n}", tags=[f"t{n}"]) for n in range(3)]
    shown = codeq("dlq", "list", command)
    assert all(id_ in shown for id_ in ids)
    assert "broke 2" in shown
    assert codeq("dlq", "redrive", command, "--tag", "t1") == (
        f"[OK] {command}: 1 tasks begin again\n"
    )
    assert server.task(ids[1])["status"] == "PENDING"
    # Deleting for good is asked for first.
    assert run_and_say_no(codeq, command) == 2
    assert as_json(codeq, "dlq", "purge", command, "--yes") == {"deleted": 2}
    assert codeq("dlq", "list", command) == "no dead letters\n"


def run_and_say_no(codeq: Any, command: str) -> int:
    codeq("dlq", "purge", command, code=130, input="n\n")
    return len(as_json(codeq, "dlq", "list", command)["data"])


def test_queues_are_listed_with_their_depths_and_ages(codeq: Any, server: Server, command: str):
    server.create(command)
    server.create(command, delaySeconds=600)
    line = next(line for line in codeq("queue", "list").splitlines() if line.startswith(command))
    assert line.split()[:6] == [command, "default", "1", "1", "0", "0"]
    [mine] = [each for each in as_json(codeq, "queue", "list") if each["command"] == command]
    assert (mine["ready"], mine["delayed"]) == (1, 1)
    assert "oldestReadyAgeSeconds" in codeq("queue", "stats", command)


def test_an_audit_finds_nothing_in_a_sound_store_and_a_backup_is_made(
    codeq: Any, server: Server, command: str
):
    server.create(command)
    assert codeq("admin", "audit", "--event", command) == "nothing contradicts itself\n"
    made = as_json(codeq, "admin", "backup")
    assert (server.data / made["file"]).stat().st_size == made["bytes"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_is_told_how_to_complete(codeq: Any, shell: str):
    assert "_CODEQ_COMPLETE" in codeq("completion", shell)


def test_queues_of_the_server_are_completed(codeq: Any, server: Server, command: str):

    server.create(command)
    words = f"codeq --base-url {server.base_url} queue inspect {command[:12]}"
    program = "import sys; sys.argv[0] = 'codeq'; from backstay.cli.codeq import main; main()"
    asked = {"COMP_WORDS": words, "COMP_CWORD": "5", "_CODEQ_COMPLETE": "bash_complete"}
    told = subprocess.run(
        (*PYTHON, program), env=clean_env() | asked, capture_output=True, text=True, timeout=30
    )
    assert f"plain,{command}" in told.stdout, told.stderr
    # A server that is away completes nothing and complains of nothing.
    asked["COMP_WORDS"] = words.replace(server.base_url, "http://127.0.0.1:1")
    told = subprocess.run(
        (*PYTHON, program), env=os.environ | asked, capture_output=True, text=True, timeout=30
    )
    assert (told.stdout.strip(), told.stderr) == ("", "")
