"""patchgen under `backstay up`: there when it is wanted, absent when it is not, behind `/intent`."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.patchgen.support import BIN, PATIENCE, text_of
from tests.servers.running import until

from backstay.core.runtime import find_runtime
from backstay.up.ports import free_port


@contextmanager
def running(data: Path, *words: str, **env: str) -> Iterator[str]:
    """`backstay up --detach` without a program; gives the gateway's address."""
    port = str(free_port())
    given = {name: text for name, text in os.environ.items() if name != "JWT_SECRET"} | env
    do = [str(BIN / "backstay")]
    up = [*do, "up", "--data", str(data), "--port", port, "--detach", *words]
    try:
        done = subprocess.run(
            up, capture_output=True, text=True, timeout=PATIENCE, env=given, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield f"http://127.0.0.1:{port}"
    finally:
        runtime = find_runtime(data)
        subprocess.run(
            [*do, "down", "--data", str(data)], capture_output=True, timeout=PATIENCE, check=False
        )
        shutil.rmtree(runtime, ignore_errors=True)


def post(base: str, body: bytes) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{base}/intent", body, timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def processes(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((find_runtime(data) / "state.json").read_text())["processes"]
    return found


def test_an_intent_through_the_gateway_becomes_a_package(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with running(tmp_path / "data", PATCHGEN_OUTPUT_DIR=str(out)) as base:
        status, made = post(base, text_of())
        assert (status, made["message"]) == (200, "Package generated successfully")
        assert [path.name for path in out.iterdir()] == [made["package"]]
        refused = post(base, text_of(replicas=101))
        assert refused[0] == 400
        assert refused[1]["error"].startswith("Validation failed: ")
        with urllib.request.urlopen(f"{base}/health", timeout=PATIENCE) as answer:
            health = json.loads(answer.read())
        assert health["checks"]["patchgen"]["status"] == "healthy"
        doctor = subprocess.run(
            [BIN / "backstay", "doctor", "--data", tmp_path / "data"], capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert doctor.returncode == 0, doctor.stdout


def test_a_section_in_the_configuration_is_asking_for_it(tmp_path: Path) -> None:
    out, config = tmp_path / "out", tmp_path / "config.yaml"
    out.mkdir()
    config.write_text(f"patchgen:\n  outputDir: {out}\n  strictMode: true\n")
    with running(tmp_path / "data", "--config", str(config)) as base:
        assert post(base, text_of())[0] == 200
        status, refused = post(base, text_of(colour="blue"))
        assert status == 400
        assert "strict mode" in refused["error"]


def test_without_asking_it_is_not_started_and_the_route_says_how_to_switch_it_on(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "data") as base:
        assert set(processes(tmp_path / "data")) == {"queue", "gateway"}
        # More than would open a breaker: who asks in vain does not make the house look ill.
        until(lambda: post(base, text_of())[1]["code"] == "GATE028", "the reason is told")
        for _ in range(6):
            status, answer = post(base, text_of())
            assert (status, answer["code"]) == (404, "GATE028")
        assert "PATCHGEN_OUTPUT_DIR" in answer["fix"]
        with urllib.request.urlopen(f"{base}/health", timeout=PATIENCE) as health:
            report = json.loads(health.read())
        assert (report["status"], report["checks"]["patchgen"]["status"]) == ("healthy", "skipped")
