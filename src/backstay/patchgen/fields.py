"""One field of an intent at a time: a node in, its value out, or None after a note.

The collecting pass (`rules`) goes through `FIELDS`; `intent.schema.json` states the same for other
tools.
"""

from collections.abc import Callable, Iterable, Mapping

from backstay.core.nearest import nearest
from backstay.patchgen.errors import intent as errors
from backstay.patchgen.model import (
    CORRELATION_LIMIT,
    KINDS,
    REASON_LIMIT,
    REPLICAS_MAX,
    SOURCE_LIMIT,
    Constraints,
)
from backstay.patchgen.names import (
    CORRELATION_PATTERN,
    KUBERNETES_PATTERN,
    NAMESPACE_LIMIT,
    TARGET_LIMIT,
    control_in,
    is_correlation_id,
    is_kubernetes_name,
    sanitize_name,
)
from backstay.patchgen.places import Notes
from backstay.patchgen.scan import Node, Sort

STRICT_LINE = 512
STRICT_SOURCES = ("user", "planner", "test", "automation")
STATES = ("pending", "processing", "completed", "failed")

WORDS: Mapping[Sort, str] = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "boolean": "a boolean",
    "null": "null",
}
"""How people call what JSON holds."""
_CONSTRAINTS = (
    *("min_replicas", "max_replicas", "allowed_namespaces"),
    *("kpt_package_name", "porch_repository"),
)
_LONGEST_NUMBER = 32

Judge = Callable[[str, Node, Notes], object]
TextJudge = Callable[[str, Node, Notes], str | None]


def unknown(notes: Notes, node: Node, name: str, known: Iterable[str]) -> None:
    """Note a field that nobody reads, with the name that was perhaps meant."""
    near = nearest(name, known)
    perhaps = f"; is {near} meant?" if near else ""
    notes.warn(errors.UNKNOWN_FIELD, node, field=name[:60], near=perhaps)


def _text(name: str, node: Node, notes: Notes) -> str | None:
    if isinstance(node.value, str) and node.sort == "string":
        return node.value
    notes.error(errors.WRONG_TYPE, node, field=name, wanted="a string", found=WORDS[node.sort])
    return None


def _intent_type(name: str, node: Node, notes: Notes) -> str | None:
    told = _text(name, node, notes)
    if told in (None, "scaling"):
        return told
    notes.error(errors.WRONG_INTENT_TYPE, node)
    return None


def _name_up_to(limit: int) -> TextJudge:
    def judge(name: str, node: Node, notes: Notes) -> str | None:
        told = _text(name, node, notes)
        if told is None:
            return None
        before = len(notes.errors)
        if len(told) > limit:
            notes.error(
                errors.NAME_TOO_LONG,
                node,
                field=name,
                Field=name.capitalize(),
                count=len(told),
                limit=limit,
            )
        if not is_kubernetes_name(told):
            near = sanitize_name(told)[:limit].rstrip("-")
            notes.error(errors.BAD_NAME, node, field=name, pattern=KUBERNETES_PATTERN, near=near)
        return told if len(notes.errors) == before else None

    return judge


def _free_text(limit: int) -> TextJudge:
    def judge(name: str, node: Node, notes: Notes) -> str | None:
        told = _text(name, node, notes)
        if told is None:
            return None
        title = name.replace("_", " ").capitalize()
        if len(told) > limit:
            notes.error(
                errors.TEXT_TOO_LONG, node, field=name, Field=title, count=len(told), limit=limit
            )
            return None
        bad = control_in(told)
        if bad:
            value = f"U+{ord(bad):04X}"
            notes.error(errors.TEXT_CONTROL, node, field=name, Field=title, value=value)
            return None
        return told

    return judge


def _reason(name: str, node: Node, notes: Notes) -> str | None:
    told = _free_text(REASON_LIMIT)(name, node, notes)
    if told is not None and (len(told) > STRICT_LINE or "\n" in told):
        notes.warn(
            errors.LONG_TEXT, node, strict=True, field=name, count=len(told), limit=STRICT_LINE
        )
    return told


def _source(name: str, node: Node, notes: Notes) -> str | None:
    told = _free_text(SOURCE_LIMIT)(name, node, notes)
    if told and told not in STRICT_SOURCES:
        known = ", ".join(STRICT_SOURCES)
        notes.warn(errors.FREE_SOURCE, node, strict=True, known=known)
    return told


def _correlation(name: str, node: Node, notes: Notes) -> str | None:
    told = _free_text(CORRELATION_LIMIT)(name, node, notes)
    if not told or is_correlation_id(told):
        return told
    notes.error(errors.BAD_CORRELATION, node, pattern=CORRELATION_PATTERN)
    return None


def _one_of(known: tuple[str, ...]) -> TextJudge:
    def judge(name: str, node: Node, notes: Notes) -> str | None:
        told = _text(name, node, notes)
        if told is None or told in known:
            return told
        notes.error(errors.NOT_ONE_OF, node, field=name, known=" or ".join(known))
        return None

    return judge


