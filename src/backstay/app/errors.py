"""What can go wrong in a served program, as data. Codes are permanent (APP001–APP099 are here;
workflows, integrations and jobs declare theirs in `flow`).

Where a request's own content is at fault the status is 400 when it could not be read at all and
422 when it was read and is wrong; a clash with stored rows is 409.
"""

from backstay.core.errors import ErrorEntry, Exit

BAD_DATABASE = ErrorEntry(
    code="APP001",
    message="DATABASE_URL names {scheme}, which is no database that this version knows",
    cause="it begins with neither sqlite:// nor postgres:// (or postgresql://)",
    fix="give postgres://user:password@host/name or sqlite:///path, or unset it",
    exit=Exit.USAGE,
)
ENV_MISSING = ErrorEntry(
    code="APP002",
    message="the program reads environment variables that are not set: {names}",
    cause="{program} calls env() for them without a default",
    fix='set them, or give a default in the program: env("NAME", "default")',
    exit=Exit.USAGE,
)
MIGRATION_REFUSED = ErrorEntry(
    code="APP003",
    message="the tables in {where} differ from the program in ways that touch what is stored",
    cause="{differences}",
    fix="save the database, then codeai migrate FILE --apply --yes, which would run:\n{sql}",
    exit=Exit.NEGATIVE,
)
SCHEMA_BEHIND = ErrorEntry(
    code="APP028",
    message="the tables in {where} are behind the program",
    cause="{differences}",
    fix="start with --migrate, or codeai migrate FILE --apply; it touches nothing stored:\n{sql}",
    exit=Exit.NEGATIVE,
)
MIGRATION_FAILED = ErrorEntry(
    code="APP029",
    message="the migration was taken back whole: {says}: {reason}",
    cause="what is stored does not let it be; the statement was: {sql}",
    fix="mend the rows that are in the way, then do it again",
    exit=Exit.NEGATIVE,
)
NOTHING_TO_UNDO = ErrorEntry(
    code="APP031",
    message="nothing is rolled back: {reason}",
    cause="only the last migration can be, and only if everything that it took away can be made",
    fix="restore a backup from before it",
    exit=Exit.NEGATIVE,
)
NOT_SUPPORTED = ErrorEntry(
    code="APP004",
    message="{where}: {what} cannot be done by the database in this version",
    cause="conditions, changes and access rules are compiled to SQL",
    fix="compute it into a `let` first, or write the condition without it",
    exit=Exit.USAGE,
)
UNFIT = ErrorEntry(
    code="APP005",
    message="{where}: {problem}",
    cause="the program reads well, but this part of it could never run",
    fix="{instead}",
    exit=Exit.USAGE,
)
BAD_JSON = ErrorEntry(
    code="APP010",
    message="the body is not JSON: {reason}",
    cause="the request's body could not be read",
    fix="send one JSON object with Content-Type: application/json",
    status=400,
)
INVALID = ErrorEntry(
    code="APP011",
    message="{summary}",
    cause="each entry of `values.errors` names a field and what is wrong with it",
    fix="mend the fields that are named and send it again",
    status=422,
)
BAD_QUERY = ErrorEntry(
    code="APP012",
    message="{summary}",
    cause="each entry of `values.errors` names a parameter and what is wrong with it",
    fix="mend the parameters that are named",
    status=400,
)
NO_ROW = ErrorEntry(
    code="APP013",
    message="no {entity} has the key {key}",
    cause="it was never there, was deleted, or your access rules do not show it",
    fix="look for it in the list of {entity}",
    status=404,
)
FORBIDDEN = ErrorEntry(
    code="APP014",
    message="you may not {verb} {entity}",
    cause="the entity's access rules do not allow it for {who}",
    fix="use a token with the role or scope that the rule names",
    status=403,
)
MISSING_ROLE = ErrorEntry(
    code="APP015",
    message="this needs one of the roles {roles}",
    cause="{who} holds none of them",
    fix="use a token with one of these roles",
    status=403,
)
DECLINED = ErrorEntry(
    code="APP016",
    message="{says}",
    cause="the program declined the request, and nothing was changed",
    fix="see the message",
    status=409,
)
NOT_UNIQUE = ErrorEntry(
    code="APP017",
    message="{entity}.{field} is taken: {value}",
    cause="another row has the same value, and it has to be unique",
    fix="use another value, or change the row that has it",
    status=409,
)
DANGLING = ErrorEntry(
    code="APP018",
    message="{entity}.{field}: no {target} has the key {value}",
    cause="a reference has to point at a row that exists",
    fix="create the {target} first, or send the key of one that exists",
    status=422,
)
STILL_REFERRED = ErrorEntry(
    code="APP019",
    message="{entity} cannot be deleted: {other}.{field} refers to it",
    cause="deleting it would leave references that point nowhere",
    fix="delete or change those rows of {other} first",
    status=409,
)
OUT_OF_RANGE = ErrorEntry(
    code="APP020",
    message="{entity}.{field} would break its rule: {rule}",
    cause="the database checks each change against the field's declaration",
    fix="send a value that keeps the rule",
    status=422,
)
BAD_VALUE = ErrorEntry(
    code="APP021",
    message="{where}: {reason}",
    cause="a value does not fit the field's type",
    fix="send a value of that type",
    status=422,
)
NO_VALUE = ErrorEntry(
    code="APP022",
    message="{entity}.{field} is required and got no value",
    cause="the expression that fills it gave null",
    fix="give it a value",
    status=422,
)
CANNOT_COMPUTE = ErrorEntry(
    code="APP023",
    message="cannot compute {what}: {reason}",
    cause="the values do not fit the operator",
    fix="look at the values it was computed from",
    status=422,
)
TOO_LONG = ErrorEntry(
    code="APP077",
    message="more than {most} statements in the loops of one transaction",
    cause="a loop holds the one transaction that may write, and everybody else waits for its end",
    fix="write one update or delete with a where, or a step with for_each, whose items are"
    " transactions of their own",
    status=422,
)
KEY_REUSED = ErrorEntry(
    code="APP024",
    message="Idempotency-Key {key} was used for another request",
    cause="the same key came before with a different body",
    fix="use a new key for a new request; the same key only to repeat one",
    status=409,
)
BAD_KEY = ErrorEntry(
    code="APP025",
    message="{header} is not usable: {reason}",
    cause="it has to be 1 to 255 visible ASCII characters",
    fix="send a UUID",
    status=400,
)
BAD_SEED = ErrorEntry(
    code="APP026",
    message="line {line} of the seed: {reason}",
    cause="seeds are taken whole or not at all, so nothing was stored",
    fix='each line is {{"entity": NAME, "values": {{…}}}}; mend it and send all again',
    status=422,
)

