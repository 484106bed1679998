"""What happens on the way to the disk: PATCH060–PATCH078."""

from backstay.core.errors import ErrorEntry, Exit

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
