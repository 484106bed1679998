"""Helm does not install the chart: its message names the value."""

from backstay.core.guide import Cause, Fix, Guide, Symptom
from backstay.queue.guides.looking import message_probe

_SAID = "helm.message"
_NOBODY = r"connection to the server \S+ was refused|dial tcp \S+: connect: connection refused"
"""How kubectl says it, which has fewer words for it than Helm."""
_FORMS = (
    ("required", r"(?P<value>(secrets|config|ingress)\.\w+) is required"),
    ("replicas", r"replicaCount above 1 needs a store"),
    ("two-stores", r"choose one store"),
    ("secret-in-config", r"invalid propertyName '(?P<value>\w+)'"),
    (
        "schema",
        r"at '/(?P<value>[^']*)': (?!invalid propertyName)|does not match pattern|got \w+, want",
    ),
    (
        "no-chart",
        r"(path|stat) \"?\S*helm/codeq\"?:? (not found|no such)|Chart\.yaml file is missing",
    ),
    ("no-cluster", rf"Kubernetes cluster unreachable|{_NOBODY}"),
    ("name-taken", r"cannot re-use a name"),
)

SAID = message_probe(_SAID, "which message of Helm is this", _FORMS)


def _cause(id: str, reading: str, says: str, fix: str) -> Cause:
    return Cause(id, says, 0.05, {_SAID: {reading: 0.97}}, (fix,))


HELM_INSTALL = Guide(
    id="helm-install",
    title="Helm does not install the chart",
    seed="codeq: Helm Chart Installation Fails",
    symptoms=(
        Symptom("text", r"execution error at \(codeq/|INSTALLATION FAILED|helm", "Helm refuses"),
        Symptom("text", _NOBODY, "kubectl reaches nothing"),
    ),
    probes=(SAID,),
    causes=(
        _cause("value-missing", "required", "the value {value} is not set", "set"),
        _cause("needs-shared-store", "replicas", "several replicas need a Redis", "store"),
        _cause("two-stores", "two-stores", "two stores are named", "store"),
        _cause(
            "secret-in-config",
            "secret-in-config",
            "{value} is a secret and stands in the values of the ConfigMap",
            "set",
        ),
        _cause("bad-value", "schema", "a value has the wrong form[[: {value}]]", "lint"),
        _cause("no-chart", "no-chart", "the chart is not where it was looked for", "lint"),
        _cause("no-cluster", "no-cluster", "no Kubernetes answers", "cluster"),
        _cause("name-taken", "name-taken", "a release of that name is there", "upgrade"),
    ),
    fixes=(
        Fix(
            "set",
            "Set what is needed",
            "helm install codeq ./helm/codeq --set secrets.webhookHmacSecret=SECRET"
            " --set config.workerJwksUrl=URL --set config.workerIssuer=URL",
            "none",
        ),
        Fix("store", "Choose one", "--set config.redisAddr=HOST:PORT (or kvrocks.enabled)", "none"),
        Fix(
            "lint",
            "Look at the chart with your values",
            "helm lint ./helm/codeq -f values.yaml",
            "none",
        ),
        Fix("cluster", "See where kubectl points", "kubectl cluster-info", "none"),
        Fix(
            "upgrade", "Upgrade it instead", "helm upgrade --install codeq ./helm/codeq", "restart"
        ),
    ),
    escalation="kubectl logs -l app.kubernetes.io/name=codeq; kubectl get pods -l app=kvrocks",
)
