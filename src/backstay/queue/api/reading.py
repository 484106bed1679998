"""Requests become operations, or a Fault that says which value is wrong."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import get_args
from urllib.parse import urlsplit

import msgspec

from backstay.core.clock import parse_rfc3339, rfc3339
from backstay.core.context import RequestContext
from backstay.core.errors import Fault
from backstay.queue.api.bodies import (
    BatchResult,
    Filter,
    Given,
    HeartbeatBody,
    NewTask,
    ResultBody,
    Search,
)
from backstay.queue.errors import (
    BAD_COMMAND,
    BAD_NAME,
    BAD_NUMBER,
    BAD_PAYLOAD,
    BAD_QUERY,
    BAD_RESULT,
    BAD_RUN_AT,
    BAD_URL,
    NOT_SUPPORTED,
    PAYLOAD_TOO_LARGE,
    TOKEN_REQUIRED,
)
from backstay.queue.model import ANY_TENANT, State, TaskQuery
from backstay.queue.operations import Create, Finish
from backstay.queue.service import Beat, Hold, Verdict, fingerprint

LONGEST_WAIT = 30.0
LONGEST_RESULT_WAIT = 60.0
LONGEST_DELAY = 100 * 365 * 86_400.0
_ENVELOPE = 16_384
_LONGEST_LEASE = 7 * 86_400.0
_LONGEST_NAME = 128
_LONGEST_KEY = 512
_LONGEST_URL = 2048
_MOST_ATTEMPTS = 1000
_MOST_TAGS = 16
# It becomes a segment of a path.
_REPLY_TO = re.compile(r"[\w.:-]{1,128}", re.ASCII)


STATES: Mapping[str, tuple[State, ...]] = {
    "PENDING": ("ready", "delayed"),
    "READY": ("ready",),
    "DELAYED": ("delayed",),
    "IN_PROGRESS": ("leased",),
    "COMPLETED": ("completed",),
    "FAILED": ("failed", "dead"),
    "DEAD": ("dead",),
    "CANCELLED": ("cancelled",),
}
"""What each word of `status` means."""


class Limits(msgspec.Struct, frozen=True):
    """What the settings say to this face."""

    lease_seconds: float
    max_attempts: int
    max_payload_bytes: int
    require_token: bool

    @property
    def largest_body(self) -> int:
        """Bytes of a request with one payload and room for the fields around it: the payload's own
        limit is judged after decoding."""
        return self.max_payload_bytes + _ENVELOPE


def read_task(body: NewTask, ctx: RequestContext, id: str, limits: Limits, now: float) -> Create:
    """Raises a Fault of the first field that is wrong."""
    command = read_command(body.command)
    payload = _payload(body, limits)
    if body.max_attempts > _MOST_ATTEMPTS:
        rule = f"at most {_MOST_ATTEMPTS}"
        raise Fault(BAD_NUMBER, field="maxAttempts", rule=rule, value=body.max_attempts)
    if len(body.idempotency_key) > _LONGEST_KEY:
        rule = f"at most {_LONGEST_KEY} characters"
        value = body.idempotency_key[:40]
        raise Fault(BAD_NAME, field="idempotencyKey", rule=rule, value=value)
    if body.reply_to and not _REPLY_TO.fullmatch(body.reply_to):
        rule = "1 to 128 letters, digits, dots, colons, dashes or underscores"
        raise Fault(BAD_NAME, field="replyTo", rule=rule, value=body.reply_to[:40])
    webhook = read_url(body.webhook or "", "webhook")
    _check_tags(body)
    return Create(
        id,
        ctx.principal.tenant,
        command,
        payload,
        _priority(body),
        body.max_attempts if body.max_attempts > 0 else limits.max_attempts,
        read_due(body.run_at, body.delay_seconds, now),
        body.idempotency_key,
        _fingerprint(body, payload) if body.idempotency_key else "",
        body.reply_to,
        webhook,
        tuple(dict.fromkeys(body.tags)),
        body.key,
        ctx.traceparent,
    )


def _priority(body: NewTask) -> int:
    """As codeQ did: what is outside counts as the nearest that there is."""
    return max(0, min(9, body.priority))


def _fingerprint(body: NewTask, payload: str) -> str:
    """Fields that came after the first version count only where they are given, so that keys which
    that version stored still fit."""
    parts = [
        payload,
        _priority(body),
        body.max_attempts,
        body.run_at,
        body.delay_seconds,
        body.reply_to,
    ]
    if body.webhook or body.tags or body.key:
        parts += [body.webhook, "\0".join(body.tags), body.key]
    return fingerprint(*parts)


def _check_tags(body: NewTask) -> None:
    """Raises QUEUE021: tags are words to find it by, `key` names what it works on."""
    if len(body.tags) > _MOST_TAGS:
        rule = f"at most {_MOST_TAGS}"
        raise Fault(BAD_NAME, field="tags", rule=rule, value=len(body.tags))
    for field, names in (("tags", body.tags), ("key", [body.key] if body.key else [])):
        for name in names:
            if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
                rule = f"1 to {_LONGEST_NAME} printable characters"
                raise Fault(BAD_NAME, field=field, rule=rule, value=name[:40])


def read_url(url: str, field: str) -> str:
    """An http or https address with a host, or empty. Raises QUEUE022. Which addresses are really
    called is judged at the call, on what the name then resolves to."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or len(url) > _LONGEST_URL or not url.isprintable() or " " in url:
        raise Fault(BAD_URL, field=field, value=url[:80])
    return url


