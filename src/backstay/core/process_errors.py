"""What a process as such can fail with, and what its control socket refuses."""

from backstay.core.errors import ErrorEntry

INTERNAL = ErrorEntry(
    code="CORE065",
    message="{name} stopped on an error of its own: {kind}: {text}",
    cause="this is a mistake in Backstay, not in what you did",
    fix="send {trace_file} with a description of what you did",
)
NOTHING_TO_RESET = ErrorEntry(
    code="CORE066",
    message="no circuit breaker named {target} in {name}",
    cause="it has {known}",
    fix="name one of these",
    status=404,
)
NO_PROBE = ErrorEntry(
    code="CORE067",
    message="no probe named {probe} in {name}",
    cause="it has {known}",
    fix="name one of these",
    status=404,
)
