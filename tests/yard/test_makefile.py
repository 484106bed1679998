"""make and CI: what is offered is there, and the scripts at least parse."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def targets() -> set[str]:
    listed = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert listed is not None
    return set(listed.group(1).split())


def test_make_alone_explains_every_target() -> None:
    told = subprocess.run(["make", "-s", "-C", str(ROOT)], capture_output=True, text=True)
    assert told.returncode == 0
    explained = set(re.findall(r"^make (\w+)", told.stdout, re.MULTILINE))
    assert targets() - explained == {"help", "format"}


@pytest.mark.parametrize("target", sorted(targets()))
def test_every_target_has_a_rule(target: str) -> None:
    plan = subprocess.run(["make", "-n", "-C", str(ROOT), target], capture_output=True, text=True)
    assert plan.returncode == 0, plan.stderr


@pytest.mark.parametrize(
    ("shell", "script"),
    [("sh", "scripts/environment.sh"), ("sh", "scripts/lock.sh"), ("bash", ".ci/run")],
)
def test_scripts_parse_and_may_be_run(shell: str, script: str) -> None:
    subprocess.run([shell, "-n", str(ROOT / script)], check=True)
    assert (ROOT / script).stat().st_mode & 0o111


def test_ci_runs_the_command_of_the_readme() -> None:
    steps = (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
    assert re.search(r"^stage test .*make .*test$", steps, re.MULTILINE)
    assert "export BACKSTAY_REQUIRE_ALL=1" in steps
