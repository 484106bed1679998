"""What can go wrong with the cache when it is set up; in use it fails into the database."""

from backstay.core.errors import ErrorEntry, Exit

BAD_REDIS_URL = ErrorEntry(
    code="APP070",
    message="REDIS_URL cannot be used: {reason}",
    cause="it is not the address of a Redis",
    fix="write redis://host:6379/0, rediss://… for TLS or unix:///path; unset it for memory",
    exit=Exit.USAGE,
)

ERRORS = (BAD_REDIS_URL,)
