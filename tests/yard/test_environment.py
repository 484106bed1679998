"""What a newcomer reads when the machine is not ready: one sentence with the command to type."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the script reads, in a folder of its own."""
    for name in ("scripts", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    return tmp_path


def python(folder: Path, *, version: str, recent: bool, venv: bool) -> str:
    """A program that answers the script's questions as such a Python would."""
    script = folder / "some-python"
    script.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"*'< (3, 11)'*) exit {0 if recent else 1} ;;\n"
        f"*ensurepip*) exit {0 if venv else 1} ;;\n"
        f"*) echo {version} ;;\n"
        "esac\n"
    )
    script.chmod(0o755)
    return str(script)


def run(checkout: Path, interpreter: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["sh", "scripts/environment.sh", "runtime"],
        cwd=checkout,
        env={**os.environ, "PYTHON": interpreter},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_an_older_python_is_one_sentence_with_a_command(checkout: Path, tmp_path: Path) -> None:
    old = python(tmp_path, version="3.9.18", recent=False, venv=True)
    code, said = run(checkout, old)
    assert code == 2
    assert len(said) == 1
    assert "3.11 or newer and found 3.9.18; type: " in said[0]
    assert "make up PYTHON=python3.1" in said[0]


def test_no_python_at_all_is_one_sentence(checkout: Path) -> None:
    code, said = run(checkout, "no-such-python")
    assert code == 2
    assert len(said) == 1
    assert "found none; type: " in said[0]


def test_a_missing_venv_module_is_one_sentence_with_a_command(
    checkout: Path, tmp_path: Path
) -> None:
    bare = python(tmp_path, version="3.11", recent=True, venv=False)
    code, said = run(checkout, bare)
    assert code == 2
    assert len(said) == 1
    assert said[0].endswith("apt-get install -y python3.11-venv && make up")
    assert not (checkout / ".venv").exists()
