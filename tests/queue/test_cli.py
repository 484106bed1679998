"""`codeq` as people type it, against a real server."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue.support import CODEQ, SERVER, Server, clean_env, run_codeq, until

from backstay.up.ports import free_port

SECRET = "s3cret-token-of-a-producer"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}


@pytest.mark.seed("Q2")
def test_task_list_reaches_the_server_that_the_global_flag_names(
    server: Server, command: str, home: dict[str, str]
):
    made = server.create(command)
    told = run_codeq("--base-url", server.base_url, "task", "list", "--event", command, env=home)
    assert told.returncode == 0
    assert made["id"] in told.stdout
    # and without any filter, as the seed writes it
    assert run_codeq("--base-url", server.base_url, "task", "list", env=home).returncode == 0


@pytest.mark.seed("Q3")
def test_the_environment_names_the_server_and_the_flag_wins(server: Server, home: dict[str, str]):
    right, wrong = server.base_url, f"http://127.0.0.1:{free_port()}"
    assert run_codeq("task", "list", env={**home, "CODEQ_BASE_URL": right}).returncode == 0
    assert run_codeq("task", "list", env={**home, "CODEQ_BASE_URL": wrong}).returncode == 4
    both = run_codeq("--base-url", right, "task", "list", env={**home, "CODEQ_BASE_URL": wrong})
    assert both.returncode == 0


@pytest.fixture
def silent() -> Iterator[str]:
    """A listener that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.seed("Q4")
@pytest.mark.parametrize("kind", ["closed", "unresolvable", "silent"])
def test_an_unreachable_server_is_named_without_a_stack_trace(
    silent: str, home: dict[str, str], kind: str
):
    address = {
        "closed": f"http://127.0.0.1:{free_port()}",
        "unresolvable": "http://no-such-host.invalid:8080",
        "silent": silent,
    }[kind]
    # Only silence has to be waited for; a short time would also count the client's own start.
    patience = {"CODEQ_TIMEOUT_SECONDS": "2"} if kind == "silent" else {}
    told = run_codeq("--base-url", address, "task", "list", env={**home, **patience})
    assert told.returncode == 4
    assert address in told.stderr
    assert "Traceback" not in told.stderr
    assert ("timeout" if kind == "silent" else "cannot connect") in told.stderr


@pytest.mark.seed("Q5")
def test_auth_show_masks_what_is_stored_and_says_what_is_not(home: dict[str, str]):
    before = run_codeq("auth", "show", env=home)
    assert before.stdout.count("<unset>") >= 3
    run_codeq("auth", "set", "--producer-token", SECRET, env=home)
    run_codeq("auth", "set", "--worker-token", "short", env=home)
    shown = run_codeq("auth", "show", env=home)
    assert shown.returncode == 0
    assert SECRET not in shown.stdout
    assert "short" not in shown.stdout
    assert "Producer token: s3cr...ucer" in shown.stdout
    assert "Worker token:   ****" in shown.stdout
    assert "Token:          <unset>" in shown.stdout


@pytest.mark.seed("Q6")
def test_stored_tokens_are_sent_and_setting_one_keeps_the_other(
    tmp_path: Path, home: dict[str, str]
):
    from tests.queue.support import serving

    from backstay.core.clock import SystemClock
    from backstay.core.settings import Secret
    from backstay.core.tokens import Issuer

    key = "a secret of thirty-two bytes, or more"
    issuer = Issuer(Secret(key), "backstay", "backstay", SystemClock())
    producer = issuer.mint("p", ["codeq:produce"], kind="producer")
    worker = issuer.mint(
        "w",
        ["codeq:claim", "codeq:result", "codeq:heartbeat"],
        kind="worker",
        claims={"eventTypes": ["A"]},
    )
    with serving(tmp_path / "data", env={"JWT_SECRET": key}) as server:
        base = ("--base-url", server.base_url)
        create = (*base, "task", "create", "--event", "A", "--payload", "{}")
        assert run_codeq(*create, env=home).returncode == 3
        assert run_codeq("auth", "set", "--producer-token", producer, env=home).returncode == 0
        assert run_codeq("auth", "set", "--worker-token", worker, env=home).returncode == 0
        kept = (tmp_path / "codeq" / "config.yaml").read_text()
        assert producer in kept
        assert worker in kept
        assert (tmp_path / "codeq" / "config.yaml").stat().st_mode & 0o777 == 0o600
        made = run_codeq(*create, "--output", "json", env=home)
        assert made.returncode == 0, made.stderr
        work = (*CODEQ, *base, "worker", "start", "--events", "A", "--exec", "cat")
        with subprocess.Popen(work, env=clean_env() | home, stdout=subprocess.DEVNULL) as working:
            task = json.loads(made.stdout)["id"]
            auth = {"Authorization": f"Bearer {producer}"}
            until(lambda: _status(server, task, auth) == "COMPLETED", 20)
            working.terminate()


