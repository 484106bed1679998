"""The bundle that a person sends with a bug report: the seed's own script, against a live server."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, HERE, Serving, Target, app_server, clean_env

from backstay import __version__

SCRIPT = HERE / "diagnostic-bundle.sh"
"""Byte for byte as the seed has it; see the last test."""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    target = Target()
    with app_server(tmp_path / "c", target.url) as app:
        yield app
    target.close()


def bundle(serving: Serving, folder: Path) -> dict[str, bytes]:
    """The members of the tarball that the script leaves. It asks localhost:8080, and curl goes to
    the server's own port."""
    folder.mkdir()
    (folder / ".curlrc").write_text(f"connect-to = localhost:8080:127.0.0.1:{serving.port}\n")
    done = subprocess.run(
        ["bash", SCRIPT],
        cwd=folder,
        env=clean_env(CURL_HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("codeai-diagnostics-*.tar.gz")
    assert f"Diagnostic bundle created: {archive.name}" in done.stdout
    with tarfile.open(archive) as tar:
        return {
            Path(member.name).name: taken.read()
            for member in tar
            if (taken := tar.extractfile(member)) is not None
        }


@pytest.mark.seed("C31")
def test_the_seeds_bundle_holds_version_health_metrics_stacks_and_heap(
    serving: Serving, tmp_path: Path
) -> None:
    found = bundle(serving, tmp_path / "bundle")

    assert found["version.txt"].decode().startswith(f"codeai {__version__}")
    assert json.loads(found["health.json"])["status"] == "healthy"
    assert b"# TYPE http_requests_total counter" in found["metrics.txt"]
    assert found["goroutines.txt"].startswith(b"goroutine ")
    assert found["heap.pb.gz"].startswith(b"\x1f\x8b")
    assert b"OS: " in found["system-info.txt"]


@pytest.mark.seed("C31")
def test_version_as_text_and_as_json() -> None:
    text = subprocess.run([BIN / "codeai", "version"], capture_output=True, text=True, check=True)
    assert text.stdout.startswith(f"codeai {__version__} (Python 3.")
    told = subprocess.run(
        [BIN / "codeai", "version", "--output", "json"], capture_output=True, check=True
    )
    assert json.loads(told.stdout)["codeai"] == __version__


def test_the_script_is_the_seeds() -> None:
    seeds = os.environ.get("BACKSTAY_SEEDS")
    if not seeds:
        pytest.skip("BACKSTAY_SEEDS does not say where the seeds are")
    text = (Path(seeds) / "codeai-troubleshooting.md").read_text()
    assert f"```bash\n{SCRIPT.read_text()}```" in text
