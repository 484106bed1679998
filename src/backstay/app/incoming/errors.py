"""What a sender of webhooks is told."""

from backstay.core.errors import ErrorEntry

HOOK_REFUSED = ErrorEntry(
    code="APP074",
    message="webhook {hook} is not taken: {reason}",
    cause="it was not signed with the secret that the app knows, or not now",
    fix="give both sides the same secret, and set their clocks right",
    status=401,
)
HOOK_NO_SECRET = ErrorEntry(
    code="APP075",
    message="webhook {hook} has no secret yet",
    cause="the variable that holds it is empty, so nobody could prove who is calling",
    fix="set the variable that the program names, and restart",
    status=503,
    retryable=True,
    narrow=True,
)

ERRORS = (HOOK_REFUSED, HOOK_NO_SECRET)
