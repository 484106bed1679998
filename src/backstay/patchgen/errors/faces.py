"""What the server, the watched folder and recovery say: PATCH090–PATCH110."""

from backstay.core.errors import ErrorEntry, Exit

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
