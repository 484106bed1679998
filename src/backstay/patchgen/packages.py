"""Packages that are on a disk: read, verified, compared, taken back, held against each other."""

import difflib
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen import krm
from backstay.patchgen.errors import packages as errors
from backstay.patchgen.look import contents, difference
from backstay.patchgen.model import GENERATOR, SCHEMA_VERSION, Constraints, Intent, Provenance
from backstay.patchgen.names import is_package_name, is_semantic_version
from backstay.patchgen.paths import is_folder, refuse_traversal
from backstay.patchgen.render import PATCH_FILE, PREFIX, render

_FORM = re.compile(r"patchgen/[1-9][0-9]{0,3}")


class Read(msgspec.Struct, frozen=True):
    """A package as it is found. `changed` says how it differs from what its intent makes, ""
    when it does not."""

    path: Path
    intent: Intent
    provenance: Provenance
    changed: str

    @property
    def name(self) -> str:
        return self.path.name


class Fight(msgspec.Struct, frozen=True):
    """Packages, and autoscalers, that set the count of one workload."""

    target: str
    counts: Mapping[str, int]
    autoscalers: tuple[str, ...] = ()


def read_package(path: str | Path) -> Read:
    """Raises PATCH080 when it is no package of ours; of a changed one, `changed` says how."""
    folder = refuse_traversal(path)
    if os.path.islink(folder) or not is_folder(folder):  # noqa: PTH114 - as is_folder
        raise Fault(errors.NOT_A_PACKAGE, path=str(folder), reason="it is not a folder")
    patch = contents(folder).get(PATCH_FILE)
    if patch is None:
        raise Fault(errors.NOT_A_PACKAGE, path=str(folder), reason=f"it has no {PATCH_FILE}")
    intent, provenance = _intent_of(folder, patch)
    package = render(intent)
    changed = difference(folder, package.files)
    stated = provenance.intent_hash.removeprefix("sha256:")
    if stated != package.intent_hash:
        changed = changed or "its hash is not that of its intent"
    elif folder.resolve().name != package.name:
        changed = changed or f"its name should be {package.name}"
    return Read(folder, intent, provenance, changed)


def read_own(path: str | Path) -> Read:
    """As `read_package`, where bytes are judged: raises PATCH089 when another form of patchgen made
    them. Words that are no versions were changed by somebody; that is seen as a change."""
    found = read_package(path)
    schema, generator = found.provenance.schema, found.provenance.generator
    versions = is_semantic_version(schema) and _FORM.fullmatch(generator)
    if versions and (schema, generator) != (SCHEMA_VERSION, GENERATOR):
        raise Fault(
            errors.OTHER_FORM,
            name=found.name,
            schema=schema,
            generator=generator,
            own=GENERATOR,
            own_schema=SCHEMA_VERSION,
        )
    return found


def verify(path: str | Path) -> Read:
    """The package when it is what its intent makes, else PATCH081 that names the difference. Raises
    what `read_own` raises."""
    found = read_own(path)
    if found.changed:
        raise Fault(errors.TAMPERED, name=found.name, files=found.changed)
    return found


def undo(found: Read, former: int) -> Intent:
    """The intent that takes a package back to the former count. Its bounds are not taken along: the
    former count need not hold them."""
    return Intent(
        intent_type="scaling",
        target=found.intent.target,
        namespace=found.intent.namespace,
        replicas=former,
        target_kind=found.intent.target_kind,
        reason=f"undo of {found.name}",
        source=found.intent.source,
        correlation_id=found.intent.correlation_id,
    )


def former_count(found: Read, base: Path | None) -> int:
    """What the manifests in `base` hold for the target. Raises PATCH082 when they do not say."""
    objects = [one for _, one in krm.read_objects(base)] if base else []
    count = krm.replicas_of(objects, found.intent)
    if count is None:
        intent = found.intent
        raise Fault(
            errors.NO_FORMER,
            kind=intent.target_kind,
            namespace=intent.namespace,
            target=intent.target,
            path=shlex.quote(str(found.path)),
        )
    return count


