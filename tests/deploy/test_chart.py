"""The Helm chart, rendered by Helm's own engine and judged by the schemas of Kubernetes.

No cluster is here to install it on: what the rendered settings do is shown by a real codeq-server.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.deploy import helm
from tests.deploy.helm import HelmRefusedError, Object, template
from tests.queue.support import SERVER, Server, run_codeq, serving
from tests.servers.issuer import JwksIssuer

SECRET = "a-secret-that-signs-webhooks"
SEED: Object = {
    "secrets": {"webhookHmacSecret": SECRET},
    "config": {"workerJwksUrl": "https://keys.example/jwks", "workerIssuer": "https://id.example"},
}
"""What the seed's `helm install` sets."""

VARIANTS: dict[str, Object] = {
    "seed": {},
    "kvrocks": {"kvrocks": {"enabled": True}, "networkPolicy": {"enabled": True}},
    "kvrocks-password": {
        "kvrocks": {"enabled": True},
        "secrets": {"redisPassword": "hush", **SEED["secrets"]},
    },
    "redis": {
        "replicaCount": 3,
        "config": {"redisAddr": "redis:6379", **SEED["config"]},
        "ingress": {"enabled": True, "host": "queue.example", "className": "nginx"},
        "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
    },
    "no-volume": {"persistence": {"enabled": False}, "nodeSelector": {"disk": "fast"}},
    "own-secret": {"secrets": {"enabled": False, "name": "made-elsewhere"}},
}


def rendered(**changes: Any) -> list[Object]:
    return template(SEED | changes)


def one(objects: list[Object], kind: str, name: str) -> Object:
    found = [item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind}/{name}: {[item['metadata']['name'] for item in objects]}"
    return found[0]


def settings(objects: list[Object]) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(
        one(objects, "ConfigMap", "codeq-config")["data"]["config.yaml"]
    )
    return parsed


