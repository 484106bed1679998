"""What a process as such can fail with, and what its control socket refuses."""

from backstay.core.errors import ErrorEntry, Exit

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
PROFILE_RUNS = ErrorEntry(
    code="CORE068",
    message="a CPU profile of {name} is being made already",
    cause="two at once would measure each other",
    fix="fetch it again once the other has ended",
    status=409,
    retryable=True,
)
BAD_PROFILE = ErrorEntry(
    code="CORE069",
    message="{name}={given!r} cannot be used for a profile",
    cause="{expected}",
    fix="correct it, or leave it out",
    status=400,
    exit=Exit.USAGE,
)
