"""What Helm's own engine says of a chart that it does not render; the doctor names the value."""

from pathlib import Path
from typing import Any

import pytest
from tests.deploy.helm import HelmRefusedError, template
from tests.deploy.test_chart import SEED
from tests.faults.consulting import assert_named


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


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Error: INSTALLATION FAILED: cannot re-use a name that is still in use", "name-taken"),
        ("Error: Kubernetes cluster unreachable: connection refused", "no-cluster"),
        ('Error: INSTALLATION FAILED: path "./helm/codeq" not found', "no-chart"),
    ],
)
def test_what_helm_says_beside_a_cluster(tmp_path: Path, said: str, cause: str) -> None:
    # No cluster is here: these are its words, not its deeds.
    assert_named(tmp_path / "data", cause, "--only", "helm-install", said)
