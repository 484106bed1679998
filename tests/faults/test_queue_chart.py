"""What Helm's own engine says of a chart that it does not render; the doctor names the value."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.helm import HelmRefusedError, template
from tests.deploy.test_chart import SEED
from tests.faults.consulting import assert_named

from backstay.up.ports import free_port


@pytest.mark.parametrize(
    ("values", "cause", "names"),
    [
        ({}, "value-missing", "secrets.webhookHmacSecret"),
        ({"secrets": SEED["secrets"]}, "value-missing", "config.workerJwksUrl"),
        ({**SEED, "replicaCount": 2}, "needs-shared-store", "Redis"),
        (
            {
                **SEED,
                "kvrocks": {"enabled": True},
                "config": {**SEED["config"], "redisAddr": "redis:6379"},
            },
            "two-stores",
            "two stores",
        ),
        (
            {**SEED, "config": {**SEED["config"], "jwtSecret": "x"}},
            "secret-in-config",
            "jwtSecret",
        ),
        ({**SEED, "replicaCount": "two"}, "bad-value", "replicaCount"),
    ],
)
def test_helm_refuses(tmp_path: Path, values: dict[str, Any], cause: str, names: str) -> None:
    with pytest.raises(HelmRefusedError) as refused:
        template(values)
    said = f"Error: INSTALLATION FAILED: {refused.value}"
    found = assert_named(tmp_path / "data", cause, "--only", "helm-install", said)
    assert names in found["says"]


@pytest.mark.parametrize("there", [False, True])
def test_helm_finds_no_chart(tmp_path: Path, there: bool) -> None:
    chart = tmp_path / "helm" / "codeq"
    if there:
        chart.mkdir(parents=True)
    with pytest.raises(HelmRefusedError) as refused:
        template(SEED, chart)
    said = f"Error: INSTALLATION FAILED: {refused.value}"
    found = assert_named(tmp_path / "data", "no-chart", "--only", "helm-install", said)
    assert found["fixes"][0]["command"] == "helm lint ./helm/codeq -f values.yaml"


def test_no_cluster_answers_kubectl(tmp_path: Path, kubectl: str) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(template(SEED)))
    nobody = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {
        "apiVersion": "v1", "kind": "Config", "clusters": [nobody], "contexts": [context],
        "users": [{"name": "u", "user": {}}], "current-context": "c",
    }  # fmt: skip
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [kubectl, "apply", "--validate=false", "-f", file],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": f"{tmp_path}/config"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    found = assert_named(tmp_path / "data", "no-cluster", "--only", "helm-install", done.stderr)
    assert found["fixes"][0]["command"] == "kubectl cluster-info"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Error: INSTALLATION FAILED: cannot re-use a name that is still in use", "name-taken"),
        ("Error: Kubernetes cluster unreachable: connection refused", "no-cluster"),
    ],
)
def test_what_helm_says_beside_a_cluster(tmp_path: Path, said: str, cause: str) -> None:
    # No cluster is here: these are its words, not its deeds.
    assert_named(tmp_path / "data", cause, "--only", "helm-install", said)
