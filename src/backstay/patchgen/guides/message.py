"""What the words of a user say: patchgen's own messages, told apart by their forms. The text is all
there is to look at when a command has refused an intent and is gone."""

import re
from collections.abc import Sequence

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Probe, Target
from backstay.core.probing import seen

MESSAGE = "patchgen.message"

_FORMS: Sequence[tuple[str, str]] = (
    ("old-import", r"cannot find module providing package \S*internal/patch\b"),
    ("old-type", r"cannot use \S+ .*as .*PatchPackage|\*?patch\.Generator"),
    ("old-method", r"GetPackagePath undefined|no field or method GetPackagePath"),
    ("not-validated", r"validation required but not performed"),
    ("traversal", r"path traversal( attempt)? detected"),
    ("escapes", r"path escapes base directory"),
    ("missing-comma", r"missing comma|after object key:value pair|after array element"),
    ("trailing-comma", r"trailing comma|'[}\]]' looking for beginning of"),
    ("cut-off", r"unexpected end of JSON input"),
    ("not-json", r"invalid JSON|PATCH010"),
    ("wrong-type", r"intent_type must be 'scaling'"),
    ("missing-field", r"missing required field: (?P<field>\w+)"),
    ("namespace-long", r"namespace too long"),
    ("replicas", r"replicas (out of range|must be a whole number)"),
    ("bad-name", r"does not match (required )?pattern|invalid target name|PATCH024"),
    ("schema", r"schema validation failed|PATCH001"),
    ("conflict", r"package \S+ exists with different content|PATCH067"),
    ("memory", r"high memory usage"),
)
NOTHING = "none"
READINGS = (NOTHING, *(reading for reading, _ in _FORMS))


def classify(text: str) -> tuple[str, str]:
    """The reading of a text, and the field that it names, if any."""
    for reading, form in _FORMS:
        match = re.search(form, text, re.IGNORECASE)
        if match:
            return reading, match.groupdict().get("field") or ""
    return NOTHING, ""


async def _look_at_message(target: Target) -> Evidence:
    reading, field = classify(target.text)
    if reading == NOTHING:
        return seen(MESSAGE, reading, "skip")
    facts: dict[str, Plain] = {"text": target.text[:300], "field": field}
    return seen(MESSAGE, reading, "fail", target.text, **facts)


PROBE = Probe(MESSAGE, "which message of patchgen is this", "outside", READINGS, _look_at_message)


def told(id: str, reading: str, says: str, *fixes: str, prior: float = 0.05) -> Cause:
    """A cause that one form of message gives away."""
    return Cause(id, says, prior, {MESSAGE: {reading: 0.97}}, fixes)


def advice(id: str, says: str, command: str) -> Fix:
    """A fix that only the user can make."""
    return Fix(id, says, command, "none")
