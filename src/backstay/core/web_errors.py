"""What any HTTP face can refuse a request with."""

from collections.abc import Sequence

from backstay.core.errors import ErrorEntry

INTERNAL = ErrorEntry(
    code="CORE100",
    message="something failed inside {service}",
    cause="a fault of Backstay's own; the log line with this request id has the details",
    fix="backstay logs {service}, and report it with the request id",
    status=500,
)
NO_ROUTE = ErrorEntry(
    code="CORE101",
    message="there is no route {path}",
    cause="no endpoint of {service} has this path",
    fix="{hint}",
    status=404,
)
WRONG_METHOD = ErrorEntry(
    code="CORE102",
    message="{path} does not take {method}; it takes {allowed}",
    cause="the path exists with other methods",
    fix="use one of {allowed}",
    status=405,
)
BODY_TOO_LARGE = ErrorEntry(
    code="CORE103",
    message="the request body is larger than the {limit} bytes that {path} takes",
    cause="the limit protects memory; nothing was stored",
    fix="send less than {limit} bytes",
    status=413,
)
BAD_JSON = ErrorEntry(
    code="CORE104",
    message="the request body is not JSON: {reason}",
    cause="the body does not parse",
    fix="send one JSON value in UTF-8",
    status=400,
)
BAD_VALUE = ErrorEntry(
    code="CORE105",
    message="the request body does not fit: {reason}",
    cause="a field is missing, unknown or of another type",
    fix="correct the field that is named",
    status=400,
)
DRAINING = ErrorEntry(
    code="CORE106",
    message="{service} is draining and takes no new requests",
    cause="it was asked to stop; what had begun is finished first",
    fix="try again; another replica or the restarted process will answer",
    status=503,
    retryable=True,
)
NOT_ALLOWED = ErrorEntry(
    code="CORE107",
    message="this needs the scope {scope}, which {who} does not hold",
    cause="the credentials are valid but do not cover this route",
    fix="use a token with it, e.g. backstay token --scope {scope}",
    status=403,
    exit=3,
)
BAD_QUERY = ErrorEntry(
    code="CORE108",
    message="the query string does not decode: {reason}",
    cause="it is not percent-encoded UTF-8",
    fix="percent-encode it as UTF-8",
    status=400,
)
WRONG_MEDIA_TYPE = ErrorEntry(
    code="CORE109",
    message="{path} takes JSON, not {given}",
    cause="the content-type header names another format",
    fix="send content-type: application/json",
    status=415,
)
BODY_CUT = ErrorEntry(
    code="CORE112",
    message="the request body ended after {size} bytes, before its end",
    cause="the sender closed, or its chunks are not what HTTP says they are; nothing was stored",
    fix="send the whole body, as long as content-length says",
    status=400,
)
BODY_TOO_SLOW = ErrorEntry(
    code="CORE113",
    message="the request body took longer than {seconds} s",
    cause="a body that drips in keeps a connection from others; nothing was stored",
    fix="send the body at once; look at the network in between",
    status=408,
    retryable=True,
)

ERRORS: Sequence[ErrorEntry] = (
    INTERNAL,
    NO_ROUTE,
    WRONG_METHOD,
    BODY_TOO_LARGE,
    BAD_JSON,
    BAD_VALUE,
    DRAINING,
    NOT_ALLOWED,
    BAD_QUERY,
    WRONG_MEDIA_TYPE,
    BODY_CUT,
    BODY_TOO_SLOW,
)
