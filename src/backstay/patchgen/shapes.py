"""The four older shapes of an intent, each turned into the flat one by an adapter of its own.

An adapter moves nodes and never changes them, so a mistake in an adapted intent still points at the
text that the person wrote. What cannot be said as one scaling of one workload is refused; nothing
is guessed.
"""

from collections.abc import Callable

from backstay.patchgen.errors import intent as errors
from backstay.patchgen.places import Notes
from backstay.patchgen.scan import Node

Adapter = Callable[[Node, Notes], Node | None]


def adapt(root: Node, notes: Notes) -> tuple[str, Node | None]:
    """The shape's name and the document in the flat shape; None after an error in `notes`."""
    shape, adapter = _recognize(root)
    if adapter is None:
        return shape, root
    flat = adapter(root, notes)
    notes.warn(errors.OLD_SHAPE, root, shape=shape)
    return shape, flat


def _recognize(root: Node) -> tuple[str, Adapter | None]:
    fields = root.members
    if "intent_type" in fields:
        return "flat", None
    if "apiVersion" in fields and "kind" in fields:
        kind = fields["kind"].value
        return (
            ("scaling-intent", _scaling_intent)
            if kind == "ScalingIntent"
            else (
                "network-intent",
                _network_intent,
            )
        )
    if "intentId" in fields and "actions" in fields:
        return "intent-plan", _intent_plan
    if "resource_name" in fields or "target_scale" in fields:
        return "scaling-document", _scaling_document
    return "flat", None


def _flat(root: Node, members: dict[str, Node | None]) -> Node:
    """A flat document of nodes that stay where they were; `intent_type` is implied."""
    told = {name: node for name, node in members.items() if node is not None}
    told.setdefault("intent_type", Node("string", "scaling", root.pointer, root.start, root.end))
    return Node("object", told, root.pointer, root.start, root.end)


def _scaling_document(root: Node, notes: Notes) -> Node:  # noqa: ARG001 - an Adapter's signature
    """`{id, resource_name, namespace, target_scale, reason}`: the scaling document."""
    fields = root.members
    return _flat(
        root,
        {
            "target": fields.get("resource_name"),
            "namespace": fields.get("namespace"),
            "replicas": fields.get("target_scale"),
            "reason": fields.get("reason"),
            "correlation_id": fields.get("id"),
        },
    )


def _scaling_intent(root: Node, notes: Notes) -> Node:  # noqa: ARG001 - an Adapter's signature
    """Kind ScalingIntent: the workload is `metadata` unless `spec` names one."""
    spec, metadata = _member(root, "spec"), _member(root, "metadata")
    own = spec.members
    return _flat(
        root,
        {
            "target": _target_of(spec) or metadata.members.get("name"),
            "namespace": own.get("namespace") or metadata.members.get("namespace"),
            "replicas": own.get("replicas"),
            "reason": own.get("reason"),
            "source": own.get("source"),
            "correlation_id": own.get("correlationId"),
        },
    )


def _network_intent(root: Node, notes: Notes) -> Node | None:
    """Kind NetworkIntent: the resource of the controller, or the older one with an action."""
    if root.members["kind"].value != "NetworkIntent":
        kind = root.members["kind"]
        _cannot(notes, kind, "network-intent", f"kind {kind.value} is no scaling")
        return None
    spec, metadata = _member(root, "spec"), _member(root, "metadata")
    own = spec.members
    action = own.get("action")
    if action is not None and action.value != "scale":
        _cannot(notes, action, "network-intent", "only the action scale is known")
        return None
    if "intent" in own and "target" not in own:
        _cannot(notes, own["intent"], "network-intent", "free text is not interpreted")
        return None
    policy = _member(_member(spec, "scalingParameters"), "autoscalingPolicy")
    target = _target_of(spec)
    if policy.members and target is not None:
        who = "A HorizontalPodAutoscaler"
        notes.warn(errors.AUTOSCALED, policy, target=str(target.value)[:80], who=who)
    return _flat(
        root,
        {
            "intent_type": own.get("intentType"),
            "target": target,
            "namespace": own.get("namespace") or metadata.members.get("namespace"),
            "replicas": own.get("replicas")
            or _member(spec, "scalingParameters").members.get("replicas"),
            "source": own.get("source"),
        },
    )


def _intent_plan(root: Node, notes: Notes) -> Node | None:
    """The plan with `actions`: exactly one, and it scales."""
    fields = root.members
    actions = fields["actions"].items
    if len(actions) != 1:
        reason = f"a plan with {len(actions)} actions is not one intent"
        _cannot(notes, fields["actions"], "intent-plan", reason)
        return None
    action = actions[0]
    kind = action.members.get("kind")
    if kind is None or kind.value != "scale":
        _cannot(notes, kind or action, "intent-plan", "only the action scale is known")
        return None
    bounds = _member(root, "constraints").members
    allowed = bounds.get("allowedNamespaces")
    only = allowed.items[0] if allowed is not None and len(allowed.items) == 1 else None
    limits = {
        "min_replicas": bounds.get("minReplicas"),
        "max_replicas": bounds.get("maxReplicas"),
        "allowed_namespaces": allowed,
    }
    kept = {name: node for name, node in limits.items() if node is not None}
    return _flat(
        root,
        {
            "target": action.members.get("component"),
            "namespace": _member(action, "params").members.get("namespace") or only,
            "replicas": action.members.get("replicas"),
            "source": _member(root, "metadata").members.get("source"),
            "correlation_id": fields["intentId"],
            "constraints": Node("object", kept, "/constraints", root.start, root.end)
            if kept
            else None,
        },
    )


def _target_of(spec: Node) -> Node | None:
    """`spec.target` is a name, or an object with one."""
    target = spec.members.get("target")
    return target.members.get("name") if target is not None and target.members else target


def _member(node: Node, name: str) -> Node:
    """A member that may be missing: then it has no members of its own."""
    return node.members.get(name) or Node("null", None, f"{node.pointer}/{name}", node.start, 0)


def _cannot(notes: Notes, node: Node, shape: str, reason: str) -> None:
    remedy = "write the flat form: intent_type, target, namespace, replicas"
    notes.error(errors.NOT_ADAPTABLE, node, shape=shape, reason=reason, remedy=remedy)
