"""Statements of patchgen's list against `patchgen serve` on a real socket, and its other processes."""

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, Later, Serving, shell
from tests.e2e.stack import Answer, until
from tests.servers.require import absent
from tests.servers.slowed import held_up

from backstay.patchgen.model import Intent
from backstay.patchgen.render import render

PROBE = Intent(intent_type="scaling", target="readiness-test", namespace="default", replicas=1)
SEED = {"intent_type": "scaling", "target": "test", "namespace": "default", "replicas": 3}
LIMIT = 1_048_576


@contextmanager
def server(folder: Path, *words: str, **env: str) -> Iterator[Serving]:
    """A server whose packages go to `folder/out`, temporary files to `folder/tmp`."""
    for name in ("out", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    command = (*words, str(BIN / "patchgen"), "serve")
    serving = Serving(folder, *command, health="/debug/none" if "health" in env else "/ready")
    try:
        given = {"PATCHGEN_OUTPUT_DIR": str(folder / "out"), "TMPDIR": str(folder / "tmp"), **env}
        yield serving.start(**given)
    finally:
        serving.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with server(tmp_path_factory.mktemp("p")) as serving:
        yield serving


def post(serving: Serving, raw: bytes, *, chunked: bool = False) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=PATIENCE)
    body = iter([raw[at : at + 65536] for at in range(0, len(raw), 65536)]) if chunked else raw
    try:
        connection.request("POST", "/intent", body, encode_chunked=chunked)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def made(serving: Serving) -> list[str]:
    return sorted(path.name for path in (serving.folder / "out").iterdir())


