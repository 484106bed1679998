"""Requests become operations, or a Fault that says which value is wrong."""

import re

import msgspec

from backstay.core.clock import parse_rfc3339, rfc3339
from backstay.core.errors import Fault
from backstay.core.web import Request
from backstay.queue.api.wire import NewTask, ResultBody
from backstay.queue.errors import (
    BAD_COMMAND,
    BAD_NAME,
    BAD_NUMBER,
    BAD_PAYLOAD,
    BAD_PRIORITY,
    BAD_QUERY,
    BAD_RESULT,
    BAD_RUN_AT,
    NOT_SUPPORTED,
    PAYLOAD_TOO_LARGE,
    TOKEN_REQUIRED,
)
from backstay.queue.model import Create
from backstay.queue.service import Hold, Verdict, fingerprint

LONGEST_WAIT = 30.0
LONGEST_DELAY = 100 * 365 * 86_400.0
_LONGEST_LEASE = 7 * 86_400.0
_LONGEST_NAME = 128
_LONGEST_KEY = 512
_MOST_ATTEMPTS = 1000
# It becomes a segment of a path.
_REPLY_TO = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class Limits(msgspec.Struct, frozen=True):
    """What the settings say to this face."""

    lease_seconds: float
    max_attempts: int
    max_payload_bytes: int
    require_token: bool


def read_task(body: NewTask, tenant: str, id: str, limits: Limits, now: float) -> Create:
    """Raises a Fault of the first field that is wrong."""
    if body.webhook:
        raise Fault(NOT_SUPPORTED, feature="webhook", instead="ask for the result with waitSeconds")
    command = read_command(body.command)
    payload = _payload(body, limits)
    if not 0 <= body.priority <= 9:
        raise Fault(BAD_PRIORITY, priority=body.priority)
    if body.max_attempts > _MOST_ATTEMPTS:
        rule = f"at most {_MOST_ATTEMPTS}"
        raise Fault(BAD_NUMBER, field="maxAttempts", rule=rule, value=body.max_attempts)
    attempts = body.max_attempts if body.max_attempts > 0 else limits.max_attempts
    if len(body.idempotency_key) > _LONGEST_KEY:
        rule = f"at most {_LONGEST_KEY} characters"
        value = body.idempotency_key[:40]
        raise Fault(BAD_NAME, field="idempotencyKey", rule=rule, value=value)
    if body.reply_to and not _REPLY_TO.fullmatch(body.reply_to):
        rule = "1 to 128 letters, digits, dots, colons, dashes or underscores"
        raise Fault(BAD_NAME, field="replyTo", rule=rule, value=body.reply_to[:40])
    return Create(
        id=id,
        tenant=tenant,
        command=command,
        payload=payload,
        priority=body.priority,
        max_attempts=attempts,
        due_at=_due(body, now),
        idempotency_key=body.idempotency_key,
        fingerprint=fingerprint(
            payload,
            body.priority,
            body.max_attempts,
            body.run_at,
            body.delay_seconds,
            body.reply_to,
        ),
        reply_to=body.reply_to,
    )


def read_command(name: str) -> str:
    """A command keeps its case (decision 5). Raises QUEUE010."""
    plain = name.isprintable() and not any(sign in name for sign in " ,/")
    if not 0 < len(name) <= _LONGEST_NAME or not plain or name == "*":
        raise Fault(BAD_COMMAND, command=name[:_LONGEST_NAME])
    return name


def read_lease(seconds: float, limits: Limits, field: str) -> float:
    """0 or less means the default, as in codeQ."""
    if seconds > _LONGEST_LEASE:
        rule = f"at most {_LONGEST_LEASE:.0f}"
        raise Fault(BAD_NUMBER, field=field, rule=rule, value=seconds)
    return seconds if seconds > 0 else limits.lease_seconds


def check_delay(seconds: float) -> None:
    """Raises QUEUE014 for what ends beyond the years that can be written."""
    if seconds > LONGEST_DELAY:
        rule = f"at most {LONGEST_DELAY:.0f}"
        raise Fault(BAD_NUMBER, field="delaySeconds", rule=rule, value=seconds)


def read_wait(seconds: float) -> float:
    """Capped at 30 s, as in codeQ."""
    return min(max(0.0, seconds), LONGEST_WAIT)


def read_verdict(body: ResultBody, hold: Hold) -> Verdict:
    """Raises QUEUE016 when status, result and error do not belong together."""
    if body.artifacts:
        raise Fault(NOT_SUPPORTED, feature="artifacts", instead="store them elsewhere, send a link")
    result = bytes(body.result).decode()
    if body.status == "COMPLETED":
        if not result.startswith("{"):
            raise Fault(BAD_RESULT, reason="'result' must be an object when status is COMPLETED")
        return Verdict(hold, ok=True, result=result)
    if body.status == "FAILED":
        if not (body.error or "").strip():
            raise Fault(BAD_RESULT, reason="'error' must not be blank when status is FAILED")
        kept = "" if result == "null" else result
        return Verdict(hold, ok=False, result=kept, error=body.error or "")
    reason = f"'status' must be COMPLETED or FAILED, not {body.status[:40]!r}"
    raise Fault(BAD_RESULT, reason=reason)


def read_time(text: str, field: str) -> float:
    """Epoch seconds. Raises QUEUE013."""
    try:
        found = parse_rfc3339(text)
        rfc3339(found)  # with its zone it may lie outside the years that can be written
        return found
    except (ValueError, OverflowError) as bad:
        raise Fault(BAD_RUN_AT, field=field, value=text[:60]) from bad


def check_token(token: str, limits: Limits, event: str) -> None:
    """Raises QUEUE007 when this server wants a token and none came (decision 2)."""
    if limits.require_token and not token:
        raise Fault(TOKEN_REQUIRED, event=event)


def query_text(request: Request, name: str) -> str:
    return request.query.get(name, [""])[0]


def query_number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """Raises QUEUE018 when it is no number within the bounds."""
    text = query_text(request, name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise Fault(
            BAD_QUERY, name=name, value=text[:40], rule=f"a number from {low:g} to {high:g}"
        )
    return value


def _payload(body: NewTask, limits: Limits) -> str:
    raw = bytes(body.payload)
    if raw == b"null":
        raise Fault(BAD_PAYLOAD)
    if len(raw) > limits.max_payload_bytes:
        raise Fault(PAYLOAD_TOO_LARGE, size=len(raw), limit=limits.max_payload_bytes)
    return raw.decode()


def _due(body: NewTask, now: float) -> float:
    """`runAt` wins over `delaySeconds`; 0 is at once."""
    if body.delay_seconds < 0:
        raise Fault(BAD_NUMBER, field="delaySeconds", rule=">= 0", value=body.delay_seconds)
    check_delay(body.delay_seconds)
    if body.run_at:
        return read_time(body.run_at, "runAt")
    return now + body.delay_seconds if body.delay_seconds else 0.0