def _status(server: Server, task: str, headers: dict[str, str]) -> str:
    return str(server.get(f"/tasks/{task}", headers=headers).json["status"])


@pytest.mark.seed("Q20")
def test_queue_inspect_counts_each_state_of_all_tenants(
    tmp_path: Path, home: dict[str, str], command: str
):
    from tests.queue.support import serving

    from backstay.core.clock import SystemClock
    from backstay.core.settings import Secret
    from backstay.core.tokens import Issuer

    key = "a secret of thirty-two bytes, or more"
    issuer = Issuer(Secret(key), "backstay", "backstay", SystemClock())
    scopes = ["codeq:produce", "codeq:claim", "codeq:nack", "codeq:admin"]
    with serving(tmp_path / "data", env={"JWT_SECRET": key}) as server:
        for tenant in ("acme", "globex"):
            token = issuer.mint("x", scopes, tenant=tenant)
            auth = {"headers": {"Authorization": f"Bearer {token}"}}
            for n in range(6):
                more = {"delaySeconds": 600} if n == 5 else {}
                body = {"command": command, "payload": n, "maxAttempts": 1, **more}
                assert server.post("/tasks", body, **auth).status == 202
            held = [
                server.post("/tasks/claim", {"commands": [command]}, **auth).json for _ in range(2)
            ]
            dead = {"reason": "broke", "leaseToken": held[0]["leaseToken"]}
            assert server.post(f"/tasks/{held[0]['id']}/nack", dead, **auth).json["status"] == "dlq"
            told = run_codeq(
                "--base-url",
                server.base_url,
                "--producer-token",
                token,
                "queue",
                "inspect",
                command,
                "--dlq",
                env=home,
            )
            assert told.returncode == 0, told.stderr
            assert "READY: 3 | DELAYED: 1 | IN_PROGRESS: 1 | DLQ: 1" in told.stdout
            assert held[0]["id"] in told.stdout
            assert "broke" in told.stdout
        everything = issuer.mint("x", scopes, claims={"tenants": ["*"]})
        auth = {"headers": {"Authorization": f"Bearer {everything}"}}
        whole = server.get(f"/admin/queues/{command}", **auth).json
        counts = (whole["ready"], whole["delayed"], whole["inProgress"], whole["dlq"])
        assert counts == (6, 2, 2, 2)


@pytest.mark.seed("Q28")
def test_dead_letters_are_shown_with_number_id_and_last_error(
    server: Server, command: str, home: dict[str, str]
):
    ids = []
    for n in range(2):
        server.create(command, maxAttempts=1)
        task = server.claim(command)
        assert task is not None
        nack = {"reason": f"reason {n}", "leaseToken": task["leaseToken"]}
        server.post(f"/tasks/{task['id']}/nack", nack)
        ids.append(task["id"])
    base = ("--base-url", server.base_url)
    told = run_codeq(*base, "queue", "inspect", command, "--dlq", env=home)
    assert "DLQ: 2" in told.stdout
    for n, task_id in enumerate(ids):
        line = next(line for line in told.stdout.splitlines() if task_id in line)
        assert f"reason {n}" in line


def test_a_task_is_created_read_and_cancelled(server: Server, command: str, home: dict[str, str]):
    base = ("--base-url", server.base_url)
    made = run_codeq(*base, "task", "create", "--event", command, "--payload", "{}", env=home)
    assert made.stdout.startswith("[OK] Task created: ")
    task = made.stdout.split()[-1]
    got = run_codeq(*base, "task", "get", task, "--output", "json", env=home)
    assert json.loads(got.stdout)["command"] == command
    assert run_codeq(*base, "task", "cancel", task, env=home).returncode == 0
    missing = run_codeq(*base, "task", "result", task, env=home)
    assert missing.returncode == 1
    assert "404" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("task", "lst"), "Did you mean list?"),
        (("task", "list", "--stauts", "X"), "--status"),
        (("task", "create", "--event", "A", "--payload", "{"), "--payload"),
        (("auth", "set"), "--producer-token"),
    ],
)
def test_wrong_usage_is_named_with_exit_2(
    home: dict[str, str], arguments: tuple[str, ...], word: str
):
    told = run_codeq(*arguments, env=home)
    assert told.returncode == 2
    assert word in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.seed("Q11")
