"""What `codeq` keeps between two calls, how it logs in elsewhere, and what it writes to install."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.queue.support import Server, clean_env, run_codeq, serving
from tests.queue.test_client import scripted


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}


def kept(home: dict[str, str]) -> dict[str, Any]:
    return yaml.safe_load((Path(home["CODEQ_CONFIG_DIR"]) / "config.yaml").read_text())["profiles"]


def test_init_makes_a_profile_and_asks_for_what_was_not_said(home: dict[str, str]):
    told = run_codeq(
        "init", "--base-url", "http://q:1", "--producer-token", "p-1", "--no-prompt", env=home
    )
    assert told.stdout.startswith("[OK] Initialized profile 'default' at ")
    assert kept(home)["default"] == {"baseUrl": "http://q:1", "producerToken": "p-1"}
    asked = run_codeq("--profile", "other", "init", env=home, input="http://q:2\np-2\nw-2\n")
    assert asked.returncode == 0, asked.stderr
    assert "p-2" not in asked.stdout
    assert kept(home)["other"] == {
        "baseUrl": "http://q:2",
        "producerToken": "p-2",
        "workerToken": "w-2",
    }


def test_the_profile_names_the_server(server: Server, home: dict[str, str]):
    run_codeq("init", "--base-url", server.base_url, "--no-prompt", env=home)
    assert run_codeq("task", "list", env=home).returncode == 0


def test_tokens_are_forgotten_one_by_one_or_all(home: dict[str, str]):
    tokens = ("--producer-token", "p", "--worker-token", "w", "--admin-token", "a")
    run_codeq("auth", "set", *tokens, env=home)
    assert run_codeq("auth", "clear", "--worker", env=home).returncode == 0
    assert kept(home)["default"] == {"producerToken": "p", "workerToken": "", "adminToken": "a"}
    told = run_codeq("auth", "clear", env=home)
    assert told.stdout == "[OK] Tokens cleared for 'default'\n"
    assert not any(kept(home)["default"].values())


def test_weakness_23_tokens_lie_where_only_their_owner_reads_and_else_one_is_warned(
    server: Server, home: dict[str, str]
):
    address = {**home, "CODEQ_BASE_URL": server.base_url}
    run_codeq("auth", "set", "--producer-token", "a-token-of-some-length", env=home)
    file = Path(home["CODEQ_CONFIG_DIR"]) / "config.yaml"
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    for command in (("auth", "show"), ("admin", "deliveries")):
        assert "[WARN]" not in run_codeq(*command, env=address).stderr
    file.chmod(0o644)
    for command in (("auth", "show"), ("admin", "deliveries")):
        told = run_codeq(*command, env=address).stderr
        assert told.count("[WARN]") == 1
        assert f"chmod 600 {file}" in told
        assert "a-token" not in told
    # The next that writes mends it.
    run_codeq("auth", "set", "--worker-token", "w", env=home)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_config_that_cannot_be_read_is_named(home: dict[str, str]):
    folder = Path(home["CODEQ_CONFIG_DIR"])
    folder.mkdir()
    (folder / "config.yaml").write_text("profiles: [\n")
    told = run_codeq("auth", "show", env=home)
    assert told.returncode == 2
    assert "config.yaml" in told.stderr
    assert "Traceback" not in told.stderr


# --- a login elsewhere -----------------------------------------------------------------------


def test_a_password_becomes_a_token_and_that_one_another(home: dict[str, str]):
    with scripted(
        (200, {"auth": {"id": "first"}}, {}), (200, {"accessToken": "second"}, {})
    ) as iam:
        told = run_codeq(
            *("auth", "login", "--iam-base-url", iam.url, "--iam-api-key", "k1"),
            *("--email", "me@example.com", "--password", "hunter22", "--token-path", "auth.id"),
            *("--tenant-id", "acme", "--scope", "codeq:produce"),
            env=home,
        )
    assert told.returncode == 0, told.stderr
    assert told.stdout == "[OK] Logged in. Token stored for 'default'\n"
    assert kept(home)["default"]["producerToken"] == "second"
    (_, login, credentials), (_, exchange, wanted) = iam.asked
    assert login == "/signInWithPassword?key=k1"
    assert json.loads(credentials) == {"email": "me@example.com", "password": "hunter22"}
    assert exchange == "/token/exchange?key=k1"
    assert json.loads(wanted) == {
        "idToken": "first",
        "audience": "codeq-producer",
        "tenantId": "acme",
        "scopes": ["codeq:produce"],
    }


def test_a_login_that_is_refused_or_gives_no_token_says_so_and_keeps_what_was(
    home: dict[str, str],
):
    run_codeq("auth", "set", "--worker-token", "old", env=home)
    base = ("auth", "login", "--email", "me", "--password", "x", "--role", "worker")
    with scripted((401, {"error": "INVALID_PASSWORD"}, {}), (200, {"token": "new"}, {})) as iam:
        refused = run_codeq(*base, "--login-url", iam.url, env=home)
        assert refused.returncode == 3
        assert "INVALID_PASSWORD" in refused.stderr
        assert iam.url in refused.stderr
        elsewhere = run_codeq(*base, "--login-url", iam.url, env=home)
        assert elsewhere.returncode == 2
        assert "idToken" in elsewhere.stderr
    assert kept(home)["default"]["workerToken"] == "old"


def test_a_login_where_nobody_issues_tokens_says_what_to_do(home: dict[str, str], tmp_path: Path):
    told = run_codeq("auth", "login", "--data", str(tmp_path / "none"), env=home)
    assert told.returncode == 3
    assert "QUEUE065" in told.stderr
    assert "--login-url" in told.stderr
    assert not Path(home["CODEQ_CONFIG_DIR"]).exists()


def test_a_token_may_be_printed_instead_of_kept(home: dict[str, str]):
    with scripted((200, {"idToken": "t-1"}, {})) as iam:
        login = ("--login-url", iam.url, "--payload", '{"code": 1}', "--no-save")
        told = run_codeq("auth", "login", *login, env=home)
    assert told.stdout == "producer_token: t-1\n"
    assert iam.asked[0][2] == b'{"code":1}'
    assert not Path(home["CODEQ_CONFIG_DIR"]).exists()


# --- install ---------------------------------------------------------------------------------


def test_files_for_docker_keep_the_secret_out_of_the_compose_file(
    home: dict[str, str], tmp_path: Path
):
    folder = tmp_path / "out"
    told = run_codeq("install", "--output-dir", str(folder), env=home)
    assert told.returncode == 0, told.stderr
    assert "docker compose" in told.stdout
    compose = (folder / "compose.yaml").read_text()
    env = dict(line.split("=", 1) for line in (folder / ".env").read_text().split())
    assert len(env["WEBHOOK_HMAC_SECRET"]) == 64
    assert env["WEBHOOK_HMAC_SECRET"] not in compose
    assert env["WORKER_AUDIENCE"] == "codeq-worker"
    assert yaml.safe_load(compose)["services"]["codeq"]["env_file"] == ".env"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    # What is there is not replaced unasked: a lost secret breaks every receiver.
    again = run_codeq("install", "--output-dir", str(folder), env=home)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_a_server_starts_by_the_env_file_and_takes_tokens_of_its_secret(
    home: dict[str, str], tmp_path: Path
):
    folder = tmp_path / "out"
    told = run_codeq("install", "--output-dir", str(folder), env=home)
    assert "backstay token" in told.stdout
    env = dict(line.split("=", 1) for line in (folder / ".env").read_text().split())
    # What the container is told, short of the address: this machine's loopback is all we open.
    with serving(tmp_path / "data", env=env) as server:
        assert server.get("/tasks").status == 401
        minted = subprocess.run(
            (sys.executable, "-m", "backstay.cli.backstay", "token", "--scope", "codeq:admin"),
            env=clean_env() | {"JWT_SECRET": env["JWT_SECRET"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        bearer = {"Authorization": f"Bearer {minted.stdout.strip()}"}
        assert server.get("/tasks", headers=bearer).status == 200


def test_helm_values_hold_what_the_seed_sets(home: dict[str, str], tmp_path: Path):
    folder = tmp_path / "out"
    told = run_codeq(
        *("install", "--target", "kubernetes", "--size", "medium", "--output-dir", str(folder)),
        *("--worker-jwks-url", "https://w/jwks", "--worker-issuer", "https://w"),
        *("--identity-jwks-url", "https://p/jwks", "--webhook-hmac-secret", "s3cret"),
        *("--redis-addr", "valkey:6379", "--image", "registry.local/backstay:1.2"),
        env=home,
    )
    assert told.returncode == 0, told.stderr
    assert "helm upgrade --install codeq ./helm/codeq" in told.stdout
    values = yaml.safe_load((folder / "values.yaml").read_text())
    assert values["secrets"] == {"enabled": True, "webhookHmacSecret": "s3cret"}
    assert values["config"]["workerJwksUrl"] == "https://w/jwks"
    assert values["config"]["workerIssuer"] == "https://w"
    assert values["replicaCount"] == 3
    assert values["image"] == {"repository": "registry.local/backstay", "tag": "1.2"}


def test_a_queue_for_production_without_keys_is_refused_with_all_that_is_missing(
    home: dict[str, str], tmp_path: Path
):
    told = run_codeq("install", "--size", "small", "--output-dir", str(tmp_path / "o"), env=home)
    assert told.returncode == 2
    for flag in ("--identity-jwks-url", "--worker-jwks-url", "--worker-issuer"):
        assert flag in told.stderr
    assert not (tmp_path / "o").exists()