@lru_cache(maxsize=4096)
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


def read_wait(seconds: float, longest: float = LONGEST_WAIT) -> float:
    """Capped, as in codeQ: at 30 s for a claim."""
    return min(max(0.0, seconds), longest)


def read_beat(body: HeartbeatBody, hold: Hold, limits: Limits) -> Beat:
    """Raises QUEUE014 for a lease, QUEUE020 for a progress that is too large."""
    progress = _text(body.progress)
    if len(progress) > limits.max_payload_bytes:
        raise Fault(PAYLOAD_TOO_LARGE, size=len(progress), limit=limits.max_payload_bytes)
    return Beat(hold, read_lease(body.extend_seconds, limits, "extendSeconds"), progress)


def read_verdict(body: ResultBody, hold: Hold) -> Verdict:
    """Raises QUEUE016 when status, result and error do not belong together."""
    ok, result, error = _ending(body)
    return Verdict(hold, ok, result, error)


def read_finish(body: BatchResult, tenant: str, worker: str) -> Finish:
    """As `read_verdict`."""
    ok, result, error = _ending(body)
    return Finish(tenant, body.task_id, worker, body.lease_token, ok, result, error)


def _ending(body: ResultBody) -> tuple[bool, str, str]:
    if body.artifacts:
        raise Fault(NOT_SUPPORTED, feature="artifacts", instead="store them elsewhere, send a link")
    result = _text(body.result)
    if body.status == "COMPLETED":
        if not result.startswith("{"):
            raise Fault(BAD_RESULT, reason="'result' must be an object when status is COMPLETED")
        return True, result, ""
    if body.status == "FAILED":
        if not (body.error or "").strip():
            raise Fault(BAD_RESULT, reason="'error' must not be blank when status is FAILED")
        return False, result, body.error or ""
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


def read_states(words: str, own: str = "") -> tuple[State, ...]:
    """`words` of codeQ (and READY, DELAYED, DEAD), `own` those of the queue itself; several with
    commas, empty for any. Raises QUEUE018 for an unknown one."""
    by_word = _states(words.upper(), "status", STATES)
    by_own = _states(own, "state", {state: (state,) for state in get_args(State)})
    both = tuple(state for state in by_word if state in by_own)
    if by_word and by_own and not both:
        raise Fault(BAD_QUERY, name="state", value=own[:40], rule=f"part of status {words}")
    return both or by_word or by_own


def read_filter(body: Filter | Search, tenant: str, states: tuple[State, ...] = ()) -> TaskQuery:
    """What a search or a filter asks for. `states` holds where it names none."""
    return TaskQuery(
        tenant=None if tenant == ANY_TENANT else tenant,
        command=body.command,
        states=read_states(body.status) or states,
        tag=body.tag,
        key=body.key,
        worker=body.worker,
        created_after=_moment(body.created_after, "createdAfter"),
        created_before=_moment(body.created_before, "createdBefore"),
    )


def read_due(run_at: str | None, delay: float, now: float) -> float:
    """`runAt` wins over `delaySeconds`; 0 is at once."""
    if delay < 0:
        raise Fault(BAD_NUMBER, field="delaySeconds", rule=">= 0", value=delay)
    check_delay(delay)
    if run_at:
        return read_time(run_at, "runAt")
    return now + delay if delay else 0.0


def _text(given: Given) -> str:
    """JSON text; null and nothing are the same."""
    text = "" if given is msgspec.UNSET else str(given, "utf-8")
    return "" if text == "null" else text


def _moment(text: str, field: str) -> float:
    return read_time(text, field) if text else 0.0


def _states(words: str, name: str, known: Mapping[str, tuple[State, ...]]) -> tuple[State, ...]:
    found: list[State] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        if word not in known:
            rule = "one of " + ", ".join(known)
            raise Fault(BAD_QUERY, name=name, value=word[:40], rule=rule)
        found.extend(known[word])
    return tuple(dict.fromkeys(found))


def _payload(body: NewTask, limits: Limits) -> str:
    raw = bytes(body.payload)
    if raw == b"null":
        raise Fault(BAD_PAYLOAD)
    if len(raw) > limits.max_payload_bytes:
        raise Fault(PAYLOAD_TOO_LARGE, size=len(raw), limit=limits.max_payload_bytes)
    return raw.decode()
