"""The errors of core itself, as data. AUTH codes, messages and statuses are those of seed C8."""

from backstay.core import http_errors
from backstay.core.errors import ErrorEntry, Exit

SETTINGS_INVALID = ErrorEntry(
    code="CORE001",
    message="{count} of the settings cannot be used:\n{problems}",
    cause="a flag, an environment variable or the configuration file holds what is named above",
    fix="correct each line above; nothing was started",
    status=500,
    exit=Exit.USAGE,
)

LOG_OUTPUT_UNUSABLE = ErrorEntry(
    code="CORE002",
    message="log output {path} cannot be opened: {reason}",
    cause="LOG_OUTPUT is stdout, stderr or the path of a file this user may append to",
    fix="create the folder and make it writable, or set LOG_OUTPUT=stderr",
    status=500,
    exit=Exit.USAGE,
)

LOCKED = ErrorEntry(
    code="CORE010",
    message="{path} is in use by process {pid} ({command})",
    cause="one process owns a data folder or a store file; a second one would corrupt it",
    fix="stop process {pid}, or start with another folder: --data DIR",
    status=503,
)

LOCK_UNUSABLE = ErrorEntry(
    code="CORE011",
    message="{path} cannot be locked: {reason}",
    cause="the folder is missing, not writable, on a full disk, or on one without locks",
    fix="free some space, or choose a writable folder on a local disk: --data DIR",
    status=500,
)

AUTH_REQUIRED_OUTSIDE = ErrorEntry(
    code="CORE012",
    message="refused to listen on {address} without authentication",
    cause="no token validator is configured, so everybody who reaches it would hold all scopes",
    fix="set JWT_SECRET, or listen on 127.0.0.1",
    status=500,
    exit=Exit.USAGE,
)

HOST_REFUSED = ErrorEntry(
    code="CORE013",
    message="host {host!r} is not served here",
    cause="the Host header is not on the list of this server (a guard against DNS rebinding)",
    fix="use one of: {allowed}; or add the name to the list of allowed hosts",
    status=421,
)

ORIGIN_REFUSED = ErrorEntry(
    code="CORE014",
    message="a page of {origin!r} may not change things here",
    cause="the request changes state and its Origin is another host than the one it was sent to",
    fix="send it from a page of this host, or without a browser",
    status=403,
)

AUTH_INVALID = ErrorEntry(
    code="AUTH001",
    message="invalid token",
    cause="the token is malformed or its signature does not fit this server's key: {reason}",
    fix="get a new token (backstay token); if new ones fail too, compare JWT_SECRET on both sides,"
    " or the issuer's keys",
    status=401,
    exit=Exit.AUTH,
    guide="wrong-jwt-secret",
)

AUTH_EXPIRED = ErrorEntry(
    code="AUTH002",
    message="token has expired",
    cause="its `exp` was {expired}",
    fix="get a new token: backstay token",
    status=401,
    exit=Exit.AUTH,
    guide="expired-token",
)

AUTH_ISSUER = ErrorEntry(
    code="AUTH003",
    message="invalid token issuer",
    cause="the token was issued by {found}, this server trusts {expected}",
    fix="get the token from {expected}, or correct the issuer in the settings",
    status=401,
    exit=Exit.AUTH,
)

AUTH_AUDIENCE = ErrorEntry(
    code="AUTH004",
    message="invalid token audience",
    cause="the token is meant for {found}, this server is {expected}",
    fix="ask for a token with the audience {expected}",
    status=401,
    exit=Exit.AUTH,
)

AUTH_MISSING = ErrorEntry(
    code="AUTH005",
    message="missing authentication token",
    cause="the request carries no `Authorization: Bearer …` header",
    fix="send a token: backstay token --role ROLE (or --scope SCOPE)",
    status=401,
    exit=Exit.AUTH,
)

AUTH_KEY = ErrorEntry(
    code="AUTH006",
    message="signing key not found",
    cause="unable to find key {kid}: no key of the issuer has that id and fits {algorithm}",
    fix="compare the token's `kid` with the issuer's published keys; a new one counts within 30 s",
    status=500,
    exit=Exit.AUTH,
)

AUTH_ALGORITHM = ErrorEntry(
    code="AUTH007",
    message="unsupported signing algorithm",
    cause="the token is signed with {algorithm}",
    fix="sign with one of: {supported}",
    status=400,
    exit=Exit.AUTH,
)

AUTH_NO_SECRET = ErrorEntry(
    code="AUTH008",
    message="no secret configured for symmetric algorithm",
    cause="the token is signed with {algorithm} and this server has no secret to check it with",
    fix="set JWT_SECRET",
    status=500,
    exit=Exit.AUTH,
)

AUTH_JWKS = ErrorEntry(
    code="AUTH009",
    message="failed to fetch JWKS",
    cause="the issuer's keys could not be had: {reason}",
    fix="check that this server reaches the JWKS address; its log names it",
    status=500,
    exit=Exit.AUTH,
    retryable=True,
)

AUTH = (
    AUTH_INVALID,
    AUTH_EXPIRED,
    AUTH_ISSUER,
    AUTH_AUDIENCE,
    AUTH_MISSING,
    AUTH_KEY,
    AUTH_ALGORITHM,
    AUTH_NO_SECRET,
    AUTH_JWKS,
)

ENTRIES = (
    SETTINGS_INVALID,
    LOG_OUTPUT_UNUSABLE,
    LOCKED,
    LOCK_UNUSABLE,
    AUTH_REQUIRED_OUTSIDE,
    HOST_REFUSED,
    ORIGIN_REFUSED,
    *http_errors.ENTRIES,
    *AUTH,
)