TABLE_TAKEN = ErrorEntry(
    code="APP027",
    message="the table {table} of {entity} is there already, and not as the program's",
    cause="the runtime or something else made it; names of the runtime's tables are reserved",
    fix="rename the entity",
    exit=Exit.USAGE,
)
NO_SLOW_QUERY = ErrorEntry(
    code="APP071",
    message="no statement with the id {id} was slow",
    cause="ids hold until the process ends, for the hundred statements seen last",
    fix="GET /api/v1/admin/slow-queries lists those that are known",
    status=404,
)
WANTS_RESTART = ErrorEntry(
    code="APP072",
    message="{what} of the program changed, which a running server does not take",
    cause="who may ask, and over how many connections, is decided when the server starts",
    fix="restart it: the program on disk is served then",
    exit=Exit.NEGATIVE,
)
ENV_FILE = ErrorEntry(
    code="APP073",
    message="{name} names the file {file}, which cannot be read: {reason}",
    cause="a variable that ends in _FILE says where the value of the one without it stands",
    fix="mend the path or the rights of the file, or set the variable itself",
    exit=Exit.USAGE,
)

CHANGED = ErrorEntry(
    code="APP060",
    message="{path} is not as If-Match says: {reason}",
    cause="somebody changed it after you read it, or it was never read here",
    fix="read it again, look at what changed, and send the change with the new ETag",
    status=412,
)
NO_UPLOADS = ErrorEntry(
    code="APP061",
    message="{path} takes no uploads: the body is {given}",
    cause="bodies are JSON; files are not kept by the runtime",
    fix="keep the file in object storage, and send its address as JSON",
    status=415,
)
UNKNOWN_KEY = ErrorEntry(
    code="APP062",
    message="there is no API key {id}",
    cause="keys are named by their id, not by their text",
    fix="codeai keys list",
    status=404,
)
KEY_WANTED = ErrorEntry(
    code="APP063",
    message="no API key was made: {reason}",
    cause="the request does not say what key is wanted",
    fix='send {{"name": "…", "roles": […], "scopes": […], "expires_in": "720h"}}',
    status=422,
)
KEY_ENDED = ErrorEntry(
    code="APP064",
    message="the API key {id} is {status}: it cannot be rotated",
    cause="rotating goes on with a key that counts",
    fix="make a new one: codeai keys create NAME",
    status=409,
)

