"""The compose file and the Dockerfile. No Docker is here: their structure is checked, and what they
would start is started as a process with the same environment and words."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.deploy.monitoring import DEPLOY, REPOSITORY
from tests.queue.support import SERVER, Server, serving
from tests.servers.valkey import RedisServer

FOLDER = DEPLOY / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
KEY = "a-secret-of-our-own-that-is-long-enough"
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """As compose does it: `${NAME:-default}`, `${NAME:?must be set}`."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if env.get(name):
            return env[name]
        assert kind != ":?", f"{name}: {rest}"
        return rest or ""

    return _VARIABLE.sub(value, text)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    given = COMPOSE["services"]["codeq"]["environment"]
    return {name: interpolated(str(text), env) for name, text in given.items()}


def instructions() -> list[tuple[str, str]]:
    text = (FOLDER / "Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", text))
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in lines]


def test_what_compose_would_start_serves(tmp_path: Path) -> None:
    given = environment({"WEBHOOK_HMAC_SECRET": "hush", "JWT_SECRET": KEY})
    with serving(tmp_path / "data", env=given) as server:
        assert server.post("/tasks", {"command": "A", "payload": {}}).status == 401
        token = _token(tmp_path)
        sent = server.post("/tasks", {"command": "A", "payload": {}}, headers=_bearer(token))
        assert sent.status == 202, sent.body


def test_with_the_profile_the_tasks_are_in_valkey(tmp_path: Path, valkey: RedisServer) -> None:
    address = f"127.0.0.1:{valkey.port}"
    said = {"WEBHOOK_HMAC_SECRET": "hush", "JWT_SECRET": KEY, "REDIS_ADDR": address}
    with serving(tmp_path / "data", env=environment(said)) as server:
        body = {"command": "COMPOSED", "payload": {}}
        sent = server.post("/tasks", body, headers=_bearer(_token(tmp_path)))
        assert sent.status == 202, sent.body
    assert not (tmp_path / "data" / "queue.db").exists()


def test_without_its_secrets_the_server_says_which_are_missing(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", env=environment({"WEBHOOK_HMAC_SECRET": "hush"}))
    server.launch()
    assert server.process is not None
    assert server.process.wait(20) == 2
    assert "WORKER_JWKS_URL" in server.log_file.read_text()


def test_the_example_environment_names_what_compose_reads() -> None:
    lines = (FOLDER / "env.example").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    text = (FOLDER / "compose.yaml").read_text()
    assert names <= {found[1] for found in _VARIABLE.finditer(text)}
    assert {found[1] for found in _VARIABLE.finditer(text) if found[2] == ":?"} <= names


def test_services_have_what_they_mount_and_no_rights() -> None:
    queue, store = COMPOSE["services"]["codeq"], COMPOSE["services"]["valkey"]
    mounted = {one.partition(":")[0] for it in (queue, store) for one in it["volumes"]}
    assert mounted == set(COMPOSE["volumes"])
    assert (queue["read_only"], queue["cap_drop"]) == (True, ["ALL"])
    assert store["profiles"] == ["valkey"], "the queue alone needs no other server"
    assert "profiles" not in queue
    assert queue["ports"][0].startswith("127.0.0.1:"), "nothing is open to the network by default"
    build = queue["build"]
    root = (FOLDER / build["context"]).resolve()
    assert (root, (root / build["dockerfile"]).is_file()) == (REPOSITORY, True)


def test_the_image_copies_what_is_there_and_runs_without_rights() -> None:
    steps = instructions()
    allowed = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for word, rest in steps:
        if word == "COPY" and "--from" not in rest:
            for source in shlex.split(rest)[:-1]:
                assert (REPOSITORY / source).exists(), source
                assert f"!{Path(source).parts[0]}" in allowed, source
    last = dict(steps)
    assert last["USER"] == "10001:10001"
    assert last["CMD"].startswith('["codeq-server", "--listen", "0.0.0.0:8080"')
    assert len({rest.split()[0] for word, rest in steps if word == "FROM"}) == 1


def test_the_command_of_the_image_is_one_that_the_server_takes() -> None:
    done = subprocess.run([*SERVER, "--help"], capture_output=True, text=True, check=True)
    words = yaml.safe_load(dict(instructions())["CMD"])
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


def _token(folder: Path) -> str:
    command = [sys.executable, "-m", "backstay.cli.backstay", "token", "--scope", "codeq:produce"]
    done = subprocess.run(
        [*command, "--data", str(folder / "data")],
        capture_output=True,
        text=True,
        env={**os.environ, "JWT_SECRET": KEY},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
