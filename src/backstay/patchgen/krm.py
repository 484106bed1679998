"""Functions over Kubernetes objects: `list[dict] → list[dict]`, in this process, no container.

None changes what it is given; a target that is not there is a fault, never a silent nothing.
"""

import copy
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from backstay.core.errors import Fault
from backstay.patchgen.errors.disk import MARSHAL
from backstay.patchgen.errors.packages import (
    BAD_ARGUMENT,
    BAD_MANIFEST,
    BAD_OBJECTS,
    NO_SCHEMAS,
    NO_TARGET,
)
from backstay.patchgen.model import Intent
from backstay.patchgen.names import is_kubernetes_name
from backstay.patchgen.paths import reason_of

Object = dict[str, Any]
Objects = list[Object]

SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
_CLUSTER = (
    *("Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding"),
    *("CustomResourceDefinition", "StorageClass", "PriorityClass", "IngressClass"),
)
_SUFFIXES = (".yaml", ".yml", ".json")


def set_replicas(objects: Sequence[Object], intent: Intent) -> Objects:
    """The objects with the intent's count in its target. Raises PATCH085 when that is missing."""
    found = [_is_target(one, intent) for one in objects]
    if not any(found):
        place = f"{intent.target_kind} {intent.namespace}/{intent.target}"
        known = ", ".join(map(identity, objects)) or "nothing"
        raise Fault(NO_TARGET, target=place, known=known[:400])
    return [
        _with_replicas(one, intent.replicas) if mine else copy.deepcopy(one)
        for one, mine in zip(objects, found, strict=True)
    ]


def set_namespace(objects: Sequence[Object], namespace: str) -> Objects:
    """The objects in another namespace; what belongs to the cluster stays as it is. Raises PATCH086
    for a name that is none."""
    if not is_kubernetes_name(namespace) or len(namespace) > 63:
        raise Fault(BAD_ARGUMENT, name="namespace", value=namespace[:80])
    changed = []
    for one in copy.deepcopy(list(objects)):
        if one.get("kind") not in _CLUSTER:
            one.setdefault("metadata", {})["namespace"] = namespace
        changed.append(one)
    return changed


def set_labels(objects: Sequence[Object], labels: Mapping[str, str]) -> Objects:
    """The objects with these labels added. Selectors and templates stay: a selector of a
    Deployment cannot change."""
    changed = []
    for one in copy.deepcopy(list(objects)):
        one.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
        changed.append(one)
    return changed


def validate_objects(objects: Sequence[Object], version: str = "1.33") -> Objects:
    """The same objects, when all fit the schemas of this Kubernetes version, else PATCH087. Needs
    the package kubernetes-validate, which carries the schemas (100 MB)."""
    try:
        import kubernetes_validate
    except ImportError as missing:
        raise Fault(NO_SCHEMAS) from missing
    problems = []
    for one in objects:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as bad:
            where = ".".join(map(str, bad.path))
            problems.append(f"{identity(one)}: {where}: {bad.message[:200]}")
    if problems:
        raise Fault(BAD_OBJECTS, problems="; ".join(problems), count=len(problems))
    return copy.deepcopy(list(objects))


def replicas_of(objects: Sequence[Object], intent: Intent) -> int | None:
    """The count that the objects hold for the intent's target; None when they hold none."""
    for one in objects:
        if _is_target(one, intent):
            count = (one.get("spec") or {}).get("replicas", 1)
            return count if isinstance(count, int) else None
    return None


def autoscalers(objects: Sequence[Object], intent: Intent) -> list[str]:
    """Names of the HorizontalPodAutoscalers that own the count of the intent's target."""
    found = []
    for one in objects:
        if one.get("kind") != "HorizontalPodAutoscaler" or _namespace(one) != intent.namespace:
            continue
        aim = (one.get("spec") or {}).get("scaleTargetRef") or {}
        if (aim.get("kind"), aim.get("name")) == (intent.target_kind, intent.target):
            found.append(str(one.get("metadata", {}).get("name", "?")))
    return found


def identity(one: Object) -> str:
    """`Deployment default/app`."""
    return f"{one.get('kind', '?')} {_namespace(one)}/{one.get('metadata', {}).get('name', '?')}"


def read_objects(path: Path) -> list[tuple[Path, Object]]:
    """Every Kubernetes object of a file, or of the YAML and JSON files below a folder, with its
    file. Raises PATCH083."""
    files = sorted(_files(path)) if path.is_dir() else [path]
    return [(file, one) for file in files for one in _objects(file)]


def parse(text: str | bytes) -> Any:
    """One YAML document, by the fast parser where there is one."""
    import yaml

    return yaml.load(text, Loader=_loader())  # noqa: S506 - a safe loader


def dump(one: object) -> str:
    """YAML for people: in the order of the object. Raises PATCH075 for what YAML cannot hold."""
    import yaml

    out = io.StringIO()
    try:
        yaml.safe_dump(one, out, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError as bad:
        reason = str(bad).replace("\n", " ")[:200]
        raise Fault(MARSHAL, what="object", reason=reason) from bad
    return out.getvalue()


@lru_cache(maxsize=1)
def _loader() -> Any:
    """The safe parser, by libyaml where there is one. A plain `=` is text for everybody but PyYAML,
    and kubectl writes it so."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("Loader", (base,), {})
    loader.add_constructor("tag:yaml.org,2002:value", base.construct_yaml_str)
    return loader


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.suffix in _SUFFIXES and file.is_file() and not file.is_symlink():
            yield file


def _objects(file: Path) -> Iterator[Object]:
    import yaml

    try:
        documents = list(yaml.load_all(file.read_bytes(), Loader=_loader()))
    except OSError as failed:
        reason = reason_of(failed)
        raise Fault(BAD_MANIFEST, path=str(file), reason=reason) from failed
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as bad:
        reason = str(bad).replace("\n", " ")[:200]
        raise Fault(BAD_MANIFEST, path=str(file), reason=reason) from bad
    for one in documents:
        if isinstance(one, dict) and one.get("kind") == "List":
            yield from (item for item in one.get("items") or [] if isinstance(item, dict))
        elif isinstance(one, dict) and "kind" in one:
            yield one


def _is_target(one: Object, intent: Intent) -> bool:
    metadata = one.get("metadata") or {}
    return (
        one.get("kind") == intent.target_kind
        and metadata.get("name") == intent.target
        and _namespace(one) == intent.namespace
    )


def _namespace(one: Object) -> str:
    return str((one.get("metadata") or {}).get("namespace") or "default")


def _with_replicas(one: Object, count: int) -> Object:
    changed = copy.deepcopy(one)
    changed.setdefault("spec", {})["replicas"] = count
    return changed
