"""Installing the product as a person does: by pip, and by the shipped script."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.proofs.support import clean_env
from tests.e2e.stack import REPOSITORY

MINUTES = 300.0


def run(line: str, path: str, cwd: Path, **env: str) -> str:
    """A line with this PATH alone, so that no other installation is found."""
    given = clean_env(**env) | {"PATH": path}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=cwd, env=given, timeout=MINUTES
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.seed("Q1")
def test_which_codeq_prints_a_path_after_pip_and_after_the_script(tmp_path: Path) -> None:
    base = "/usr/bin:/bin"
    # A copy: building must not touch the checkout, which other tests are using.
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    copied = "git ls-files -z --cached --others --exclude-standard"
    run(f"{copied} | xargs -0 cp --no-dereference --parents -t {checkout} --", base, REPOSITORY)
    empty = tmp_path / "empty"
    run(f"{sys.executable} -m venv {empty}", base, tmp_path)
    with_pip = f"{empty}/bin:{base}"
    run(f"pip install --quiet {checkout}", with_pip, tmp_path)
    assert run("which codeq", with_pip, tmp_path).strip() == f"{empty}/bin/codeq"
    assert "codeq" in run("codeq --version", with_pip, tmp_path)

    home = tmp_path / "home"
    script = f"{checkout}/scripts/install.sh"
    told = run(script, base, tmp_path, HOME=str(home), PYTHON=sys.executable)
    (line,) = [part for part in told.splitlines() if "export PATH=" in part]
    export = line[line.index("export PATH=") :]
    found = run(f"{export}; which codeq; codeq --version", base, tmp_path).split("\n")
    assert found[0] == f"{home}/.local/bin/codeq"
    assert "codeq" in found[1]
