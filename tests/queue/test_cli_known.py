"""The flags of codeQ's command line: each is taken, or the page for those who come from it names it."""

import json
from pathlib import Path

import click
import pytest
import yaml
from tests.queue.support import run_codeq
from tests.queue.test_client import scripted

from backstay.cli.codeq import command as codeq

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "from-codeq.md"

FLAGS = {
    "": "base-url producer-token worker-token admin profile iam-base-url iam-api-key",
    "init": "base-url iam-base-url iam-api-key producer-token worker-token admin no-prompt",
    "auth set": "producer-token worker-token admin",
    "auth show": "",
    "auth clear": "producer worker all",
    "auth login": "email password login-url method content-type payload payload-file token-path"
    " header exchange-url exchange-method exchange-content-type exchange-token-path audience"
    " tenant-id scope exchange-header no-exchange save no-prompt",
    "task create": "event payload priority webhook max-attempts idempotency-key run-at"
    " delay-seconds",
    "task get": "",
    "task result": "",
    "task list": "",
    "worker start": "events concurrency lease-seconds wait-seconds ack nack-delay",
    "queue inspect": "dlq",
    "admin cleanup": "command",
    "install": "target size release namespace chart output-dir image domain redis-addr"
    " identity-service-url worker-jwks-url worker-issuer worker-audience webhook-hmac-secret"
    " build build-context execute no-prompt",
}
REFUSED = {("install", "build"), ("install", "build-context"), ("install", "execute")}


def found(path: str) -> click.Command:
    here: click.Command = codeq
    for word in path.split():
        assert isinstance(here, click.Group)
        here = here.commands[word]
    return here


@pytest.mark.parametrize("path", FLAGS)
def test_each_flag_of_codeq_is_taken_or_refused_by_name(path: str):
    taken = {name for parameter in found(path).params for name in parameter.opts}
    page = PAGE.read_text()
    for flag in FLAGS[path].split():
        if (path, flag) in REFUSED:
            assert f"`{path} --{flag}`" in page
            assert f"--{flag}" not in taken
            told = run_codeq(*path.split(), f"--{flag}")
            assert told.returncode == 2
            assert f"--{flag}" in told.stderr
        else:
            assert f"--{flag}" in taken, flag


def test_commands_and_values_of_codeq_that_are_refused_are_named():
    page = PAGE.read_text()
    assert "`migrate-shards`" in page
    assert "migrate-shards" in run_codeq("migrate-shards").stderr
    assert "`worker start --ack none`" in page
    refused = run_codeq("worker", "start", "--ack", "none")
    assert (refused.returncode, "none" in refused.stderr) == (2, True)


def test_the_provider_is_named_before_the_command_or_kept_by_init(tmp_path: Path):
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}
    who = ("--email", "me", "--password", "x", "--no-exchange")
    with scripted(*[(200, {"idToken": "t"}, {})] * 3) as iam:
        before = ("--iam-base-url", iam.url, "--iam-api-key", "k 1")
        assert run_codeq(*before, "auth", "login", *who, env=home).returncode == 0
        made = ("init", "--iam-base-url", iam.url, "--iam-api-key", "kept-key", "--no-prompt")
        assert run_codeq(*made, env=home).returncode == 0
        told = run_codeq("auth", "login", *who, env=home)
        assert told.returncode == 0, told.stderr
        shown = run_codeq("auth", "show", env=home).stdout
        assert iam.url in shown
        assert "kept-key" not in shown
        # A key that was kept for one provider is not sent to another.
        other = iam.url.replace("127.0.0.1", "localhost")
        run_codeq("--iam-base-url", other, "auth", "login", *who, env=home)
    assert [path for _, path, _ in iam.asked] == [
        "/signInWithPassword?key=k%201",
        "/signInWithPassword?key=kept-key",
        "/signInWithPassword",
    ]


def test_what_another_address_gave_is_not_sent_to_the_kept_provider(tmp_path: Path):
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}
    with scripted((200, {"idToken": "t"}, {})) as iam, scripted((200, {}, {})) as kept:
        assert (
            run_codeq("init", "--iam-base-url", kept.url, "--no-prompt", env=home).returncode == 0
        )
        who = ("--login-url", iam.url, "--email", "me", "--password", "x")
        assert run_codeq("auth", "login", *who, env=home).returncode == 0
    assert (len(iam.asked), kept.asked) == (1, [])


def test_install_takes_the_address_of_the_producers_issuer(tmp_path: Path):
    service = ("--identity-service-url", "https://id.example/", "--no-prompt")
    told = run_codeq("install", *service, "--output-dir", str(tmp_path / "out"))
    assert told.returncode == 0, told.stderr
    written = (tmp_path / "out" / ".env").read_text().splitlines()
    assert "IDENTITY_ISSUER=https://id.example" in written
    assert "IDENTITY_JWKS_URL=https://id.example/v1/.well-known/jwks.json" in written


def test_a_login_is_sent_as_the_provider_wants_it(tmp_path: Path):
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}
    payload = tmp_path / "who.json"
    payload.write_text(json.dumps({"user": "me & you"}))
    with scripted((200, {"idToken": "t"}, {})) as iam:
        form = ("--method", "PUT", "--content-type", "application/x-www-form-urlencoded")
        told = run_codeq(
            *("auth", "login", "--login-url", iam.url, *form, "--payload-file", str(payload)),
            env=home,
        )
    assert told.returncode == 0, told.stderr
    [(method, _, body)] = iam.asked
    assert (method, body) == ("PUT", b"user=me+%26+you")


def test_admin_is_taken_and_said_to_change_nothing(tmp_path: Path):
    home = {"CODEQ_CONFIG_DIR": str(tmp_path / "codeq")}
    told = run_codeq("auth", "set", "--admin", env=home)
    assert (told.returncode, "[WARN]" in told.stderr) == (0, True)
    kept = yaml.safe_load((tmp_path / "codeq" / "config.yaml").read_text())
    assert kept["profiles"]["default"] == {}