def _whole(name: str, node: Node, notes: Notes, low: int, high: int | None) -> int | None:
    """A whole number in its range. `3.0` and `1e1` are whole, as JSON Schema has it, and noted."""
    wanted = f"{low}-{high}" if high is not None else f"{low} or more"
    if node.sort != "number":
        found = WORDS[node.sort]
        notes.error(errors.WRONG_TYPE, node, field=name, wanted="a whole number", found=found)
        return None
    told = str(node.value)
    number = _whole_of(told)
    if number is None:
        notes.error(errors.REPLICAS_FRACTION, node) if name == "replicas" else notes.error(
            errors.WRONG_TYPE, node, field=name, wanted="a whole number", found="a fraction"
        )
        return None
    if number < low or (high is not None and number > high):
        entry = errors.REPLICAS_RANGE if name == "replicas" else errors.NUMBER_RANGE
        notes.error(entry, node, field=name, wanted=wanted)
        return None
    if not told.lstrip("-").isdigit():
        notes.warn(errors.INTEGRAL, node, field=name, whole=str(int(number)))
    return int(number)


def _whole_of(told: str) -> float | None:
    """The number when it is whole. What is far too long to be in any range is only estimated."""
    if len(told) <= _LONGEST_NUMBER and told.lstrip("-").isdigit():
        return int(told)
    number = float(told)
    return number if number in (float("inf"), float("-inf")) or number.is_integer() else None


def _replicas(name: str, node: Node, notes: Notes) -> int | None:
    return _whole(name, node, notes, 0, REPLICAS_MAX)


def _priority(name: str, node: Node, notes: Notes) -> int | None:
    return _whole(name, node, notes, 0, 10)


def _texts(name: str, node: Node, notes: Notes) -> tuple[str, ...] | None:
    if node.sort != "array":
        found = WORDS[node.sort]
        notes.error(errors.WRONG_TYPE, node, field=name, wanted="an array", found=found)
        return None
    told = [_text(f"{name}[{place}]", one, notes) for place, one in enumerate(node.items)]
    for place, one in enumerate(node.items):
        if one.value == "":
            notes.error(
                errors.WRONG_TYPE, one, field=f"{name}[{place}]", wanted="a string", found="empty"
            )
    return tuple(one for one in told if one is not None)


def _namespaces(name: str, node: Node, notes: Notes) -> tuple[str, ...] | None:
    if node.sort != "array":
        return _texts(name, node, notes)
    judge = _name_up_to(NAMESPACE_LIMIT)
    told = [judge(f"{name}[{place}]", one, notes) for place, one in enumerate(node.items)]
    return tuple(one for one in told if one is not None)


def _context(name: str, node: Node, notes: Notes) -> None:
    if node.sort != "object":
        found = WORDS[node.sort]
        notes.error(errors.WRONG_TYPE, node, field=name, wanted="an object", found=found)
    for key, one in node.members.items():
        _text(f"{name}.{key}", one, notes)


def _constraints(name: str, node: Node, notes: Notes) -> Constraints | None:
    if node.sort != "object":
        found = WORDS[node.sort]
        notes.error(errors.WRONG_TYPE, node, field=name, wanted="an object", found=found)
        return None
    own = node.members
    for key, one in own.items():
        if key not in _CONSTRAINTS:
            unknown(notes, one, f"{name}.{key}", (f"{name}.{known}" for known in _CONSTRAINTS))
    for key in ("kpt_package_name", "porch_repository"):
        if key in own:
            _text(f"{name}.{key}", own[key], notes)
    low = own.get("min_replicas")
    high = own.get("max_replicas")
    allowed = own.get("allowed_namespaces")
    return Constraints(
        min_replicas=_whole(f"{name}.min_replicas", low, notes, 0, None) if low else None,
        max_replicas=_whole(f"{name}.max_replicas", high, notes, 1, None) if high else None,
        allowed_namespaces=(_namespaces(f"{name}.allowed_namespaces", allowed, notes) or ())
        if allowed
        else (),
    )


FIELDS: Mapping[str, Judge] = {
    "intent_type": _intent_type,
    "target": _name_up_to(TARGET_LIMIT),
    "namespace": _name_up_to(NAMESPACE_LIMIT),
    "replicas": _replicas,
    "target_kind": _one_of(KINDS),
    "reason": _reason,
    "source": _source,
    "correlation_id": _correlation,
    "constraints": _constraints,
    # Known from the older contract; they are judged, and nothing is made of them.
    "priority": _priority,
    "created_at": _text,
    "updated_at": _text,
    "status": _one_of(STATES),
    "target_resources": _texts,
    "description": _free_text(1024),
    "nephio_context": _context,
}
"""Every field that is known, with what judges it."""
