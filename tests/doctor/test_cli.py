"""`backstay doctor` as a person types it: exit codes, one quiet line, JSON, bundles, bad input."""

import asyncio
import json
import os
import subprocess
import sys
import threading

import pytest
from world import World

from backstay.up.ports import free_port

RUN = [sys.executable, "-m", "backstay.cli.backstay", "doctor"]


@pytest.fixture
def running(tmp_path):
    """A healthy world served by a thread of its own, as the command blocks this one."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    world = World(tmp_path)
    asyncio.run_coroutine_threadsafe(world.start(), loop).result(5)
    world.do = lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(5)
    yield world
    world.do(world.close())
    loop.call_soon_threadsafe(loop.stop)


def doctor(*arguments, cwd=None):
    env = {key: value for key, value in os.environ.items() if not key.startswith("BACKSTAY")}
    env.pop("JWT_SECRET", None)
    return subprocess.run(
        [*RUN, *map(str, arguments)], capture_output=True, text=True, env=env, cwd=cwd, timeout=20
    )


def test_healthy_is_one_line_and_exit_0(running):
    done = doctor("--data", running.data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("healthy: ")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_wrong_is_told_with_evidence_and_command_and_exit_1(running):
    running.do(running.kill("queue"))
    done = doctor("--data", running.data)
    assert done.returncode == 1
    assert "wrong: the queue process" in done.stdout
    assert "queue.live is silent" in done.stdout
    assert "ruled out" in done.stdout
    assert f"    backstay restart queue --data {running.data}\n" in done.stdout
    assert "sha256" in done.stdout


def test_json_is_pure_and_complete(running):
    running.do(running.kill("queue"))
    done = doctor("--data", running.data, "--output", "json")
    verdict = json.loads(done.stdout)
    assert verdict["status"] == "wrong"
    assert verdict["findings"][0]["cause"] == "queue-dead"
    assert verdict["findings"][0]["fixes"][0]["command"].startswith("backstay restart queue")
    assert done.returncode == 1


def test_when_nothing_runs_it_says_so(tmp_path):
    done = doctor("--url", f"http://127.0.0.1:{free_port()}", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing was ever started on the data folder" in done.stdout
    assert "backstay up" in done.stdout
    assert not list(tmp_path.iterdir()), "it only looks"


def test_the_data_folder_is_found_from_inside_a_project(running, tmp_path):
    project = tmp_path / "project"
    deep = project / "src" / "deep"
    deep.mkdir(parents=True)
    (project / ".backstay").symlink_to(running.data)
    (running.data / "run.path").write_text(f"{running.runtime}\n")
    done = doctor(cwd=deep)
    assert done.returncode == 0, done.stdout


def test_words_that_no_guide_knows_are_exit_2(running):
    done = doctor("--data", running.data, "the frobnicator is purple")
    assert done.returncode == 2
    assert "no guide knows this text" in done.stdout


def test_words_that_a_guide_knows_are_judged_by_what_is_seen(running):
    done = doctor("--data", running.data, "circuit breaker is open")
    assert done.returncode == 0
    assert "ruled out: service-down" in done.stdout
    assert doctor("--data", running.data, "AUTH002 token has expired").returncode == 1


def test_a_bundle_is_judged_again_with_the_same_bytes(running, tmp_path):
    running.do(running.kill("queue"))
    bundle = tmp_path / "bundle.json"
    first = doctor("--data", running.data, "--output", "json", "--bundle", bundle)
    assert bundle.stat().st_mode & 0o077 == 0
    again = doctor("--data", tmp_path, "--output", "json", "--replay", bundle)
    assert again.stdout == first.stdout
    assert again.returncode == 1


def test_a_token_reaches_neither_output_nor_bundle(running, tmp_path):
    bundle = tmp_path / "bundle.json"
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2VjcmV0LXNpZ25hdHVyZQ"
    done = doctor("--data", running.data, "--token", token, "--bundle", bundle)
    assert "c2VjcmV0" not in done.stdout + bundle.read_text()


def test_one_guide_can_be_asked_alone(running):
    running.do(running.kill("queue"))
    assert doctor("--data", running.data, "--only", "disk-full").returncode == 0
    assert doctor("--data", running.data, "--only", "queue-dead").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "queue-ded"], "error DOC001: no troubleshooting guide is called 'queue-ded'"),
        (["--only", "queue-ded"], "perhaps queue-dead"),
        (["--replay", "/nowhere"], "error DOC003: the bundle /nowhere cannot be read"),
        (["--bundle", "/nowhere/x"], "error DOC002: the bundle /nowhere/x cannot be written"),
        (["--dta", "x"], "Did you mean --data"),
    ],
)
def test_bad_input_is_named_with_exit_2(tmp_path, arguments, says):
    done = doctor("--url", "http://127.0.0.1:1", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_it_imports_no_server():
    script = (
        "import sys; import backstay.cli.doctor, backstay.doctor.session, backstay.systems as s;"
        "s.guides(); print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"aiohttp", "granian", "apsw", "uvloop", "httptools", "joserfc", "rich"}
