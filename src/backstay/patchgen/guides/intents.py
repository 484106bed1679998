"""An intent is refused: it is no JSON, it breaks a rule, or its paths climb."""

from backstay.core.guide import Guide, Symptom
from backstay.patchgen.guides.message import PROBE, advice, told

_SEE = advice("see-place", "See every mistake with its place", "patchgen validate FILE")

NOT_JSON = Guide(
    id="intent-not-json",
    title="An intent is not JSON",
    seed="patchgen: JSON Parsing Errors",
    symptoms=(
        Symptom("text", r"invalid JSON|unexpected end of JSON|PATCH010", "JSON that is broken"),
        Symptom("text", r"(missing|trailing) comma", "a comma"),
    ),
    probes=(PROBE,),
    causes=(
        told(
            "json-cut-off",
            "cut-off",
            "the intent ends too early: an empty or half-written file",
            "write-aside",
            "see-place",
        ),
        told("json-missing-comma", "missing-comma", "a comma is missing", "see-place"),
        told("json-trailing-comma", "trailing-comma", "a comma follows the last one", "see-place"),
        told("json-broken", "not-json", "the intent is not JSON", "see-place"),
    ),
    fixes=(
        _SEE,
        advice(
            "write-aside",
            "Write it whole, then give it its name",
            "mv .intent.json.part intent.json",
        ),
    ),
    escalation="patchgen diagnose --json-text FILE shows the very byte",
)

INVALID = Guide(
    id="intent-invalid",
    title="An intent breaks the schema's rules",
    seed="patchgen: Schema Validation Failed; Invalid Kubernetes Names",
    symptoms=(
        Symptom("text", r"schema validation failed|PATCH0(01|2\d)", "the schema refuses it"),
        Symptom("text", r"does not match (required )?pattern", "a name"),
        Symptom("text", r"replicas out of range|namespace too long|intent_type must", "a value"),
        Symptom("text", r"missing required field", "a field"),
    ),
    probes=(PROBE,),
    causes=(
        told(
            "bad-name",
            "bad-name",
            "a name is not lowercase alphanumeric with hyphens, in ASCII",
            "rename",
            "see-place",
        ),
        told("missing-field", "missing-field", "the field {field} is missing", "see-place"),
        told("wrong-type", "wrong-type", "the intent type is not scaling", "scaling"),
        told(
            "replicas-out-of-range",
            "replicas",
            "replicas are not a whole number of 0 to 100",
            "count",
        ),
        told(
            "namespace-too-long",
            "namespace-long",
            "the namespace has more than 63 characters",
            "rename",
        ),
        told("schema", "schema", "a rule of the schema does not hold", "see-place"),
    ),
    fixes=(
        _SEE,
        advice("rename", "Use a name such as my-app-v2", "patchgen validate FILE"),
        advice("scaling", "Set the only type there is", '"intent_type": "scaling"'),
        advice("count", "Use a whole number from 0 to 100", '"replicas": 3'),
    ),
    escalation="patchgen schema prints the rules; patchgen explain FILE shows what was read",
)

CONFLICT = Guide(
    id="package-conflict",
    title="Something else has the package's name",
    seed="patchgen: Slow Package Generation (batch operations)",
    symptoms=(Symptom("text", r"exists with different content|PATCH067", "a conflict"),),
    probes=(PROBE,),
    causes=(
        told(
            "package-changed",
            "conflict",
            "the package was changed by hand, or made by another version of the generator",
            "compare",
            "aside",
        ),
    ),
    fixes=(
        advice("compare", "See which file differs", "patchgen verify PACKAGE"),
        advice("aside", "Move it away, then generate anew", "mv PACKAGE PACKAGE.old"),
    ),
    escalation="packages are never written over; git log PACKAGE tells who changed it",
)

TRAVERSAL = Guide(
    id="path-traversal",
    title="A path is refused because it leaves its folder",
    seed="patchgen: Path Traversal Detected",
    symptoms=(
        Symptom("text", r"path traversal|path escapes base directory|PATCH06[45]", "a path"),
    ),
    probes=(PROBE,),
    causes=(
        told("dots-in-path", "traversal", "a path has .. as a component", "clean-path"),
        told("path-escapes", "escapes", "a path, or a link in it, leads outside", "clean-path"),
    ),
    fixes=(
        advice("clean-path", "Write the folder out", 'patchgen generate -output "$(realpath DIR)"'),
    ),
    escalation="if nobody here wrote that path, treat it as an attack: patchgen support",
)
