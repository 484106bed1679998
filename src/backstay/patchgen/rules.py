"""The rules of an intent, each said once for the collecting pass: a tree in, every mistake out.

`intent.schema.json` states the same rules for other tools, and a test with a foreign validator
holds the two together.
"""

from collections.abc import Mapping

import msgspec

from backstay.patchgen.errors import InvalidIntent
from backstay.patchgen.errors import intent as errors
from backstay.patchgen.fields import FIELDS, WORDS, unknown
from backstay.patchgen.model import Constraints, Intent, Report
from backstay.patchgen.names import LABEL_LIMIT
from backstay.patchgen.places import Notes, node_of
from backstay.patchgen.scan import Node

REQUIRED: Mapping[str, str] = {
    "intent_type": '"intent_type": "scaling"',
    "target": '"target": "my-app"',
    "namespace": '"namespace": "default"',
    "replicas": '"replicas": 3',
}
"""The fields that must be there, each with an example of how it is written."""


def collect(root: Node, notes: Notes) -> Intent | None:
    """Judge a document in the flat shape; all that is wrong goes into `notes`. The intent, when
    nothing is wrong."""
    if root.sort != "object":
        notes.error(errors.NOT_OBJECT, root, found=WORDS[root.sort])
        return None
    fields = root.members
    made: dict[str, object] = {}
    for name, example in REQUIRED.items():
        if name not in fields:
            notes.error(
                errors.MISSING, root, field=name, example=example, pointer=f"{root.pointer}/{name}"
            )
    for name, node in fields.items():
        judge = FIELDS.get(name)
        if judge is None:
            unknown(notes, node, name, FIELDS)
            continue
        value = judge(name, node, notes)
        if name in Intent.__struct_fields__ and value is not None:
            made[name] = value
    _across(made, fields, notes)
    if notes.errors:
        return None
    return Intent(**made)  # type: ignore[arg-type]


def refuse_made(intent: Intent) -> None:
    """Raise `InvalidIntent` with every rule that an intent made by hand breaks (P31)."""
    told = {name: getattr(intent, name) for name in intent.__struct_fields__}
    if isinstance(told["constraints"], msgspec.Struct):
        bounds = msgspec.structs.asdict(told["constraints"])
        told["constraints"] = {key: value for key, value in bounds.items() if value is not None}
    for name in ("reason", "source", "correlation_id"):
        if told[name] == "":
            del told[name]
    notes = Notes("", made=True)
    collect(node_of(told, ""), notes)
    raise InvalidIntent(Report(None, tuple(notes.errors)), made=True)


def _across(made: Mapping[str, object], fields: Mapping[str, Node], notes: Notes) -> None:
    """Rules that need more than one field; only those whose fields are sound."""
    bounds, replicas, namespace = (
        made.get("constraints"),
        made.get("replicas"),
        made.get("namespace"),
    )
    target = made.get("target")
    if isinstance(target, str) and len(target) > LABEL_LIMIT:
        notes.warn(errors.LONG_TARGET, fields["target"], count=len(target))
    if not isinstance(bounds, Constraints):
        return
    low, high = bounds.min_replicas, bounds.max_replicas
    if low is not None and high is not None and low > high:
        notes.error(errors.CONSTRAINT_ORDER, fields["constraints"], low=low, high=high)
    elif isinstance(replicas, int):
        tell = {"bound": low, "relation": "is below", "field": "min_replicas"}
        if low is not None and replicas < low:
            notes.error(errors.CONSTRAINT_REPLICAS, fields["replicas"], **tell)
        tell = {"bound": high, "relation": "is above", "field": "max_replicas"}
        if high is not None and replicas > high:
            notes.error(errors.CONSTRAINT_REPLICAS, fields["replicas"], **tell)
    allowed = bounds.allowed_namespaces
    if isinstance(namespace, str) and allowed and namespace not in allowed:
        told = ", ".join(allowed)
        notes.error(errors.CONSTRAINT_NAMESPACE, fields["namespace"], allowed=told)
