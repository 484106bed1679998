"""What the gateway can refuse or report. A status means one thing only (G13): 502 the upstream
failed, 503 nobody was asked, 504 nobody answered in time, 408 the client was slow, 500 is ours."""

from collections.abc import Sequence

from backstay.core.errors import ErrorEntry, Exit

CANNOT_LISTEN = ErrorEntry(
    code="GATE001",
    message="the gateway cannot listen on {address}: {reason}",
    cause="another program holds the address, or it is not this machine's",
    fix="end the program that holds it, or choose another with --listen",
    exit=Exit.UNREACHABLE,
)
BAD_UPSTREAMS = ErrorEntry(
    code="GATE002",
    message="the upstream table is not valid: {reason}",
    cause="GATEWAY_UPSTREAMS (key `upstreams`) holds JSON or the path of a file with it",
    fix='write it like [{{"name":"queue","address":"unix:/run/queue.sock","routes":'
    '[{{"prefix":"/v1/codeq","kind":"unary","auth":"public"}}]}}]',
    exit=Exit.USAGE,
)
MALFORMED = ErrorEntry(
    code="GATE003",
    message="the request is not valid HTTP: {reason}",
    cause="what was sent breaks RFC 9112, or could be read in two ways by two servers",
    fix="send one Host, one way of framing the body, and CRLF line ends",
    status=400,
)
HEAD_TOO_LARGE = ErrorEntry(
    code="GATE004",
    message="the request's headers are larger than {limit}",
    cause="a request line and its headers are bounded in bytes and in number",
    fix="send fewer or shorter headers, often cookies, or raise GATEWAY_MAX_HEADER_BYTES",
    status=431,
)
HEAD_TIMEOUT = ErrorEntry(
    code="GATE005",
    message="the request's headers did not arrive within {seconds} s",
    cause="the client opened a connection and sent its request too slowly",
    fix="send the whole head at once",
    status=408,
    retryable=True,
)
BODY_TOO_LARGE = ErrorEntry(
    code="GATE006",
    message="the body is larger than {limit} bytes, the limit of {prefix}",
    cause="each route bounds its bodies",
    fix="send less, or raise `max_body` of the route (GATEWAY_MAX_BODY for all)",
    status=413,
)
TOO_MANY_CONNECTIONS = ErrorEntry(
    code="GATE007",
    message="the gateway serves its {limit} connections already",
    cause="more clients are connected than GATEWAY_MAX_CONNECTIONS",
    fix="try again later, or raise the limit and the open file limit",
    status=503,
    retryable=True,
)
UPGRADE_REFUSED = ErrorEntry(
    code="GATE008",
    message="{protocol} is not served here",
    cause="the gateway speaks HTTP/1.1 only: no WebSocket, no tunnels, no upgrade with a body",
    fix="send a plain HTTP/1.1 request",
    status=501,
)
NO_ROUTE = ErrorEntry(
    code="GATE009",
    message="nothing is served at {path}",
    cause="known prefixes: {prefixes}",
    fix="compare the path with the prefixes, or GET / for what is served",
    status=404,
)
UPSTREAM_REFUSED = ErrorEntry(
    code="GATE010",
    message="{upstream} cannot be reached",
    cause="connecting to {address} failed: {reason}",
    fix="see whether {upstream} runs: backstay status, backstay logs {upstream}",
    status=502,
    retryable=True,
)
UPSTREAM_RESET = ErrorEntry(
    code="GATE011",
    message="{upstream} broke the connection before its answer was whole",
    cause="the connection to {address} ended ({reason}); the request may have been done",
    fix="look at backstay logs {upstream}; repeat only what may be done twice",
    status=502,
)
UPSTREAM_INVALID = ErrorEntry(
    code="GATE012",
    message="{upstream} sent an answer that is not valid HTTP",
    cause="{reason}",
    fix="see which program listens on {address}",
    status=502,
)
UPSTREAM_DEADLINE = ErrorEntry(
    code="GATE013",
    message="{upstream} did not answer within {seconds} s",
    cause="the deadline passed in the phase `{phase}`; it is unknown whether the request was done",
    fix="look at backstay logs {upstream}; raise GATEWAY_UNARY_TIMEOUT only for slow, good answers",
    status=504,
)
BREAKER_OPEN = ErrorEntry(
    code="GATE014",
    message="{upstream} is not asked: its circuit breaker is open",
    cause="it failed {failures} times in a row, the last time with: {reason}",
    fix="mend {upstream}; asked again in {retry_after} s, or: backstay gateway reset {upstream}",
    status=503,
    retryable=True,
)
OVERLOAD = ErrorEntry(
    code="GATE015",
    message="no connection to {upstream} became free within {seconds} s",
    cause="all {size} connections are busy and {waiting} requests wait",
    fix="try again in {retry_after} s; raise GATEWAY_POOL_SIZE if {upstream} can take more",
    status=503,
    retryable=True,
)
DRAINING = ErrorEntry(
    code="GATE016",
    message="the gateway is shutting down",
    cause="it was told to stop and finishes what it has",
    fix="try again in {retry_after} s",
    status=503,
    retryable=True,
)
CLIENT_SLOW = ErrorEntry(
    code="GATE017",
    message="the request's body did not arrive within {seconds} s",
    cause="the client stopped sending; {upstream} was waiting for the rest",
    fix="send the body without long pauses, or use a route of kind `stream`",
    status=408,
)
RATE_LIMITED = ErrorEntry(
    code="GATE018",
    message="more than {rate} requests a second",
    cause="{who} used up the burst of {burst}",
    fix="wait {retry_after} s before the next request",
    status=429,
    retryable=True,
)
OWN_FAULT = ErrorEntry(
    code="GATE019",
    message="the gateway failed",
    cause="a fault of the gateway itself; its log has the details under this request id",
    fix="please report it with the log lines of this request id",
    status=500,
)
BAD_PATH = ErrorEntry(
    code="GATE020",
    message="the path {path} is refused: {reason}",
    cause="two servers could read it as two different paths",
    fix="send the path in its plain form",
    status=400,
)
NEEDS_ADMIN = ErrorEntry(
    code="GATE021",
    message="{path} needs the scope `admin`, which {who} does not have",
    cause="the route is for administrators",
    fix="make a token that has it: backstay token --scope admin",
    status=403,
)
WRONG_METHOD = ErrorEntry(
    code="GATE022",
    message="{path} does not take {method}",
    cause="it takes {allowed}",
    fix="use one of: {allowed}",
    status=405,
)
BAD_EXPECTATION = ErrorEntry(
    code="GATE023",
    message="the expectation {given!r} is not known",
    cause="only `Expect: 100-continue` exists",
    fix="leave the header out",
    status=417,
)
BAD_VERSION = ErrorEntry(
    code="GATE024",
    message="HTTP/{version} is not spoken here",
    cause="the gateway speaks HTTP/1.1 and HTTP/1.0",
    fix="use HTTP/1.1",
    status=505,
)
NO_BREAKER = ErrorEntry(
    code="GATE025",
    message="there is no circuit breaker for {target}",
    cause="known: {known}",
    fix="backstay gateway breakers lists them",
    status=404,
)
BAD_CODING = ErrorEntry(
    code="GATE026",
    message="the transfer coding {given!r} is not supported",
    cause="only `chunked` is passed on",
    fix="send Content-Length or Transfer-Encoding: chunked",
    status=501,
)
GATEWAY_SILENT = ErrorEntry(
    code="GATE027",
    message="no gateway answers at {url}",
    cause="{reason}",
    fix="start it (backstay up, or backstay gateway serve), or name another with --url",
    exit=Exit.UNREACHABLE,
)

SWITCHED_OFF = ErrorEntry(
    code="GATE028",
    message="nothing is served at {path}: {upstream} is not switched on",
    cause="{upstream} runs only where it is wanted, and was not started beside this gateway",
    fix="{switch_on}",
    status=404,
)

ERRORS: Sequence[ErrorEntry] = (
    CANNOT_LISTEN,
    BAD_UPSTREAMS,
    MALFORMED,
    HEAD_TOO_LARGE,
    HEAD_TIMEOUT,
    BODY_TOO_LARGE,
    TOO_MANY_CONNECTIONS,
    UPGRADE_REFUSED,
    NO_ROUTE,
    UPSTREAM_REFUSED,
    UPSTREAM_RESET,
    UPSTREAM_INVALID,
    UPSTREAM_DEADLINE,
    BREAKER_OPEN,
    OVERLOAD,
    DRAINING,
    CLIENT_SLOW,
    RATE_LIMITED,
    OWN_FAULT,
    BAD_PATH,
    NEEDS_ADMIN,
    WRONG_METHOD,
    BAD_EXPECTATION,
    BAD_VERSION,
    NO_BREAKER,
    BAD_CODING,
    GATEWAY_SILENT,
    SWITCHED_OFF,
)