def diff_base(intent: Intent, base: Path) -> tuple[str, list[str]]:
    """What an intent changes in manifests, as a unified diff of their YAML, and the autoscalers
    that would fight it. Raises PATCH085 when the target is not there."""
    found = krm.read_objects(base)
    objects = [one for _, one in found]
    lines: list[str] = []
    for (file, before), after in zip(found, krm.set_replicas(objects, intent), strict=True):
        if before != after:
            lines += _unified(str(file), krm.dump(before), krm.dump(after))
    return "".join(lines), krm.autoscalers(objects, intent)


def diff_packages(one: Path, other: Path) -> str:
    """What differs between two packages, file by file."""
    left, right = contents(one), contents(other)
    lines: list[str] = []
    for name in sorted({*left, *right}):
        before, after = (_text(side.get(name)) for side in (left, right))
        if before != after:
            lines += _unified(name, before, after)
    return "".join(lines)


def fights(folder: Path) -> list[Fight]:
    """Workloads below a folder whose count is set to different values by several packages, or by a
    package and an autoscaler."""
    packages: dict[tuple[str, str, str], list[Read]] = defaultdict(list)
    objects: krm.Objects = []
    for place in sorted(folder.iterdir()):
        if place.is_dir() and is_package_name(place.name):
            found = read_package(place)
            intent = found.intent
            packages[intent.target_kind, intent.namespace, intent.target].append(found)
        elif place.suffix in (".yaml", ".yml", ".json") or place.is_dir():
            objects += [one for _, one in krm.read_objects(place)]
    shown = []
    for (kind, namespace, target), own in sorted(packages.items()):
        counts = {found.name: found.intent.replicas for found in own}
        scalers = krm.autoscalers(objects, own[0].intent)
        if len(set(counts.values())) > 1 or scalers:
            shown.append(Fight(f"{kind} {namespace}/{target}", counts, tuple(scalers)))
    return shown


def _intent_of(folder: Path, patch: bytes) -> tuple[Intent, Provenance]:
    try:
        told = msgspec.convert(krm.parse(patch), _Patch)
        marks = {
            key.removeprefix(f"{PREFIX}/"): value
            for key, value in told.metadata.annotations.items()
            if key.startswith(f"{PREFIX}/")
        }
        bounds = msgspec.json.decode(marks.get("constraints", "{}"), type=Constraints)
        intent = Intent(
            intent_type=marks.get("intent-type", ""),  # type: ignore[arg-type] # judged by Intent
            target=told.metadata.name,
            namespace=told.metadata.namespace,
            replicas=told.spec.replicas,
            target_kind=told.kind,  # type: ignore[arg-type] # likewise
            reason=marks.get("reason", ""),
            source=marks.get("source", ""),
            correlation_id=marks.get("correlation-id", ""),
            constraints=bounds,
        )
    except Fault as bad:
        raise Fault(errors.NOT_A_PACKAGE, path=str(folder), reason=bad.message) from bad
    except Exception as bad:
        # YAML raises several families; none says more than that it is not ours.
        reason = str(bad).replace("\n", " ")[:200]
        raise Fault(errors.NOT_A_PACKAGE, path=str(folder), reason=reason) from bad
    return intent, Provenance(
        marks.get("intent-hash", ""),
        marks.get("schema-version", ""),
        marks.get("generator", ""),
        marks.get("reason", ""),
        marks.get("source", ""),
        marks.get("correlation-id", ""),
    )


class _Metadata(msgspec.Struct):
    name: str
    namespace: str
    annotations: dict[str, str]


class _Spec(msgspec.Struct):
    replicas: int


class _Patch(msgspec.Struct):
    kind: str
    metadata: _Metadata
    spec: _Spec


def _unified(name: str, before: str, after: str) -> Sequence[str]:
    return list(
        difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"a/{name.lstrip('/')}",
            f"b/{name.lstrip('/')}",
        )
    )


def _text(content: bytes | None) -> str:
    return "" if content is None else content.decode("utf-8", "replace")
