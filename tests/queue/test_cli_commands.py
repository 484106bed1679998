"""Each command of `codeq` that asks the server, with its text for people and JSON for programs."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import Server, clean_env, until

from backstay.cli import face
from backstay.cli.codeq import command as command_line
from backstay.up.ports import free_port

SHELLS = ("bash", "zsh", "fish")
PYTHON = (sys.executable, "-c")


@pytest.fixture
def codeq(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`codeq` against the shared server, in this process; gives what it printed. A process of its
    own for each command (test_cli.py has those) would cost a second of CPU more."""
    monkeypatch.setenv("CODEQ_CONFIG_DIR", str(tmp_path / "codeq"))

    def run(*arguments: str, code: int = 0, stdin: str = "") -> str:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            face.main(command_line, "codeq", ["--base-url", server.base_url, *arguments])
        assert ended.value.code == code, out.getvalue() + err.getvalue()
        return out.getvalue() + err.getvalue()

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
        *("task", "create", "--event", command, "--payload", f"@{payload}", "--priority", "12"),
        *("--tag", "night", "--tag", "eu", "--key", "customer-7", "--delay-seconds", "600"),
        *("--idempotency-key", command),
    )
    assert json.loads(made["payload"]) == {"order": 7}
    assert made["priority"] == 9
    for option, value in (("--tag", "eu"), ("--key", "customer-7"), ("--status", "DELAYED")):
        found = as_json(codeq, "task", "search", "--event", command, option, value)
        assert [task["id"] for task in found["data"]] == [made["id"]]
    assert codeq("task", "list", "--event", command, "--tag", "us") == "no tasks\n"
    other = codeq("task", "create", "--event", command, "--payload", "-", stdin="[1]")
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
    codeq("dlq", "purge", command, code=130, stdin="n\n")
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


# --- what is kept beside tasks ---------------------------------------------------------------


def test_a_queue_is_paused_bounded_and_resumed(codeq: Any, server: Server, command: str):
    server.create(command)
    assert codeq("queue", "pause", command) == f"[OK] {command} is paused\n"
    assert server.claim(command) is None
    assert "paused" in next(
        line for line in codeq("queue", "list").splitlines() if line.startswith(command)
    )
    assert codeq("queue", "resume", command) == f"[OK] {command} goes on\n"
    assert server.claim(command) is not None
    # A bound that is changed alone leaves the others as they are.
    codeq("queue", "policy", command, "--concurrency", "1", "--rate", "50")
    held = as_json(codeq, "queue", "policy", command, "--burst", "5")
    assert (held["concurrency"], held["rate"], held["burst"]) == (1, 50.0, 5)
    server.create(command)
    assert server.claim(command) is None
    assert as_json(codeq, "queue", "policy", command)["concurrency"] == 1


def test_a_periodic_task_is_set_shown_paused_and_deleted(codeq: Any, command: str):
    name = command.lower()
    options = ("--event", command, "--cron", "0 7 * * *", "--timezone", "Europe/Berlin")
    told = codeq("periodic", "set", name, *options, "--payload", '{"n": 1}')
    assert told.startswith(f"[OK] {name} creates {command}: 2")
    line = next(line for line in codeq("periodic", "list").splitlines() if line.startswith(name))
    assert "Europe/Berlin" in line
    assert "never" in line
    assert codeq("periodic", "pause", name) == f"[OK] {name} is paused\n"
    assert as_json(codeq, "periodic", "get", name)["paused"] is True
    assert as_json(codeq, "periodic", "resume", name)["paused"] is False
    assert as_json(codeq, "periodic", "delete", name)["name"] == name
    assert name not in codeq("periodic", "list")
    wrong = ("periodic", "set", name, "--event", command, "--cron", "61 * * * *")
    assert "61 * * * *" in codeq(*wrong, code=1)


def test_subscriptions_are_made_listed_and_deleted(codeq: Any, command: str):
    url = "http://127.0.0.1:9/told"
    made = as_json(codeq, "subscription", "create", url, "--events", command)
    id_ = made["subscriptionId"]
    line = next(line for line in codeq("subscription", "list").splitlines() if id_ in line)
    assert url in line
    assert command in line
    assert as_json(codeq, "subscription", "delete", id_) == {"deleted": id_}
    assert id_ not in codeq("subscription", "list")


def test_callbacks_that_wait_are_shown_and_made_again(codeq: Any, server: Server, command: str):
    made = server.create(command, webhook=f"http://127.0.0.1:{free_port()}/done")
    task = server.claim(command)
    assert task is not None
    result = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
    server.post(f"/tasks/{made['id']}/result", result)
    [delivery] = until(
        lambda: [
            each
            for each in as_json(codeq, "admin", "deliveries")
            if each["taskId"] == made["id"] and each["attempts"]
        ]
    )
    assert delivery["error"]
    told = codeq("admin", "retry-delivery", delivery["deliveryId"])
    assert told == f"[OK] {delivery['deliveryId']} is made again\n"


def test_what_a_worker_says_does_nothing_to_the_terminal(codeq: Any, server: Server, command: str):
    hostile = "bad \x1b[31mred\x1b]0;owned\x07 \x9b31m\r\u202e"
    task = server.create(command, payload={"said": hostile})["id"]
    claimed = server.claim(command)
    assert claimed is not None
    done = {"status": "FAILED", "error": hostile, "leaseToken": claimed["leaseToken"]}
    server.post(f"/tasks/{task}/result", done)
    for words in (
        ("task", "list", "--event", command),
        ("task", "get", task),
        ("task", "result", task),
        ("task", "attempts", task),
    ):
        told = codeq(*words)
        assert "red" in told, words
        assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(told), words
    assert as_json(codeq, "task", "result", task)["error"] == hostile
