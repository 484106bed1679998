"""The commands as a person types them: real console scripts, exit codes, nearest words, JSON."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.up.conftest import Up, until

from backstay.core.runtime import find_runtime
from backstay.up.catalogue import entries
from backstay.up.ports import free_port

SERVER_LIBRARIES = ("granian", "aiohttp", "structlog", "httptools", "uvloop", "prometheus_client")


def backstay(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backstay.cli.backstay", *words],
        capture_output=True,
        text=True,
        timeout=30,
        **more,
    )


def test_an_unknown_command_names_the_nearest() -> None:
    done = backstay("statsu")
    assert done.returncode == 2
    assert "Did you mean status?" in done.stderr


def test_an_unknown_flag_names_the_nearest() -> None:
    done = backstay("status", "--dta", "x")
    assert done.returncode == 2
    assert "Did you mean --data?" in done.stderr


def test_status_where_nothing_runs_is_not_reachable(tmp_path: Path) -> None:
    done = backstay("status", "--data", str(tmp_path))
    assert done.returncode == 4
    assert "UP004" in done.stderr
    assert not list(tmp_path.iterdir())


def test_explain_tells_why_and_what_to_do() -> None:
    done = backstay("explain", "up001")
    assert done.returncode == 0
    assert "UP001" in done.stdout
    assert "fix: end that program" in done.stdout
    as_json = json.loads(backstay("explain", "UP001", "--output", "json").stdout)
    assert as_json["exit"] == 4


def test_explain_offers_the_nearest_code() -> None:
    done = backstay("explain", "UP0001")
    assert done.returncode == 2
    assert "did you mean UP001?" in done.stderr


def test_explain_shows_words_where_a_message_has_holes() -> None:
    said = backstay("explain", "UP002").stdout
    assert "<place in the file>: <what is wrong>" in said
    assert "fix: differs from case to case" in said
    said = backstay("explain", "CORE020").stdout
    assert "calls to <target> failed <failures> times" in said
    assert "<seconds to wait> s" in said
    assert "{" not in said


def test_no_code_means_two_things() -> None:
    by_code: dict[str, str] = {}
    for entry in entries():
        assert re.fullmatch(r"(CORE|AUTH|QUEUE|LANG|APP|GATE|PATCH|UP|DOC)\d{3}", entry.code)
        assert by_code.setdefault(entry.code, entry.message) == entry.message


def test_every_entry_of_the_package_is_in_the_catalogue() -> None:
    declared = {
        code
        for file in Path(sys.modules["backstay"].__path__[0]).rglob("*.py")
        for code in re.findall(
            r'(?:code=|^    |_entry\()"((?:CORE|AUTH|QUEUE|LANG|APP|GATE|PATCH|UP|DOC)\d{3})"',
            file.read_text(),
        )
    }
    assert declared - {entry.code for entry in entries()} == set()


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["explain", "CORE060"],
        ["explain", "UP001"],
        ["status"],
        ["down"],
        ["logs"],
        ["token", "--ttl", "5m"],
        ["config", "--help"],
        ["up", "--help"],
    ],
    ids=" ".join,
)
def test_a_command_pulls_no_server_library(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, atexit\n"
        f"sys.argv = ['backstay', *{words!r}]\n"
        f"names = {(*SERVER_LIBRARIES, 'rich')!r}\n"
        "atexit.register(lambda: print('PULLED', [n for n in names if n in sys.modules]))\n"
        "from backstay.cli.backstay import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert "PULLED []" in done.stdout, done.stdout + done.stderr


def test_a_token_is_signed_with_the_secret_of_the_data_folder(tmp_path: Path) -> None:
    import asyncio

    from backstay.core.clock import SystemClock
    from backstay.core.dev_issuer import read_dev_issuer
    from backstay.core.tokens import SharedSecret
    from backstay.core.validators import Jwt

    done = backstay(
        "token", "--data", str(tmp_path), "--scope", "admin", "--role", "staff", "--tenant", "acme"
    )
    secret = read_dev_issuer(tmp_path)
    assert secret is not None
    validator = Jwt(SharedSecret(secret), "backstay", "backstay", SystemClock())
    who = asyncio.run(validator.validate(done.stdout.strip()))
    assert (who.scopes, who.roles, who.tenant) == ({"admin"}, {"staff"}, "acme")


def test_status_restart_logs_and_down_of_a_running_house(up) -> None:
    one: Up = up("queue", "gateway")
    one.until_shown()
    data = ["--data", str(one.data)]

    told = backstay("status", *data, "--output", "json")
    assert told.returncode == 0
    processes = json.loads(told.stdout)["processes"]
    assert {name: p["state"] for name, p in processes.items()} == {
        "queue": "ready",
        "gateway": "ready",
    }

    assert "Did you mean queue?" in backstay("restart", "quue", *data).stderr
    again = backstay("restart", "queue", *data)
    assert (again.returncode, again.stdout) == (0, "queue: ready\n")
    assert one.state()["processes"]["queue"]["pid"] != processes["queue"]["pid"]

    assert "queue drains" in backstay("logs", "queue", *data).stdout
    assert "queue   | queue drains" in backstay("logs", *data).stdout
    assert backstay("reset", "--yes", *data).returncode == 1

    done = backstay("down", *data)
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert one.wait() == 0
    assert backstay("down", *data).stdout == "nothing runs\n"


def test_logs_follow_what_comes(up) -> None:
    chatter = (
        "import time\nn = 0\nwhile True:\n  n += 1; print('line', n, flush=True); time.sleep(.1)"
    )
    one: Up = up(f"chatter=extra:{chatter}")
    until(lambda: "line 1" in one.text())
    follower = subprocess.Popen(
        [sys.executable, "-m", "backstay.cli.backstay", "logs", "-f", "chatter"],
        env={**os.environ, "BACKSTAY_DATA": str(one.data)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    seen = [follower.stdout.readline() for _ in range(8)]
    follower.send_signal(signal.SIGINT)
    assert follower.wait(5) == 130
    numbers = [int(line.split()[1]) for line in seen]
    assert numbers == list(range(1, 9))


def test_config_show_masks_secrets_and_names_the_origin(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("# all\nqueue: {}\nup:\n  # where\n  port: 9999\n")
    done = backstay(
        "config",
        "show",
        *("--data", str(tmp_path / "d"), "--config", str(file)),
        env={**os.environ, "JWT_SECRET": "very-secret-indeed"},
    )
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["up.port"] == ["9999", "file", "config.yaml:5"]
    assert rows["up.jwt_secret"][1:] == ["env", "JWT_SECRET"]
    assert "very-secret" not in done.stdout


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("up:\n  prot: 9999\n")
    done = backstay("config", "show", "--data", str(tmp_path / "d"), "--config", str(file))
    assert done.returncode == 2
    assert "config.yaml:2" in done.stderr
    assert "port" in done.stderr
    file.write_text("qeue:\n  durability: process\n")
    done = backstay("config", "show", "--data", str(tmp_path / "d"), "--config", str(file))
    assert "config.yaml:1:1" in done.stderr
    assert "queue" in done.stderr


def test_config_show_says_plainly_that_a_secret_is_not_set(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "JWT_SECRET"}
    text = backstay("config", "show", "--data", str(tmp_path / "d"), env=env).stdout
    assert "Secret(" not in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert rows["setting"] == ["value", "from", "where"]
    assert rows["up.jwt_secret"] == ["-", "default"]
    assert rows["queue.require_lease_token"] == ["false", "default"]


def test_a_mistake_in_a_systems_section_is_told_before_anything_starts(
    tmp_path: Path, free_port: int
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("queue: {}\ngateway:\n  rate_limitt: 9\n")
    data = tmp_path / "d"
    done = backstay("up", *("--data", str(data), "--port", str(free_port), "--config", str(file)))
    assert done.returncode == 2
    assert f"{file}:3: key rate_limitt" in done.stderr
    assert "rate_limit'" in done.stderr
    assert not data.exists()


def test_a_wrong_word_gets_the_nearest_of_its_kind(tmp_path: Path) -> None:
    assert "Did you mean --output?" in backstay("config", "show", "--outptu", "json").stderr
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "queue.log").touch()
    said = backstay("logs", "quue", "--data", str(tmp_path)).stderr
    assert "fix: name one of them. Did you mean queue?" in said


def test_a_missing_program_is_told(tmp_path: Path, free_port: int) -> None:
    done = backstay("up", "nothing.cai", "--data", str(tmp_path / "d"), "--port", str(free_port))
    assert done.returncode == 2
    assert "nothing.cai" in done.stderr
    assert "Traceback" not in done.stderr


def test_reset_deletes_only_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert backstay("reset", "--yes", "--data", str(tmp_path)).returncode == 2
    assert (tmp_path / "mine.txt").exists()


def test_reset_asks_before_it_deletes(up) -> None:
    one: Up = up("queue")
    one.until_shown()
    one.signal(signal.SIGINT)
    one.wait()
    asked = backstay("reset", "--data", str(one.data))
    assert asked.returncode == 2
    assert "UP014" in asked.stderr
    assert one.data.exists()
    assert backstay("reset", "--yes", "--data", str(one.data)).returncode == 0
    assert not one.data.exists()
    assert not find_runtime(one.data).exists()


def test_a_start_in_the_background_that_is_refused_says_why(tmp_path: Path) -> None:
    """It ended with 2 and not a word: what the gateway had said was in the log alone."""
    env = {name: text for name, text in os.environ.items() if name != "JWT_SECRET"}
    words = ("up", "--host", "0.0.0.0", "--port", str(free_port()), "--data", str(tmp_path / "d"))
    for _ in range(2):
        done = backstay(*words, "--detach", env=env)
        assert done.returncode == 2
        assert done.stderr.count("CORE012: refused to listen") == 2
        assert "fix: set JWT_SECRET" in done.stderr
        assert '"level"' not in done.stderr


@pytest.mark.parametrize("name", ["backstay", "codeai", "codeq", "patchgen"])
def test_every_command_alone_shows_its_help_and_tells_the_shell_how_to_complete(name: str) -> None:
    python = [sys.executable, "-m", f"backstay.cli.{name}"]
    alone = subprocess.run(python, capture_output=True, text=True, timeout=30)
    assert alone.returncode == 2
    assert alone.stderr.startswith(f"Usage: {name} [OPTIONS]")
    told = subprocess.run([*python, "completion", "bash"], capture_output=True, text=True)
    assert f"_{name.upper()}_COMPLETE" in told.stdout
    typed = {"COMP_WORDS": f"{name} compl", "COMP_CWORD": "1"}
    asked = {**os.environ, **typed, f"_{name.upper()}_COMPLETE": "bash_complete"}
    found = subprocess.run(python, capture_output=True, text=True, env=asked)
    assert found.stdout.split() == ["plain,completion"]