@pytest.mark.seed("Q38")
@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_lint_finds_nothing(variant: str) -> None:
    found = helm.lint(SEED | VARIANTS[variant])
    assert found["errors"] == []
    assert [one for one in found["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_schemas_of_kubernetes_take_every_object(variant: str) -> None:
    for item in rendered(**VARIANTS[variant]):
        kubernetes_validate.validate(item, "1.33", strict=True)


def test_kubectl_reads_every_object(kubectl: str, tmp_path: Path) -> None:
    objects = rendered(**VARIANTS["kvrocks"])
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    done = subprocess.run(
        [kubectl, "label", "--local", "-f", str(file), "seen=yes", "-o", "json"],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"seen": "yes"') == len(objects)


@pytest.mark.seed("Q38")
def test_the_secret_lands_in_the_secret_and_nowhere_else() -> None:
    objects = rendered()
    secret = one(objects, "Secret", "codeq-secret")
    assert secret["stringData"] == {"WEBHOOK_HMAC_SECRET": SECRET}
    others = [item for item in objects if item is not secret]
    assert SECRET not in json.dumps(others)
    config = settings(objects)
    assert config["workerJwksUrl"] == SEED["config"]["workerJwksUrl"]
    assert config["workerIssuer"] == SEED["config"]["workerIssuer"]


@pytest.mark.seed("Q39")
def test_the_names_and_labels_are_those_of_the_guide() -> None:
    objects = rendered(**VARIANTS["kvrocks"])
    pods = one(objects, "Deployment", "codeq")["spec"]["template"]
    assert pods["metadata"]["labels"]["app.kubernetes.io/name"] == "codeq"
    store = one(objects, "StatefulSet", "codeq-kvrocks")["spec"]["template"]
    assert store["metadata"]["labels"]["app"] == "kvrocks"
    # The Service of the queue must not reach the store's pods.
    assert "app.kubernetes.io/name" not in store["metadata"]["labels"]
    assert pods["spec"]["containers"][0]["envFrom"] == [{"secretRef": {"name": "codeq-secret"}}]
    assert settings(objects)["redisAddr"] == "codeq-kvrocks:6666"


def test_without_a_store_outside_there_is_one_pod_and_its_claim() -> None:
    objects = rendered()
    assert {item["kind"] for item in objects} == {
        *("ConfigMap", "Deployment", "PersistentVolumeClaim", "Secret", "Service")
    }
    deployment = one(objects, "Deployment", "codeq")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert "redisAddr" not in settings(objects)


def test_pods_run_without_rights() -> None:
    for variant in VARIANTS.values():
        for item in rendered(**variant):
            if item["kind"] not in ("Deployment", "StatefulSet"):
                continue
            pod = item["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["automountServiceAccountToken"] is False
            for container in pod["containers"]:
                context = container["securityContext"]
                assert context["readOnlyRootFilesystem"] is True
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}
                assert container["resources"]["limits"]["memory"]


@pytest.mark.seed("Q40")
def test_resources_are_values() -> None:
    asked = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "4", "memory": "2Gi"}}
    pod = one(rendered(resources=asked), "Deployment", "codeq")["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == asked


def test_several_replicas_may_be_drained_one_by_one() -> None:
    objects = rendered(**VARIANTS["redis"])
    assert one(objects, "PodDisruptionBudget", "codeq")["spec"]["maxUnavailable"] == 1
    assert one(objects, "Deployment", "codeq")["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert not [item for item in objects if item["kind"] == "PersistentVolumeClaim"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "secrets.webhookHmacSecret is required"),
        ({"secrets": SEED["secrets"]}, "config.workerJwksUrl is required"),
        (
            {**SEED, "config": {"workerJwksUrl": "https://keys.example/jwks"}},
            "config.workerIssuer is required",
        ),
        ({**SEED, "replicaCount": 2}, "needs a store that several servers share"),
        (
            {
                **SEED,
                "kvrocks": {"enabled": True},
                "config": {**SEED["config"], "redisAddr": "r:1"},
            },
            "choose one store",
        ),
        ({**SEED, "config": {**SEED["config"], "webhookHmacSecret": "x"}}, "webhookHmacSecret"),
        ({**SEED, "replicaCount": "two"}, "got string, want integer"),
        ({**SEED, "config": {**SEED["config"], "workerJwksUrl": "keys"}}, "does not match pattern"),
    ],
)
def test_what_could_only_crash_is_refused_before_it_is_installed(values: Object, says: str) -> None:
    with pytest.raises(HelmRefusedError, match=says):
        template(values)


def test_every_key_of_the_default_values_is_one_that_the_server_knows() -> None:
    values = yaml.safe_load((helm.CHART / "values.yaml").read_text())
    done = subprocess.run([*SERVER, "--print-config"], capture_output=True, text=True, check=True)
    for key in values["config"]:
        assert f"\n{key}:" in done.stdout, key


@pytest.mark.seed("Q38", "Q39")
def test_the_rendered_settings_start_a_server_that_judges_tokens(
    tmp_path: Path, jwks_issuer: JwksIssuer
) -> None:
    given = {
        "secrets": {"webhookHmacSecret": SECRET},
        "config": {"workerJwksUrl": jwks_issuer.jwks_url, "workerIssuer": jwks_issuer.name},
    }
    objects = template(given)
    file = tmp_path / "config.yaml"
    file.write_text(one(objects, "ConfigMap", "codeq-config")["data"]["config.yaml"])
    secrets = one(objects, "Secret", "codeq-secret")["stringData"]
    with serving(tmp_path / "data", "--config", str(file), env=secrets) as server:
        assert _claim(server, {}) == 401
        worker = jwks_issuer.mint(
            aud="codeq-worker", scope="codeq:claim", eventTypes=["PRINT"], sub="w"
        )
        assert _claim(server, {"Authorization": f"Bearer {worker}"}) == 204
        producer = jwks_issuer.mint(aud="codeq-producer", sub="p")
        body = {"command": "PRINT", "payload": {}}
        sent = server.post("/tasks", body, headers={"Authorization": f"Bearer {producer}"})
        assert sent.status == 202, sent.body


def _claim(server: Server, headers: dict[str, str]) -> int:
    return server.post("/tasks/claim", {"commands": ["PRINT"]}, headers=headers).status


def test_what_codeq_install_writes_is_what_the_chart_takes(tmp_path: Path) -> None:
    done = run_codeq(
        *("install", "--target", "kubernetes", "--size", "medium"),
        *("--output-dir", str(tmp_path / "out"), "--redis-addr", "redis:6379"),
        *("--worker-jwks-url", "https://k.example/w", "--worker-issuer", "https://w.example"),
        *("--identity-jwks-url", "https://k.example/p", "--identity-issuer", "https://p.example"),
        *("--domain", "queue.example"),
    )
    assert done.returncode == 0, done.stderr
    values = yaml.safe_load((tmp_path / "out" / "values.yaml").read_text())
    objects = template(values)
    assert one(objects, "Deployment", "codeq")["spec"]["replicas"] == 3
    assert settings(objects)["identityJwksUrl"] == "https://k.example/p"
    assert one(objects, "Ingress", "codeq")["spec"]["rules"][0]["host"] == "queue.example"


@pytest.mark.peer
def test_a_helm_of_this_machine_says_the_same() -> None:
    binary = shutil.which("helm")
    if binary is None:
        pytest.skip("no helm command here; the tests above ran Helm's engine from the wheel")
    done = subprocess.run([binary, "lint", str(helm.CHART)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
