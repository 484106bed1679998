"""Every error of patchgen, as data. Codes are permanent.

PATCH010–PATCH049 are what an intent can get wrong; `message` is the text that older clients look
for, `cause` the sentence for people, `fix` the remedy. The rest are faults of their own. The typed
exceptions below are what a library user catches; recovery goes by them, never by a text (P57).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from backstay.core.errors import ErrorEntry, Exit, Fault, Plain
from backstay.patchgen.names import KUBERNETES_PATTERN

if TYPE_CHECKING:
    from backstay.patchgen.model import Report

# --- the intent --------------------------------------------------------------------------------

INVALID = ErrorEntry(
    code="PATCH001",
    message="{text}",
    cause="{count} of the intent's rules do not hold",
    fix="correct what is named; patchgen explain shows every rule in its place",
    status=400,
    guide="intent-invalid",
)
NOT_JSON = ErrorEntry(
    code="PATCH010",
    message="invalid JSON: {reason}",
    cause="{says}",
    fix="{remedy}",
    status=400,
    guide="intent-not-json",
)
DUPLICATE = ErrorEntry(
    code="PATCH011",
    message="duplicate key {key!r}",
    cause="{key!r} stands twice; readers differ in which of the two they take",
    fix="keep one of them",
    status=400,
)
TOO_LARGE = ErrorEntry(
    code="PATCH012",
    message="intent too large: {size} bytes (max {limit})",
    cause="the limit protects memory",
    fix="send one intent, not a list; free text belongs elsewhere",
    status=413,
)
NOT_OBJECT = ErrorEntry(
    code="PATCH020",
    message="intent must be an object, not {found}",
    cause="an intent is one JSON object",
    fix="write {{…}}; several intents are lines or files of a batch: patchgen batch",
    status=400,
)
MISSING = ErrorEntry(
    code="PATCH021",
    message="missing required field: {field}",
    cause="Missing field: {field}",
    fix="add {field}, e.g. {example}",
    status=400,
)
WRONG_TYPE = ErrorEntry(
    code="PATCH022",
    message="{field} must be {wanted}, not {found}",
    cause="Wrong type: {field} is {found}",
    fix="write {wanted}",
    status=400,
)
WRONG_INTENT_TYPE = ErrorEntry(
    code="PATCH023",
    message="intent_type must be 'scaling'",
    cause="Invalid intent type: {value}",
    fix='use "scaling"; other types are not known here',
    status=400,
)
BAD_NAME = ErrorEntry(
    code="PATCH024",
    message='{field} does not match pattern "{pattern}"',
    cause="Invalid {field} name: {value}",
    fix="Must be lowercase alphanumeric with hyphens, in ASCII; perhaps {near}",
    status=400,
)
NAME_TOO_LONG = ErrorEntry(
    code="PATCH025",
    message="{field} too long: {count} chars (max {limit})",
    cause="{Field} too long: {count} chars (max {limit})",
    fix="shorten the name to {limit} characters",
    status=400,
)
REPLICAS_RANGE = ErrorEntry(
    code="PATCH026",
    message="replicas out of range: {value} (must be 0-100)",
    cause="Replicas out of range: {value} (must be 0-100)",
    fix="use a whole number from 0 to 100",
    status=400,
)
REPLICAS_FRACTION = ErrorEntry(
    code="PATCH027",
    message="replicas must be a whole number, not {value}",
    cause="Replicas are not whole: {value}",
    fix="use a whole number from 0 to 100",
    status=400,
)
TEXT_TOO_LONG = ErrorEntry(
    code="PATCH028",
    message="{field} too long: {count} chars (max {limit})",
    cause="{Field} too long: {count} chars (max {limit})",
    fix="shorten it; it becomes an annotation of the workload",
    status=400,
)
TEXT_CONTROL = ErrorEntry(
    code="PATCH029",
    message="{field} holds the control character {value}",
    cause="{Field} holds the control character {value}",
    fix="write plain text; of control characters only newline and tab are taken",
    status=400,
)
BAD_CORRELATION = ErrorEntry(
    code="PATCH030",
    message='correlation_id does not match pattern "{pattern}"',
    cause="Invalid correlation id: {value}",
    fix="use letters, digits, - and _ only, 128 at most",
    status=400,
)
NOT_ONE_OF = ErrorEntry(
    code="PATCH031",
    message="{field} must be one of {known}",
    cause="Unknown {field}: {value}",
    fix="use one of {known}",
    status=400,
)
NUMBER_RANGE = ErrorEntry(
    code="PATCH032",
    message="{field} out of range: {value} (must be {wanted})",
    cause="Out of range: {field} is {value}",
    fix="use a whole number that is {wanted}",
    status=400,
)
CONSTRAINT_REPLICAS = ErrorEntry(
    code="PATCH033",
    message="replicas {value} {relation} constraints.{field} {bound}",
    cause="The intent's own bound forbids it: {field} is {bound}",
    fix="change replicas, or the constraint if it is out of date",
    status=400,
)
CONSTRAINT_NAMESPACE = ErrorEntry(
    code="PATCH034",
    message="namespace {value} is not in constraints.allowed_namespaces",
    cause="The intent allows only {allowed}",
    fix="use an allowed namespace, or add this one",
    status=400,
)
CONSTRAINT_ORDER = ErrorEntry(
    code="PATCH035",
    message="constraints.min_replicas {low} is above constraints.max_replicas {high}",
    cause="No number of replicas fits both",
    fix="exchange the two",
    status=400,
)
NOT_ADAPTABLE = ErrorEntry(
    code="PATCH036",
    message="{shape}: {reason}",
    cause="Only what says one scaling of one workload can become an intent",
    fix="{remedy}",
    status=400,
)

# --- warnings: accepted, and refused in strict mode --------------------------------------------

UNKNOWN_FIELD = ErrorEntry(
    code="PATCH040",
    message="unknown field {field!r}",
    cause="Nobody reads {field!r}{near}",
    fix="remove it, or correct its name",
    status=400,
)
HAS_BOM = ErrorEntry(
    code="PATCH041",
    message="the text begins with a byte order mark",
    cause="UTF-8 needs none, and some readers stumble over it",
    fix="save the file as UTF-8 without BOM",
    status=400,
)
INTEGRAL = ErrorEntry(
    code="PATCH042",
    message="{field} is written as {value}",
    cause="It is a whole number, but many readers refuse this spelling",
    fix="write {whole}",
    status=400,
)
LONG_TARGET = ErrorEntry(
    code="PATCH043",
    message="target has {count} chars; labels hold 63",
    cause="Pods and labels made from the name are cut, a StatefulSet's are refused",
    fix="choose a workload name of at most 63 characters",
    status=400,
)
AUTOSCALED = ErrorEntry(
    code="PATCH044",
    message="an autoscaler owns replicas of {target}",
    cause="A HorizontalPodAutoscaler sets the same field, and the two would undo each other",
    fix="change its minReplicas and maxReplicas, or remove it before applying this",
    status=400,
)
OLD_SHAPE = ErrorEntry(
    code="PATCH045",
    message="read as {shape}",
    cause="This is an older form; it was adapted",
    fix="patchgen explain prints the intent in the present form",
    status=400,
)
LONG_TEXT = ErrorEntry(
    code="PATCH046",
    message="{field} has {count} chars; strict mode takes one line of {limit}",
    cause="Long free text is hard to review where it ends up",
    fix="one short line, and the long story behind a link",
    status=400,
)
FREE_SOURCE = ErrorEntry(
    code="PATCH047",
    message="source {value!r} is none of {known}",
    cause="Sources outside the list cannot be counted or filtered by",
    fix="use one of {known}",
    status=400,
)

# --- the file system ---------------------------------------------------------------------------

OUTPUT_MISSING = ErrorEntry(
    code="PATCH060",
    message="output directory {path} does not exist",
    cause="nothing is created outside of an output directory that is there",
    fix="mkdir -p {path}",
    guide="output-missing",
)
OUTPUT_NOT_FOLDER = ErrorEntry(
    code="PATCH061",
    message="output path {path} is not a directory",
    cause="packages are folders inside a folder",
    fix="name a folder: -output DIR",
    guide="output-missing",
)
CANNOT_STAGE = ErrorEntry(
    code="PATCH062",
    message="failed to create package directory: {reason}",
    cause="{path} does not take a new folder from user {user}",
    fix="{remedy}",
    guide="output-denied",
)
CANNOT_WRITE = ErrorEntry(
    code="PATCH063",
    message="failed to write file: {reason}",
    cause="{path} could not be written; nothing of the package remains",
    fix="{remedy}",
    guide="output-full",
)
TRAVERSAL = ErrorEntry(
    code="PATCH064",
    message="path traversal attempt detected: contains '..'",
    cause="{path!r} climbs out of its folder",
    fix="use clean paths: write out the folder that is meant",
    status=400,
    guide="path-traversal",
)
ESCAPES = ErrorEntry(
    code="PATCH065",
    message="path escapes base directory",
    cause="{path!r} is outside {base}",
    fix="use clean paths inside {base}, and no links out of it",
    status=400,
    guide="path-traversal",
)
NO_SPACE = ErrorEntry(
    code="PATCH066",
    message="insufficient disk space: {available} bytes available, need {required}",
    cause="the file system of {path} is nearly full",
    fix="free some space there, or choose another folder: PATCHGEN_OUTPUT_DIR",
    guide="output-full",
)
CONFLICT = ErrorEntry(
    code="PATCH067",
    message="package {name} exists with different content",
    cause="{path} was changed after it was generated, or is not ours: {detail}",
    fix="compare: patchgen verify {path}; then move it away",
    status=409,
    guide="package-conflict",
)
NOT_VALIDATED = ErrorEntry(
    code="PATCH068",
    message="validation required but not performed",
    cause="a package is made of an Intent, not of {given}",
    fix="Validator().validate(data) gives one",
)
GENERATION_REFUSED = ErrorEntry(
    code="PATCH069",
    message="validation failed: {reason}",
    cause="the intent was changed after its validation",
    fix="make a new Intent, or validate it again",
    status=400,
)
ABANDONED = ErrorEntry(
    code="PATCH070",
    message="generation was abandoned",
    cause="its deadline passed, or the process is stopping; nothing of it remains",
    fix="try again; if it happens again the disk is slow: patchgen diagnose",
    status=504,
    retryable=True,
    guide="generation-slow",
)
NOT_A_FOLDER = ErrorEntry(
    code="PATCH071",
    message="{path} exists but is not a directory",
    cause="a file has the name of the folder that is wanted",
    fix="move the file away, or choose another folder",
)
CANNOT_CREATE = ErrorEntry(
    code="PATCH072",
    message="failed to create directory: {reason}",
    cause="{path} cannot be made",
    fix="make it as a user who may: mkdir -p {path}",
)
NOT_ACCESSIBLE = ErrorEntry(
    code="PATCH073",
    message="directory created but not accessible: {reason}",
    cause="{path} was made and cannot be looked at",
    fix="look at the rights of each folder above: patchgen diagnose {path}",
)
NO_OUTPUT = ErrorEntry(
    code="PATCH074",
    message="no output directory was given",
    cause="neither -output nor PATCHGEN_OUTPUT_DIR names one",
    fix="patchgen generate -intent FILE -output DIR",
    exit=Exit.USAGE,
)
MARSHAL = ErrorEntry(
    code="PATCH075",
    message="failed to marshal {what}: {reason}",
    cause="a value has a type that cannot be written",
    fix="check data types: text, numbers, lists and mappings only",
)
OLD_TYPE = ErrorEntry(
    code="PATCH076",
    message="cannot use {given} as PatchPackage",
    cause="the old generator objects and packages are different types",
    fix="PatchPackage(intent, output_dir) takes the place of the generator",
)
CANNOT_READ = ErrorEntry(
    code="PATCH077",
    message="failed to read intent file {path}: {reason}",
    cause="the file is not there or may not be read",
    fix="check the path; - reads standard input",
    exit=Exit.USAGE,
)
TOO_SLOW = ErrorEntry(
    code="PATCH078",
    message="validation took longer than {limit}",
    cause="PATCHGEN_VALIDATION_TIMEOUT bounds it",
    fix="raise it, or send a smaller intent",
    status=504,
    retryable=True,
)

# --- packages that are there -------------------------------------------------------------------

NOT_A_PACKAGE = ErrorEntry(
    code="PATCH080",
    message="{path} is not a package of patchgen: {reason}",
    cause="a package is a folder that patchgen generate made",
    fix="name the folder that generate printed",
    exit=Exit.USAGE,
)
TAMPERED = ErrorEntry(
    code="PATCH081",
    message="package {name} is not what its intent makes: {files}",
    cause="files were changed, added or removed after it was generated",
    fix="generate it again elsewhere, and compare: patchgen diff",
)
NO_FORMER = ErrorEntry(
    code="PATCH082",
    message="the former count of {kind} {namespace}/{target} is not known",
    cause="a package says what shall be, not what was",
    fix="give it: --to N, or the manifests that hold it: --base FILE_OR_FOLDER",
    exit=Exit.USAGE,
)
BAD_MANIFEST = ErrorEntry(
    code="PATCH083",
    message="{path} cannot be read as Kubernetes objects: {reason}",
    cause="manifests are YAML or JSON with apiVersion, kind and metadata",
    fix="correct the file that is named",
    exit=Exit.USAGE,
)
NO_TARGET = ErrorEntry(
    code="PATCH085",
    message="{target} is not among the objects",
    cause="what is there: {known}",
    fix="correct the target's kind, namespace or name",
)
BAD_ARGUMENT = ErrorEntry(
    code="PATCH086",
    message="{name} {value!r} cannot be used",
    cause="names are lowercase alphanumeric with hyphens, 63 characters at most",
    fix="choose another value for {name}",
    exit=Exit.USAGE,
)
BAD_OBJECTS = ErrorEntry(
    code="PATCH087",
    message="{count} objects do not fit the Kubernetes schemas: {problems}",
    cause="a server with strict field validation would refuse them",
    fix="correct the fields that are named",
)
NO_SCHEMAS = ErrorEntry(
    code="PATCH088",
    message="the Kubernetes schemas are not installed",
    cause="they are large and only this check needs them",
    fix="pip install kubernetes-validate",
    exit=Exit.USAGE,
)

# --- faces -------------------------------------------------------------------------------------

HTTP_TOO_LARGE = ErrorEntry(
    code="PATCH090",
    message="Request too large",
    cause="the body has more than {limit} bytes",
    fix="send one intent",
    status=413,
)
HTTP_INVALID = ErrorEntry(
    code="PATCH091",
    message="Validation failed: {reason}",
    cause="the intent breaks the rules that `errors` names",
    fix="correct what is named",
    status=400,
)
HTTP_FAILED = ErrorEntry(
    code="PATCH092",
    message="Generation failed",
    cause="the log has the cause under this request id",
    fix="patchgen diagnose on the server",
    status=500,
)
HTTP_TIMEOUT = ErrorEntry(
    code="PATCH093",
    message="Request timeout",
    cause="generation took longer than {seconds} s and was abandoned",
    fix="try again; patchgen diagnose on the server tells whether the disk is slow",
    status=504,
    retryable=True,
)
WATCH_TAKEN = ErrorEntry(
    code="PATCH101",
    message="{path} cannot be watched: {reason}",
    cause="the folder is missing or does not take files",
    fix="mkdir -p {path}, writable for this user",
    exit=Exit.USAGE,
)
UNRECOVERABLE = ErrorEntry(
    code="PATCH110",
    message="unrecoverable error: {reason}",
    cause="nothing that can be done by itself helps against it",
    fix="patchgen errors {code}",
)

ERRORS: Sequence[ErrorEntry] = tuple(
    value for value in list(globals().values()) if isinstance(value, ErrorEntry)
)


class InvalidIntent(Fault):
    """The intent breaks rules; `report` has each of them with its place. `made`: it was built by
    hand (P31)."""

    entry_of: ClassVar[ErrorEntry] = INVALID

    def __init__(self, report: "Report", *, made: bool = False) -> None:
        self.report = report
        if made:
            told = "; ".join(one.message for one in report.errors)
            reason = told.replace(f'pattern "{KUBERNETES_PATTERN}"', "required pattern")
            super().__init__(GENERATION_REFUSED, reason=reason)
        else:
            super().__init__(INVALID, text=report.message, count=len(report.errors))


class OutputMissing(Fault):
    """The output directory is not there (PATCH060)."""

    entry_of: ClassVar[ErrorEntry] = OUTPUT_MISSING

    def __init__(self, path: str) -> None:
        super().__init__(OUTPUT_MISSING, path=path)


class OutputDenied(Fault):
    """The output directory does not take a package from this user (PATCH062)."""

    entry_of: ClassVar[ErrorEntry] = CANNOT_STAGE

    def __init__(self, **values: Plain) -> None:
        super().__init__(CANNOT_STAGE, **values)


class WriteFailed(Fault):
    """A file could not be written (PATCH063), a full disk above all."""

    entry_of: ClassVar[ErrorEntry] = CANNOT_WRITE

    def __init__(self, **values: Plain) -> None:
        super().__init__(CANNOT_WRITE, **values)


class Conflict(Fault):
    """Something else has the package's name (PATCH067)."""

    entry_of: ClassVar[ErrorEntry] = CONFLICT

    def __init__(self, **values: Plain) -> None:
        super().__init__(CONFLICT, **values)


class NotValidated(Fault, TypeError):  # noqa: N818 - a Fault, as the house calls it
    """What came was no `Intent` (PATCH068)."""

    entry_of: ClassVar[ErrorEntry] = NOT_VALIDATED

    def __init__(self, given: object) -> None:
        super().__init__(NOT_VALIDATED, given=type(given).__name__)


class OldType(Fault, TypeError):  # noqa: N818 - as above
    """An object of the old module where a package belongs (PATCH076)."""

    entry_of: ClassVar[ErrorEntry] = OLD_TYPE

    def __init__(self, given: object) -> None:
        kind = type(given)
        super().__init__(OLD_TYPE, given=f"{kind.__module__}.{kind.__qualname__}")


def shown(values: Mapping[str, object]) -> dict[str, Plain]:
    """Values of a template, bounded, so that no message grows with its input."""
    return {
        name: value if isinstance(value, int) else str(value)[:200]
        for name, value in values.items()
    }