TOO_FAST = ErrorEntry(
    code="APP065",
    message="more than {count} requests in {seconds:g} s",
    cause="the endpoint limits how often one caller may ask",
    fix="wait {retry_after} s, and ask less often",
    status=429,
    retryable=True,
)
TOO_SLOW = ErrorEntry(
    code="APP066",
    message="{path} was not done within {seconds:g} s",
    cause="the endpoint has a timeout; a read was ended, a change may still be made",
    fix="look whether it was done before you repeat it; with an Idempotency-Key it is done once",
    status=504,
    retryable=True,
    narrow=True,
)
BAD_QUESTION = ErrorEntry(
    code="APP067",
    message="the body is no question: {reason}",
    cause="it does not say what is asked in the form that is known",
    fix='send {{"query": "select from ENTITY", "parameters": {{}}, "entity": ""}}',
    status=400,
)
KEY_MISSING = ErrorEntry(
    code="APP069",
    message="{path} wants the header {header}",
    cause="the endpoint is told apart from its repetitions by a key alone",
    fix="send a UUID, and the same one when you repeat the request",
    status=400,
)
BROKEN_PROMISE = ErrorEntry(
    code="APP068",
    message="the endpoint does not answer what it promises: {place} {reason}",
    cause="its returns names a shape, and the value of its return is another one",
    fix="leave required out of the shape, or give the value with ??; nothing was changed",
    status=422,
)

UNREADABLE_DATABASE = ErrorEntry(
    code="APP076",
    message="DATABASE_URL cannot be read as an address: {problem}",
    cause="a character of user or password has a meaning in addresses, or a part is mistyped",
    fix="write postgres://user:password@host:5432/name, with @ : / ? # [ ] in a password as"
    " %40 %3A %2F %3F %23 %5B %5D",
    exit=Exit.USAGE,
)

ERRORS = (
    BAD_DATABASE,
    UNREADABLE_DATABASE,
    ENV_MISSING,
    MIGRATION_REFUSED,
    SCHEMA_BEHIND,
    MIGRATION_FAILED,
    NOTHING_TO_UNDO,
    NOT_SUPPORTED,
    UNFIT,
    BAD_JSON,
    INVALID,
    BAD_QUERY,
    NO_ROW,
    FORBIDDEN,
    MISSING_ROLE,
    DECLINED,
    NOT_UNIQUE,
    DANGLING,
    STILL_REFERRED,
    OUT_OF_RANGE,
    BAD_VALUE,
    NO_VALUE,
    CANNOT_COMPUTE,
    TOO_LONG,
    KEY_REUSED,
    BAD_KEY,
    BAD_SEED,
    TABLE_TAKEN,
    NO_SLOW_QUERY,
    WANTS_RESTART,
    ENV_FILE,
    CHANGED,
    NO_UPLOADS,
    UNKNOWN_KEY,
    KEY_WANTED,
    KEY_ENDED,
    TOO_FAST,
    TOO_SLOW,
    BAD_QUESTION,
    BROKEN_PROMISE,
    KEY_MISSING,
)
"""All of them; `backstay explain` and the reference are made from these."""
