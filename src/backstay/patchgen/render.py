"""An intent becomes a package: always the same bytes for the same intent, and no clock anywhere.

YAML is written by a template of fixed shape in which every value from outside stands in double
quotes, escaped; a text can therefore never become a key. A serializer would cost 300 µs a package
and its line breaking changes between versions, which would change bytes that must not change. The
form is the one in which kpt writes, so that a package which kpt has rendered still is what it was.
"""

from collections.abc import Mapping

import msgspec

from backstay.patchgen.errors import NotValidated
from backstay.patchgen.model import GENERATOR, SCHEMA_VERSION, Intent, Package
from backstay.patchgen.names import package_name

PREFIX = "patchgen.backstay"
"""Of the annotations that say where a package comes from."""

PATCH_FILE = "scaling-patch.yaml"
COMPONENT_FILE = "component/kustomization.yaml"
FILES = ("Kptfile", PATCH_FILE, "kustomization.yaml", COMPONENT_FILE, "README.md")
"""Everything a package holds, in the order of writing."""

_LOCAL = 'config.kubernetes.io/local-config: "true"'
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\u2028": "\\L",
    "\u2029": "\\P",
}


def render(intent: Intent) -> Package:
    """The package of an intent. Raises `NotValidated` for anything else, and `InvalidIntent` for an
    intent that was tampered with after its validation."""
    if not isinstance(intent, Intent):
        raise NotValidated(intent)
    if not intent.sound():
        from backstay.patchgen.rules import refuse_made

        refuse_made(intent)
    hash_ = intent.hash
    name = package_name(intent.target, hash_)
    return Package(name, _files(intent, name, hash_), hash_)


def quoted(text: str) -> str:
    """A YAML double-quoted scalar on one line; every reader gives the same text back. `text` holds
    no control characters but newline and tab: an intent's texts are judged before."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def provenance(intent: Intent, hash_: str) -> Mapping[str, str]:
    """The annotations, without the prefix; what the intent does not say is left out."""
    told = {
        "constraints": bounds_text(intent),
        "correlation-id": intent.correlation_id,
        "generator": GENERATOR,
        "intent-hash": f"sha256:{hash_}",
        "intent-type": intent.intent_type,
        "reason": intent.reason,
        "schema-version": SCHEMA_VERSION,
        "source": intent.source,
    }
    return {key: value for key, value in told.items() if value}


def bounds_text(intent: Intent) -> str:
    """The intent's constraints as JSON, so that a package holds all its hash is made of."""
    told = msgspec.json.encode(intent.constraints, order="sorted").decode()
    return "" if told == "{}" else told


def _files(intent: Intent, name: str, hash_: str) -> Mapping[str, bytes]:
    marks = "".join(
        f"    {PREFIX}/{key}: {quoted(value)}\n" for key, value in provenance(intent, hash_).items()
    )
    patch = _patch(intent, marks)
    return {
        "Kptfile": _kptfile(intent, name, marks).encode(),
        PATCH_FILE: patch.encode(),
        "kustomization.yaml": _kustomization(name).encode(),
        COMPONENT_FILE: _component(name, patch).encode(),
        "README.md": _readme(intent, name, hash_).encode(),
    }


def _patch(intent: Intent, marks: str) -> str:
    return (
        "apiVersion: apps/v1\n"
        f"kind: {intent.target_kind}\n"
        "metadata:\n"
        f"  name: {quoted(intent.target)}\n"
        f"  namespace: {quoted(intent.namespace)}\n"
        "  annotations:\n"
        f"{marks}"
        "spec:\n"
        f"  replicas: {intent.replicas}\n"
    )


def _kptfile(intent: Intent, name: str, marks: str) -> str:
    what = f"Sets {intent.target_kind} {intent.namespace}/{intent.target} to {_count(intent)}"
    return (
        "apiVersion: kpt.dev/v1\n"
        "kind: Kptfile\n"
        "metadata:\n"
        f"  name: {quoted(name)}\n"
        "  annotations:\n"
        f"    {_LOCAL}\n"
        f"{marks}"
        "info:\n"
        f"  description: {quoted(what)}\n"
        "  keywords:\n"
        "    - scaling\n"
    )


def _kustomization(name: str) -> str:
    """By itself the package is the partial object, as server-side apply wants it."""
    return (
        "apiVersion: kustomize.config.k8s.io/v1beta1\n"
        "kind: Kustomization\n"
        "metadata:\n"
        f"  name: {quoted(name)}\n"
        "  annotations:\n"
        f"    {_LOCAL}\n"
        "resources:\n"
        f"  - {PATCH_FILE}\n"
    )


def _component(name: str, patch: str) -> str:
    """Over a base it is a patch. Kustomize reads no file outside a folder, so it stands inline."""
    inner = "".join(f"      {line}\n" for line in patch.splitlines())
    return (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\n"
        "kind: Component\n"
        "metadata:\n"
        f"  name: {quoted(name)}\n"
        "  annotations:\n"
        f"    {_LOCAL}\n"
        "patches:\n"
        "  - patch: |\n"
        f"{inner}"
    )


def _readme(intent: Intent, name: str, hash_: str) -> str:
    kind, place = intent.target_kind, f"{intent.namespace}/{intent.target}"
    facts = [
        ("target", f"{kind} {place}"),
        ("replicas", str(intent.replicas)),
        ("source", quoted(intent.source) if intent.source else ""),
        ("correlation id", intent.correlation_id),
        ("intent", f"sha256:{hash_}"),
    ]
    table = "".join(f"    {label:<16}{value}\n" for label, value in facts if value)
    # Indented text is code: nothing a sender writes becomes markup.
    reason = "".join(f"    {line}\n" for line in intent.reason.splitlines())
    why = f"\n## Why\n\n{reason}" if reason else ""
    return (
        f"# {name}\n\n"
        f"Sets {kind} {place} to {_count(intent)}, and nothing else.\n\n"
        f"{table}{why}\n"
        "## Apply it\n\n"
        "On a cluster, where the workload exists:\n\n"
        "    kubectl apply -k . --server-side --field-manager=patchgen\n\n"
        "Over a base, as an overlay (kustomization.yaml beside this folder):\n\n"
        "    resources:\n      - ../base\n    components:\n"
        f"      - {name}/component\n\n"
        "By kpt: `kpt live apply --server-side`. By Argo CD: this folder as the path, with the\n"
        "sync options `ServerSideApply=true` and `Validate=false`.\n\n"
        "If a HorizontalPodAutoscaler owns the count, change its bounds instead: it would set the\n"
        "count back.\n\n"
        "## Check it\n\n"
        f"    patchgen verify {name}\n"
    )


def _count(intent: Intent) -> str:
    return "1 replica" if intent.replicas == 1 else f"{intent.replicas} replicas"


def _escaped(char: str) -> str:
    """As Go's emitter writes it, so that kpt has nothing to change."""
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char < "\U00010000" else f"\\U{ord(char):08X}"
