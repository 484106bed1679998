"""What can go wrong with workflows and jobs, as a user meets it: codes APP201 and up."""

from backstay.core.errors import ErrorEntry, Exit

UNKNOWN_WORKFLOW = ErrorEntry(
    code="APP201",
    message="there is no workflow {workflow}",
    cause="the program being served declares no workflow of this name",
    fix="GET /api/v1/workflows lists those that exist",
    status=404,
)
UNKNOWN_EXECUTION = ErrorEntry(
    code="APP202",
    message="there is no execution {id}",
    cause="no execution with this id is stored in this database",
    fix="GET /api/v1/executions lists those that exist",
    status=404,
)
WRONG_STATE = ErrorEntry(
    code="APP203",
    message="cannot {command} execution {id}: {reason}",
    cause="the execution is {status}",
    fix="GET /api/v1/executions/{id} shows its steps",
    status=409,
)
PROGRAM_MISSING = ErrorEntry(
    code="APP204",
    message="the program {program} is not stored in this database",
    cause="{executions} executions are pinned to it and cannot go on without it",
    fix="restore the database from a backup that holds the program, or cancel the executions",
    status=500,
)
UNKNOWN_JOB = ErrorEntry(
    code="APP205",
    message="there is no job {name}",
    cause="the program being served declares no job of this name",
    fix="GET /api/v1/jobs lists those that exist",
    status=404,
)
UNKNOWN_JOB_RUN = ErrorEntry(
    code="APP206",
    message="there is no job run {id}",
    cause="no run of a job with this id is stored, or it was purged",
    fix="GET /api/v1/admin/jobs lists those that exist",
    status=404,
)
JOB_RUN_ENDED = ErrorEntry(
    code="APP207",
    message="job run {id} of {job} cannot be cancelled: it is {status}",
    cause="only a run that has not begun can be cancelled",
    fix="GET /api/v1/admin/jobs?status=pending lists the runs to come",
    status=409,
)
BAD_QUERY = ErrorEntry(
    code="APP208",
    message="{name}={value} is not understood: {expected}",
    cause="the query of this address has a value outside what the route knows",
    fix="use {expected}",
    status=400,
)
BASE_URL_MISSING = ErrorEntry(
    code="APP209",
    message="integration {integration} has no address: {variable} is not set",
    cause="its base_url is env({variable}) without a default",
    fix="set {variable} in the environment of the app, e.g. {variable}=http://127.0.0.1:9000",
    status=500,
)
BAD_SCHEDULE = ErrorEntry(
    code="APP210",
    message="job {job} has a schedule that cannot be kept: {schedule} in {timezone}",
    cause="{problem}",
    fix="write five cron fields and a time zone of the IANA database",
    status=500,
)
NOT_OFFERED = ErrorEntry(
    code="APP211",
    message="{what} is not offered by this version",
    cause="{why}",
    fix="{instead}",
    status=501,
)
SERVER_REFUSED = ErrorEntry(
    code="APP212",
    message="{said}",
    cause="{address} answered {status} with the code {code}",
    fix="{advice}",
    status=502,
)
SERVER_DENIED = ErrorEntry(
    code="APP213",
    message="{said}",
    cause="{address} answered {status} with the code {code}",
    fix="give a token with the scope admin: --token or CODEAI_TOKEN (backstay token makes one)",
    status=502,
    exit=Exit.AUTH,
)

UNKNOWN_EVENT = ErrorEntry(
    code="APP215",
    message="there is no event {name}",
    cause="the program declares no event of this name, and no workflow is started by one",
    fix="GET /api/v1/events lists those that happened; declare event {name} to publish it",
    status=404,
)
UNKNOWN_SIGNAL = ErrorEntry(
    code="APP216",
    message="workflow {workflow} waits for no signal {name}",
    cause="its signals are {known}",
    fix="declare it in the workflow: signals {{ {name}: bool }}",
    status=404,
)
NO_EVENT = ErrorEntry(
    code="APP217",
    message="there is no event with the id {id}",
    cause="no event with this id is stored, or its history has been pruned",
    fix="GET /api/v1/events lists those that are kept",
    status=404,
)
NO_TARGET = ErrorEntry(
    code="APP218",
    message="event {id} was never for {target}",
    cause="its targets are {known}",
    fix="name one of them, or none for all that are outside",
    status=404,
)
CANNOT_MIGRATE = ErrorEntry(
    code="APP219",
    message="execution {id} cannot go on by the program {to}: {reason}",
    cause="the steps that have begun must be the same in both programs",
    fix="let it end by its own program, or cancel it",
    status=409,
)
BAD_SIGNAL = ErrorEntry(
    code="APP220",
    message="the signal {name} does not take this value: {reason}",
    cause="a signal has the type that the workflow declares",
    fix="send a JSON value of that type as the body",
    status=400,
)

ERRORS = (
    UNKNOWN_WORKFLOW,
    UNKNOWN_EXECUTION,
    WRONG_STATE,
    PROGRAM_MISSING,
    UNKNOWN_JOB,
    UNKNOWN_JOB_RUN,
    JOB_RUN_ENDED,
    BAD_QUERY,
    BASE_URL_MISSING,
    BAD_SCHEDULE,
    NOT_OFFERED,
    SERVER_REFUSED,
    SERVER_DENIED,
    UNKNOWN_EVENT,
    UNKNOWN_SIGNAL,
    NO_EVENT,
    NO_TARGET,
    CANNOT_MIGRATE,
    BAD_SIGNAL,
)