def test_the_server_starts_from_a_file_and_names_what_is_wrong_with_it(tmp_path: Path):
    from tests.queue.support import serving

    good = tmp_path / "good.yaml"
    good.write_text("defaultLeaseSeconds: 7\nlogLevel: debug\n")
    with serving(tmp_path / "data", "--config", str(good)) as server:
        server.create("A")
        task = server.claim("A")
        assert task is not None
        assert task["leaseUntil"][17:19] != task["updatedAt"][17:19]
        assert any(line["level"] == "debug" for line in server.log())
    bad = tmp_path / "bad.yaml"
    for text, word in (
        ("defaultLeaseSeconds: soon\n", "bad.yaml:1"),
        ("port: 8080\nport: [1\n", "bad.yaml"),
        ("port: 8080\nmaxAttemptsDefault: ten\n", "bad.yaml:2"),
        ("backofPolicy: fixed\n", "backoffPolicy"),
    ):
        bad.write_text(text)
        told = subprocess.run(
            (*SERVER, "--data", str(tmp_path / "other"), "--config", str(bad)),
            env=clean_env(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert told.returncode != 0
        assert word in told.stderr, told.stderr
        assert "Traceback" not in told.stderr


def test_a_second_server_on_the_same_data_is_told_who_has_it(server: Server):
    told = subprocess.run(
        (*SERVER, "--data", str(server.data), "--listen", "127.0.0.1:0"),
        env=clean_env(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert told.returncode != 0
    assert server.process is not None
    assert str(server.process.pid) in told.stderr


def test_sigterm_sends_waiting_claims_home_and_exits_0(tmp_path: Path):
    import threading

    from tests.queue.support import serving

    with serving(tmp_path / "data") as server:
        answers: list[object] = []
        claiming = threading.Thread(
            target=lambda: answers.append(server.claim("A", waitSeconds=25))
        )
        claiming.start()
        until(lambda: server.get("/admin/queues/A").json["waitingClaims"] == 1)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5
        claiming.join(5)
        assert answers == [None]


@pytest.mark.seed("Q26")
def test_the_generated_config_shows_the_backoff_settings_and_starts_a_server(tmp_path: Path):
    from tests.queue.support import serving

    printed = subprocess.run(
        (*SERVER, "--print-config"), env=clean_env(), capture_output=True, text=True, timeout=30
    ).stdout
    for key in ("backoffPolicy: exp_full_jitter", "backoffBaseSeconds: 5", "backoffMaxSeconds: 9"):
        assert key in printed
    for name in ("BACKOFF_POLICY", "BACKOFF_BASE_SECONDS", "BACKOFF_MAX_SECONDS"):
        assert name in printed
    (tmp_path / "config.yaml").write_text(printed)
    grep = ["grep", "BACKOFF", str(tmp_path / "config.yaml")]
    assert subprocess.run(grep, stdout=subprocess.DEVNULL).returncode == 0
    with serving(tmp_path / "data", "--config", str(tmp_path / "config.yaml")) as server:
        server.create("A")


@pytest.mark.seed("Q30")
def test_cleanup_takes_the_ended_tasks_of_one_command_and_mends_the_store(
    tmp_path: Path, home: dict[str, str]
):
    import apsw
    from tests.queue.support import serving

    with serving(tmp_path / "data") as server:
        kept = {}
        for name in ("MINE", "OTHER"):
            server.create(name, maxAttempts=1)
            done = server.claim(name)
            assert done is not None
            result = {"status": "COMPLETED", "result": {}, "leaseToken": done["leaseToken"]}
            server.post(f"/tasks/{done['id']}/result", result)
            server.create(name, payload="running")
            running = server.claim(name, leaseSeconds=600)
            assert running is not None
            kept[name] = (done["id"], running["id"], server.create(name, payload="pending")["id"])
        server.stop()
        store = apsw.Connection(str(tmp_path / "data" / "queue.db"))
        store.execute("INSERT INTO payload VALUES (4711, '{}')")
        store.execute("UPDATE task SET ended_at = 1 WHERE id = ?", (kept["MINE"][2],))
        store.close()
        server.start()
        base = ("--base-url", server.base_url)
        told = run_codeq(*base, "admin", "cleanup", "--command", "MINE", env=home)
        assert told.returncode == 0, told.stderr
        assert "MINE: 1 ended tasks deleted, 2 wrong entries repaired" in told.stdout
        done_id, running_id, pending_id = kept["MINE"]
        assert server.get(f"/tasks/{done_id}").status == 404
        assert server.task(running_id)["status"] == "IN_PROGRESS"
        assert server.task(pending_id)["status"] == "PENDING"
        assert server.task(kept["OTHER"][0])["status"] == "COMPLETED"
        again = run_codeq(*base, "admin", "cleanup", "--command", "MINE", env=home)
        assert "0 ended tasks deleted, 0 wrong" in again.stdout
