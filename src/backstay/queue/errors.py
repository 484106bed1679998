"""Every error of the queue. Messages begin with the words older codeQ clients look for."""

from collections.abc import Sequence

from backstay.core.errors import ErrorEntry, Exit

TASK_NOT_FOUND = ErrorEntry(
    code="QUEUE001",
    message="task not found: {id}",
    cause="no task of this tenant has the id, or it ended more than the retention time ago",
    fix="check the id and the tenant: codeq task list",
    status=404,
)
NOT_OWNER = ErrorEntry(
    code="QUEUE002",
    message="not-owner: task {id} is leased to another worker",
    cause="the lease ended and another worker has claimed the task since",
    fix="drop the work; the present holder finishes it",
    status=403,
)
NOT_IN_PROGRESS = ErrorEntry(
    code="QUEUE003",
    message="not-in-progress: task {id} is {state}, which does not allow {event}",
    cause="the lease ended, or the task was finished, cancelled or moved meanwhile",
    fix="drop the work; look at the task: codeq task get {id}",
    status=409,
)
STALE_LEASE = ErrorEntry(
    code="QUEUE004",
    message="not-in-progress: the lease of task {id} that this {event} speaks for is over",
    cause="the token is that of an earlier delivery, or the lease ended and none was sent",
    fix="send the leaseToken of the claim, and heartbeat before the lease ends",
    status=409,
)
IDEMPOTENCY_CONFLICT = ErrorEntry(
    code="QUEUE005",
    message="idempotency conflict: key {key} of {command} was used for another task ({id})",
    cause="the same idempotencyKey came with a different body",
    fix="use a new key for new work, or send exactly the same body again",
    status=409,
)
RESULT_NOT_FOUND = ErrorEntry(
    code="QUEUE006",
    message="result not found: task {id} is {state}",
    cause="no worker has submitted a result for the task",
    fix="ask with waitSeconds, or look at the task's state and error",
    status=404,
)
TOKEN_REQUIRED = ErrorEntry(
    code="QUEUE007",
    message="leaseToken is required",
    cause="this server runs with requireLeaseToken: true",
    fix="send the leaseToken of the claim with every {event}",
    status=400,
)
EVENT_NOT_ALLOWED = ErrorEntry(
    code="QUEUE008",
    message="event type not allowed: {command}",
    cause="the token's eventTypes are {allowed}",
    fix="claim one of these, or use a token whose eventTypes hold {command}",
    status=403,
)
SCOPE_MISSING = ErrorEntry(
    code="QUEUE009",
    message="missing scope {scope}",
    cause="the token is valid but does not hold the scope",
    fix="use a token with the scope {scope}",
    status=403,
)
BAD_COMMAND = ErrorEntry(
    code="QUEUE010",
    message="invalid command {command!r}",
    cause="a command is 1 to 128 printable characters without spaces or commas, and not *",
    fix="name the kind of work like GENERATE_MASTER",
    status=400,
)
BAD_PAYLOAD = ErrorEntry(
    code="QUEUE011",
    message="invalid payload: it must be JSON and not null",
    cause="a task without a payload cannot be told from a mistake",
    fix="send an object; {{}} when there is nothing to say",
    status=400,
)
# QUEUE012 refused priorities outside 0 to 9. They are now taken as the nearest of these.
BAD_RUN_AT = ErrorEntry(
    code="QUEUE013",
    message="invalid '{field}' (use RFC3339): {value}",
    cause="the time does not parse, or has no time zone",
    fix="write it like 2026-03-01T12:00:00Z",
    status=400,
)
BAD_NUMBER = ErrorEntry(
    code="QUEUE014",
    message="invalid '{field}' (must be {rule}): {value}",
    cause="the number is outside of what makes sense here",
    fix="send a number that is {rule}",
    status=400,
)
BATCH_SIZE = ErrorEntry(
    code="QUEUE015",
    message="a batch holds 1 to {limit} {what}, not {count}",
    cause="a batch is one commit; larger ones would make everybody else wait",
    fix="split it",
    status=400,
)
BAD_RESULT = ErrorEntry(
    code="QUEUE016",
    message="invalid result: {reason}",
    cause="COMPLETED wants a 'result' object, FAILED a non-blank 'error'",
    fix='send {{"status":"COMPLETED","result":{{}}}} or {{"status":"FAILED","error":"why"}}',
    status=400,
)
NOT_SUPPORTED = ErrorEntry(
    code="QUEUE017",
    message="{feature} is not supported in this version",
    cause="the field or route is known from codeQ but this version does not serve it",
    fix="leave it out: {instead}",
    status=501,
)
BAD_QUERY = ErrorEntry(
    code="QUEUE018",
    message="invalid query parameter {name}={value!r}: it must be {rule}",
    cause="the value does not parse",
    fix="send {rule}",
    status=400,
)
DRAINING = ErrorEntry(
    code="QUEUE019",
    message="the queue is draining",
    cause="the process is stopping; accepted work is kept",
    fix="try again in a moment",
    status=503,
    retryable=True,
)
PAYLOAD_TOO_LARGE = ErrorEntry(
    code="QUEUE020",
    message="the payload has {size} bytes; the limit is {limit}",
    cause="maxPayloadBytes (MAX_PAYLOAD_BYTES) bounds one task",
    fix="keep large data elsewhere and send a reference to it",
    status=413,
)
BAD_NAME = ErrorEntry(
    code="QUEUE021",
    message="invalid '{field}' {value!r}: it must be {rule}",
    cause="the name is used as a key or as part of an address",
    fix="choose a name that is {rule}",
    status=400,
)
BAD_URL = ErrorEntry(
    code="QUEUE022",
    message="invalid {field} url {value!r}: it must be an http or https address with a host",
    cause="the address is called by the server, so it has to be one that it can call",
    fix="write it like https://example.com/hooks/codeq",
    status=400,
)
EMPTY_FILTER = ErrorEntry(
    code="QUEUE023",
    message="the filter would match every task",
    cause="none of command, tag, key and worker is given",
    fix="name at least one of them",
    status=400,
)
ALL_TENANTS_ONLY = ErrorEntry(
    code="QUEUE024",
    message="{what} concerns the data of every tenant",
    cause="the token serves the tenant {tenant} only",
    fix='use an admin token with the claim "tenants": ["*"]',
    status=403,
)
RATE_LIMITED = ErrorEntry(
    code="QUEUE025",
    message="rate limit exceeded",
    cause="the limit of this server for {scope} requests ({operation}) is reached by this caller",
    fix="come back in {retry_after} s, or raise rateLimit.{scope} in the settings",
    status=429,
    retryable=True,
)
STORE_UNREACHABLE = ErrorEntry(
    code="QUEUE031",
    message="cannot connect to the store at {address}: {reason}",
    cause="nothing answers at REDIS_ADDR, or the connection broke; what was accepted is kept there",
    fix="start the store, or name its address: REDIS_ADDR=HOST:PORT; then try again",
    status=503,
    exit=Exit.UNREACHABLE,
    retryable=True,
)
STORE_PASSWORD = ErrorEntry(
    code="QUEUE032",
    message="the store at {address} refuses the password: {reason}",
    cause="REDIS_PASSWORD (or KVROCKS_PASSWORD) is missing, or is not the store's",
    fix="set REDIS_PASSWORD to the store's requirepass",
    status=503,
    exit=Exit.AUTH,
)
STORE_REFUSES = ErrorEntry(
    code="QUEUE033",
    message="the store at {address} refuses to write: {reason}",
    cause="it or its disk is full, it has too many clients, or this user may not write to it",
    fix="make room, or let this user run scripts; accepted tasks are kept",
    status=503,
    retryable=True,
)
NEWER_STORE = ErrorEntry(
    code="QUEUE034",
    message="the store at {address} has schema {found}; this version knows {known}",
    cause="a newer version of Backstay has written to it",
    fix="run that version, or use a store of its own",
    exit=Exit.USAGE,
)
STORE_BACKUP = ErrorEntry(
    code="QUEUE035",
    message="the store at {address} is backed up with its own tools",
    cause="its data lies on its own machine",
    fix="BGSAVE or BGREWRITEAOF, then copy the files; or use a replica",
    status=501,
)
BAD_STORE_ADDRESS = ErrorEntry(
    code="QUEUE036",
    message="REDIS_ADDR cannot be used: {reason}",
    cause="the address of the store does not parse",
    fix="write HOST:PORT, several with commas for a cluster, or rediss://HOST:PORT for TLS",
    exit=Exit.USAGE,
)
SERVER_UNREACHABLE = ErrorEntry(
    code="QUEUE040",
    message="cannot connect to the queue at {address}: {reason}",
    cause="nothing listens there, the name does not resolve, or the connection broke",
    fix="start codeq-server, or name its address with --base-url or CODEQ_BASE_URL",
    status=502,
    exit=Exit.UNREACHABLE,
    retryable=True,
)
SERVER_SILENT = ErrorEntry(
    code="QUEUE041",
    message="timeout: the queue at {address} did not answer within {seconds} s",
    cause="it accepts connections but does not answer; it may be overloaded or hung",
    fix="look at its /healthz and its log",
    status=504,
    exit=Exit.UNREACHABLE,
    retryable=True,
)
SERVER_REFUSED = ErrorEntry(
    code="QUEUE042",
    message="error ({status}): {body}",
    cause="the queue at {address} refused the request",
    fix="{advice}",
    status=502,
)
SERVER_REFUSED_AUTH = ErrorEntry(
    code="QUEUE043",
    message="error ({status}): {body}",
    cause="the queue at {address} does not accept these credentials for this request",
    fix="store valid tokens: codeq auth set --producer-token … --worker-token …",
    status=502,
    exit=Exit.AUTH,
)
SERVER_FOREIGN = ErrorEntry(
    code="QUEUE044",
    message="what answers at {address} is not this queue: {reason}",
    cause="another program listens there, or something in between answers for it",
    fix="check the address: codeq --base-url, CODEQ_BASE_URL",
    status=502,
    exit=Exit.UNREACHABLE,
)
WORKER_WITHOUT_TASKS = ErrorEntry(
    code="QUEUE050",
    message="the worker has no tasks to serve",
    cause="no function was registered with @worker.task",
    fix='register at least one: @worker.task("PACK_ORDER")',
    exit=Exit.USAGE,
)
BAD_PROFILE = ErrorEntry(
    code="QUEUE051",
    message="{path} cannot be used: {reason}",
    cause="the stored credentials do not parse, or the folder cannot be written",
    fix="mend or delete the file, then codeq auth set",
    exit=Exit.USAGE,
)
BAD_ARGUMENT = ErrorEntry(
    code="QUEUE052",
    message="{name}: {reason}",
    cause="the value does not fit the option",
    fix="see the command's --help",
    exit=Exit.USAGE,
)
NO_ISSUER = ErrorEntry(
    code="QUEUE065",
    message="there is nobody to take tokens from",
    cause="no provider was named, JWT_SECRET is not set, and {data} holds no issuer's secret",
    fix="codeq auth login --login-url URL, or --data with the folder of `backstay up`; a server on"
    " loopback without tokens configured needs none",
    exit=Exit.AUTH,
)
BAD_SCHEDULE = ErrorEntry(
    code="QUEUE060",
    message="invalid '{field}' {value!r}: {reason}",
    cause="a periodic task has five fields of cron and a time zone of the IANA database",
    fix="write it like 'cron': '30 2 * * MON-FRI', 'timezone': 'Europe/Berlin'",
    status=400,
)
PERIODIC_NOT_FOUND = ErrorEntry(
    code="QUEUE061",
    message="periodic task not found: {name}",
    cause="no periodic task of this tenant has the name",
    fix="list them: GET /v1/codeq/admin/periodic",
    status=404,
)
SUBSCRIPTION_NOT_FOUND = ErrorEntry(
    code="QUEUE062",
    message="subscription not found: {id}",
    cause="it ended, was deleted, or belongs to another tenant",
    fix="subscribe again, and renew it before it ends",
    status=404,
)
TOO_MANY_SUBSCRIPTIONS = ErrorEntry(
    code="QUEUE063",
    message="there are {limit} subscriptions already",
    cause="each one is a call to be made whenever there is work",
    fix="delete those that nobody needs, or let them end",
    status=409,
)
DELIVERY_NOT_FOUND = ErrorEntry(
    code="QUEUE064",
    message="callback not found: {id}",
    cause="it was delivered, ended with its task's retention, or belongs to another tenant",
    fix="list them: GET /v1/codeq/admin/deliveries?givenUp=true",
    status=404,
)

ERRORS: Sequence[ErrorEntry] = tuple(
    value for value in list(globals().values()) if isinstance(value, ErrorEntry)
)
