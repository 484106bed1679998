"""Statements of the queue's list against `codeq-server` and `codeq` as processes of their own."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.proofs.support import (
    BIN,
    PATIENCE,
    SECRET,
    Later,
    Serving,
    clean_env,
    shell,
)
from tests.e2e.stack import until

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
RECIPE = "cut -d. -f2 | base64 -d 2>/dev/null | jq .exp"


@contextmanager
def queue_server(folder: Path, **env: str) -> Iterator[Serving]:
    serving = Serving(folder, str(BIN / "codeq-server"), health="/healthz")
    try:
        yield serving.start(**env)
    finally:
        serving.close()


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with queue_server(tmp_path_factory.mktemp("q")) as serving:
        yield serving


@pytest.mark.seed("Q7")
def test_login_turns_a_401_into_an_answer(tmp_path: Path) -> None:
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}
    with queue_server(tmp_path / "q", JWT_SECRET=SECRET) as queue:
        base = f"codeq --base-url http://127.0.0.1:{queue.port}"
        old = ISSUER.mint("p", ["codeq:produce", "codeq:admin"], ttl=-3600)
        told = shell(f"codeq auth set --producer-token {old} --worker-token {old}", **home)
        assert told.returncode == 0, told.stderr
        create = f"{base} task create --event PACK --payload '{{}}' --output json"
        work = f"timeout 20 {base} worker start --events PACK --ack complete"
        for line in (create, f"{base} task list"):
            refused = shell(line, **home)
            assert refused.returncode == 3
            assert "401" in refused.stderr, refused.stderr
        done = shell("codeq auth login", JWT_SECRET=SECRET, **home)
        assert done.returncode == 0, done.stderr
        created = shell(create, **home)
        assert created.returncode == 0, created.stderr
        task = json.loads(created.stdout)["id"]
        listed = shell(f"{base} task list", **home)
        assert task in listed.stdout, listed.stderr
        with subprocess.Popen(["bash", "-c", work], env=clean_env(**home)) as worker:
            shown = f"{base} task get {task} --output json"
            until(lambda: "COMPLETED" in shell(shown, **home).stdout, PATIENCE, lambda: "not done")
            worker.terminate()


@pytest.mark.seed("Q8")
def test_the_recipe_prints_exp_of_a_worker_token(tmp_path: Path) -> None:
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq"), "JWT_SECRET": SECRET}
    now = int(time.time())
    # Names of every length modulo three, and with what base64url spells with `-` and `_`.
    for name in ("w", "wo", "wor", "w>", "w?", "wo~~~", "???>>>~~~", "pâché", "工"):
        line = f"backstay token --kind worker --ttl 10m --sub '{name}' --data {tmp_path}"
        token = shell(line, **home).stdout.strip()
        assert len(token.split(".")) == 3
        printed = shell(f'echo "{token}" | {RECIPE}').stdout
        assert now + 590 <= int(printed) <= now + 700, name
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert (claims["kind"], claims["sub"]) == ("worker", name)
        assert claims["exp"] == int(printed)
    # A token of somebody else's: the product shows when the stored one ends.
    foreign = _foreign({"sub": "?>~" * 5, "exp": 1893456000})
    assert "-" in foreign or "_" in foreign
    assert shell(f"codeq auth set --worker-token {foreign}", **home).returncode == 0
    shown = shell("codeq auth show", **home).stdout
    assert "expires 2030-01-01T00:00:00Z" in shown
    assert foreign not in shown
    shell(f"codeq auth set --worker-token {_foreign({'exp': 1000000000})}", **home)
    assert "expired 2001-09-09T01:46:40Z" in shell("codeq auth show", **home).stdout


def _foreign(claims: dict[str, object]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "k"}, claims)]
    return ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"signature")
    )


@contextmanager
def workers(queue: Serving, event: str, work: str, count: int, concurrency: int) -> Iterator[None]:
    """So many `codeq worker start`, all of them listening when they are handed over."""
    said = queue.folder / f"{event}.txt"
    words = (
        f"codeq --base-url http://127.0.0.1:{queue.port} worker start --events {event}"
        f" --exec '{work}' --concurrency {concurrency}"
    )
    with said.open("wb") as out:
        started = [
            subprocess.Popen(
                ["bash", "-c", f"exec {words}"],
                env=clean_env(CODEQ_CONFIG_DIR=str(queue.folder / "codeq")),
                stdout=out,
            )
            for _ in range(count)
        ]
    try:
        until(lambda: said.read_text().count("Listening") == count, PATIENCE, said.read_text)
        yield
    finally:
        for worker in started:
            worker.kill()  # idle by now; a friendly end would first wait for its long poll
            worker.wait(PATIENCE)


def _rate(queue: Serving, event: str, work: str, count: int, concurrency: int) -> float:
    """Tasks a second, from the first one stored to the last one completed."""
    number = 8
    with workers(queue, event, work, count, concurrency):
        began = time.monotonic()
        ids = [_create(queue, event) for _ in range(number)]
        left = set(ids)

        def done() -> bool:
            for task in list(left):
                if queue.ask("GET", f"/v1/codeq/tasks/{task}").json["status"] == "COMPLETED":
                    left.discard(task)
            return not left

        until(done, PATIENCE, lambda: f"{len(left)} are left")
        return number / (time.monotonic() - began)


def _create(queue: Serving, event: str) -> str:
    answer = queue.ask("POST", "/v1/codeq/tasks", {"command": event, "payload": {}})
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


@pytest.mark.seed("Q42")
def test_more_workers_do_more_until_something_is_saturated_and_waiting_adds_nothing(
    queue: Serving,
) -> None:
    # Work that mostly waits: twice the hands, nearly twice the work.
    sleep = "sleep 0.4"
    alone = _rate(queue, "ALONE", sleep, 1, 1)
    concurrent = _rate(queue, "FOUR", sleep, 1, 4)
    several = _rate(queue, "TWO", sleep, 2, 2)
    assert concurrent > 1.7 * alone
    assert several > 1.7 * alone
    # Work on one resource that only one can have at a time: more hands do not help.
    single = f"flock {queue.folder}/lock sleep 0.4"
    saturated = _rate(queue, "SINGLE", single, 1, 4)
    assert saturated < 1.3 / 0.4

    for wait in (5, 10):
        took = []
        for _ in range(3):
            claim = {"commands": ["WAIT"], "waitSeconds": wait, "leaseSeconds": 30}
            waiting = Later(queue, "POST", "/v1/codeq/tasks/claim", claim)
            waiting.join(0.3)
            assert waiting.is_alive()
            began = time.monotonic()
            task = _create(queue, "WAIT")
            answer = waiting.answer()
            took.append(time.monotonic() - began)
            assert (answer.status, answer.json["id"]) == (200, task)
        assert min(took) < 0.5, took
        assert max(took) < wait / 2, took