@pytest.mark.seed("P39")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_413_however_it_is_announced(served: Serving, chunked: bool) -> None:
    padded = json.dumps(SEED).encode().ljust(LIMIT)
    fits = post(served, padded, chunked=chunked)
    assert fits.status == 200, fits.body
    over = post(served, padded + b" ", chunked=chunked)
    assert (over.status, over.json["error"]) == (413, "Request too large")
    for answer in (fits, over, post(served, b"{"), post(served, b"")):
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.seed("P39")
def test_a_body_that_breaks_off_is_not_413(served: Serving) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as half:
        half.sendall(b"POST /intent HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        half.shutdown(socket.SHUT_WR)
        said = half.recv(65536)
    assert b" 413 " not in said.partition(b"\r\n")[0]
    assert post(served, json.dumps(SEED).encode()).status == 200


@pytest.mark.seed("P40", "P43")
def test_an_invalid_intent_is_400_with_its_cause_and_a_good_one_a_package(served: Serving) -> None:
    for body, cause in (
        ({**SEED, "replicas": 101}, "replicas out of range: 101"),
        ({**SEED, "intent_type": "scale"}, "intent_type must be 'scaling'"),
    ):
        answer = served.ask("POST", "/intent", body)
        assert answer.status == 400
        assert answer.json["error"].startswith("Validation failed: schema validation failed: ")
        assert cause in answer.json["error"]
        assert answer.json["values"]["errors"][0]["pointer"]
    broken = post(served, b'{"a":1,}')
    assert broken.json["error"].startswith("Validation failed: invalid JSON: ")

    good = served.ask("POST", "/intent", {**SEED, "target": "p43"})
    assert good.status == 200
    assert good.json["message"] == "Package generated successfully"
    verified = shell(f"patchgen verify {good.json['package_path']}")
    assert verified.returncode == 0, verified.stderr
    again = served.ask("POST", "/intent", {**SEED, "target": "p43"})
    assert (again.status, again.json["state"]) == (200, "unchanged")
    dry = served.ask("POST", "/intent?dry_run=true", {**SEED, "target": "dry"})
    assert (dry.status, dry.json["state"]) == (200, "planned")
    assert not Path(dry.json["package_path"]).exists()


@pytest.mark.seed("P41")
def test_a_generation_that_fails_is_500_and_the_log_has_the_cause(tmp_path: Path) -> None:
    with server(tmp_path, PATCHGEN_OUTPUT_DIR=str(tmp_path / "nowhere")) as serving:
        answer = serving.ask("POST", "/intent", SEED, x_request_id="p41")
        assert (answer.status, answer.json["error"]) == (500, "Generation failed")
        assert b"nowhere" not in answer.body
        line = serving.line_of("p41", "generation failed")
        assert line["error"] == f"output directory {tmp_path / 'nowhere'} does not exist"
        health = serving.ask("GET", "/health")
        assert health.status == 503
        assert health.json["Checks"]["filesystem"] is False


@pytest.mark.seed("P42")
def test_a_late_generation_is_504_and_nothing_of_it_remains(tmp_path: Path) -> None:
    slow = held_up(tmp_path / "trace", "fsync", 1.0)
    with server(tmp_path, *slow, PATCHGEN_REQUEST_TIMEOUT="300ms") as serving:
        answer = serving.ask("POST", "/intent", SEED)
        assert (answer.status, answer.json["error"]) == (504, "Request timeout")
        # The one that was given up ends by itself, and takes its half away.
        until(lambda: made(serving) == [], PATIENCE, lambda: str(made(serving)))
        fine = serving.ask("POST", "/intent?dry_run=true", SEED)
        assert fine.status == 200
        assert made(serving) == []
    assert setting("request_timeout", tmp_path) == 30.0


def setting(name: str, folder: Path) -> object:
    """The value of a setting when nobody says another."""
    told = shell(f"backstay config show --output json --data {folder / 'none'}").stdout
    [value] = [row["value"] for row in json.loads(told)["patchgen"] if row["name"] == name]
    return value


@pytest.mark.seed("P58", "P59")
def test_the_health_object(served: Serving) -> None:
    for path in ("/health", "/healthz"):
        found = served.ask("GET", path)
        assert found.status == 200
        assert found.json["Healthy"] is True
        assert found.json["Checks"] == {"validator": True, "filesystem": True, "memory": True}
        assert found.json["Warning"] == ""
    assert made(served) == [name for name in made(served) if name.startswith(("test-", "p43-"))]


@pytest.mark.seed("P60", "P61")
def test_what_fails_is_false_and_high_memory_only_warns(tmp_path: Path) -> None:
    with server(tmp_path, PATCHGEN_MEMORY_WARNING="1048576") as serving:
        found = serving.ask("GET", "/health").json
        assert (found["Healthy"], found["Checks"]["memory"]) == (True, False)
        assert found["Warning"] == "High memory usage"
        (tmp_path / "out").rmdir()
        found = serving.ask("GET", "/health").json
        assert (found["Healthy"], found["Checks"]["filesystem"]) == (False, False)
        assert found["Checks"]["validator"] is True
    # The seed's limit, unless told otherwise.
    assert setting("memory_warning", tmp_path) == 500 * 1024 * 1024
    # A validator that cannot work.
    code = (
        "import backstay.patchgen.health as h\n"
        "class Broken:\n"
        "    def validate(self, data): raise OSError(2, 'gone', 'intent.schema.json')\n"
        "h.Validator = Broken\n"
        "s = h.Health('', 2**40).look(); print(s.healthy, s.checks['validator'], s.errors)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("False False")


@pytest.mark.seed("P62", "P63")
def test_readiness_is_a_real_package_and_leaves_nothing(tmp_path: Path) -> None:
    with server(tmp_path) as serving:
        scratch = tmp_path / "tmp"
        asked = [Later(serving, "GET", path) for path in ("/ready", "/readyz") * 10]
        answers = [one.answer() for one in asked]
        assert {one.status for one in answers} == {200}
        assert all(one.json == {"status": "ready"} for one in answers)
        assert list(scratch.iterdir()) == made(serving) == []
        scratch.rmdir()
        scratch.write_text("no folder")
        asked = [Later(serving, "GET", "/ready") for _ in range(5)]
        for one in (later.answer() for later in asked):
            assert one.status == 503
            assert one.json["status"] == "not ready"
            assert one.json["error"]
        assert scratch.read_text() == "no folder"
        assert made(serving) == []


@pytest.mark.seed("P62")
def test_readiness_makes_the_seeds_probe_package(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        absent("strace", "apt-get install strace")
    trace = tmp_path / "trace"
    words = ("strace", "-D", "-f", "-s", "200", "-o", str(trace), "-e", "trace=/^rename")
    with server(tmp_path, *words) as serving:
        assert serving.ask("GET", "/ready").status == 200
        named = f'"{render(PROBE).name}"'
        until(lambda: named in trace.read_text(), PATIENCE, trace.read_text)


@pytest.mark.seed("P44", "P67")
def test_the_servers_debug_lines_have_a_timestamp(tmp_path: Path) -> None:
    with server(tmp_path, PATCHGEN_DEBUG="true") as serving:
        serving.ask("POST", "/intent", SEED, x_request_id="p44")
        line = serving.line_of("p44", "intent judged")
        assert line["level"] == "debug"
        assert line["timestamp"].endswith("Z")


@pytest.mark.seed("P46")
def test_a_heap_profile_opens_in_gos_pprof(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        absent("go", "apt-get install golang-go")
    intent = tmp_path / "intent.json"
    intent.write_text(json.dumps(SEED))
    (tmp_path / "out").mkdir()
    done = shell(
        f"patchgen generate -intent {intent} -output {tmp_path}/out --memprofile mem.prof", tmp_path
    )
    assert done.returncode == 0, done.stderr
    shown = shell("go tool pprof -top mem.prof", tmp_path, HOME=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    assert "Type: inuse_space" in shown.stdout


@pytest.mark.seed("P38")
def test_a_controller_function_takes_a_resource_and_a_logger(tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from backstay.patchgen.controller import reconcile\n"
        "class Log:\n"
        "    def info(self, event, **v): print('info', event, v['name'])\n"
        "    def error(self, event, **v): print('error', event, v['name'], v['error'])\n"
        "for folder in sys.argv[2:]:\n"
        "    r = reconcile(json.loads(sys.argv[1]), folder, Log())\n"
        "    print(r.requeue_after)\n"
    )
    spec = {
        "source": "user",
        "intentType": "scaling",
        "target": "amf",
        "namespace": "core",
        "replicas": 4,
    }
    resource = {
        "apiVersion": "intent.nephoran.com/v1alpha1", "kind": "NetworkIntent",
        "metadata": {"name": "ni", "namespace": "default"}, "spec": spec,
    }  # fmt: skip
    out, missing = tmp_path / "out", tmp_path / "missing"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(resource), out, missing],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "info package generated ni",
        "0.0",
        f"error Failed to generate package ni output directory {missing} does not exist",
        "60.0",
    ], done.stderr
    assert [path.name.startswith("amf-scaling-patch-") for path in out.iterdir()] == [True]


@pytest.mark.seed("P35")
def test_many_intents_for_one_target_at_once_over_http(served: Serving) -> None:
    asked = [
        Later(served, "POST", "/intent", {**SEED, "target": "test-many", "replicas": n})
        for n in range(30)
    ]
    answers = [one.answer() for one in asked]
    assert {one.status for one in answers} == {200}
    paths = {one.json["package_path"] for one in answers}
    assert len(paths) == 30
    assert shell(f"patchgen verify {' '.join(paths)}").returncode == 0
