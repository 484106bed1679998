"""What can be wrong with the app's database on PostgreSQL; core.sqlite has that of a file."""

from backstay.core.errors import ErrorEntry, Exit

AWAY = ErrorEntry(
    code="APP040",
    message="the database {where} does not answer: {reason}",
    cause="the server is stopped, starting, or not reachable from here",
    fix="start it, or look at the network between: pg_isready -h HOST -p PORT",
    status=503,
    retryable=True,
    exit=Exit.UNREACHABLE,
)
EXHAUSTED = ErrorEntry(
    code="APP041",
    message="no connection to the database became free within {seconds} s",
    cause="all {most} connections are at work: statements are slow, or there are too few of them",
    fix="look for slow statements in pg_stat_activity; raise DATABASE_MAX_CONNECTIONS",
    status=503,
    retryable=True,
)
CONTENDED = ErrorEntry(
    code="APP042",
    message="the change met others {times} times in a row and was not made",
    cause="many requests change the same rows at the same time",
    fix="send it again",
    status=503,
    retryable=True,
)
IN_DOUBT = ErrorEntry(
    code="APP043",
    message="the connection was lost during the commit: whether the change was kept is not known",
    cause="the database or the way to it went away at that moment",
    fix="send it again with the same Idempotency-Key; without one, look first",
    status=503,
)
SLOW = ErrorEntry(
    code="APP044",
    message="the database gave no answer within {seconds} s",
    cause="a statement is slow, waits for a lock, or the server hangs",
    fix="look at pg_stat_activity and pg_locks",
    status=503,
    retryable=True,
)
REFUSED = ErrorEntry(
    code="APP045",
    message="the database {where} does not let us in: {reason}",
    cause="user, password, database name or encryption do not fit",
    fix="mend DATABASE_URL, or create the database: createdb NAME",
    status=503,
    exit=Exit.AUTH,
)
TROUBLE = ErrorEntry(
    code="APP046",
    message="the database {where} failed: {reason}",
    cause="the server reported SQLSTATE {state}",
    fix="look at its log",
    status=503,
    retryable=True,
)
UNFIT = ErrorEntry(
    code="APP047",
    message="the database {where} cannot be used: {reason}",
    cause="the app needs PostgreSQL 13 or later and a database in UTF-8",
    fix="create one: createdb -E UTF8 -T template0 NAME",
    status=503,
    exit=Exit.USAGE,
)
NEWER = ErrorEntry(
    code="APP048",
    message="{where} has schema version {found}; this program knows up to {known}",
    cause="a newer release of Backstay has migrated the database",
    fix="use that release again, or restore a backup of schema version {known}",
    status=503,
    exit=Exit.USAGE,
)
NO_COPY = ErrorEntry(
    code="APP049",
    message="{where} is not copied to {target}",
    cause="a PostgreSQL database is saved by the tools of its server, while it is in use",
    fix="pg_dump --format=custom --file=app.dump DATABASE_URL; to put it back: pg_restore --clean",
    status=409,
    exit=Exit.NEGATIVE,
)
ERRORS = (AWAY, EXHAUSTED, CONTENDED, IN_DOUBT, SLOW, REFUSED, TROUBLE, UNFIT, NEWER, NO_COPY)
