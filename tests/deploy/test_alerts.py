"""The alert rules by themselves: promtool tells when each fires and when it must not."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.deploy.monitoring import DEPLOY, RULES, program

from backstay.core.asgi import METRICS as HTTP_METRICS
from backstay.queue.metrics import METRICS

CASES = DEPLOY / "prometheus" / "tests" / "codeq.yml"
NAMES = [rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]


def promtool(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program("promtool"), *map(str, words)], capture_output=True, text=True, timeout=60
    )


def test_promtool_accepts_rules_and_cases() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_would_start_with_the_shipped_configuration() -> None:
    done = promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_would_start_with_the_shipped_configuration() -> None:
    done = subprocess.run(
        [program("amtool"), "check-config", str(DEPLOY / "prometheus" / "alertmanager.yml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=CodeqDown severity=page", "pages"),
        ("alertname=CodeqBacklog severity=ticket", "tickets"),
    ],
)
def test_what_wants_a_person_now_pages(labels: str, receiver: str) -> None:
    config = str(DEPLOY / "prometheus" / "alertmanager.yml")
    done = subprocess.run(
        [program("amtool"), "config", "routes", "test", f"--config.file={config}", *labels.split()],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, receiver)


@pytest.mark.parametrize("instead", ["vector(0) > 1", "vector(1)"])
def test_the_cases_notice_rules_that_never_or_always_fire(instead: str, tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    file = tmp_path / "prometheus" / "rules" / "codeq.yml"
    rules = yaml.safe_load(file.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = instead
    file.write_text(yaml.safe_dump(rules))
    done = promtool("test", "rules", tmp_path / "prometheus" / "tests" / "codeq.yml")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert [name for name in NAMES if name not in said] == []


def test_every_metric_of_the_rules_is_one_that_the_server_shows() -> None:
    shown = {metric.name for metric in (*METRICS, *HTTP_METRICS)}
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        for name in re.findall(r"\b(?:codeq|http)_\w+", rule["expr"]):
            assert name.removesuffix("_bucket") in shown, f"{rule['alert']}: {name}"
