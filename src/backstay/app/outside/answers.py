"""What an answer means: 2xx is done; a 4xx is the target's own refusal, final and without effect,
except 408 and 429; 5xx leaves the effect unknown."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from backstay.app.flow.model import Outcome
from backstay.core.http import Answer

_TEXT = 300


def judge(name: str, answer: Answer, now: float) -> tuple[Outcome, str]:
    """The outcome, and the class of trouble that the breaker has to hear of ("" for none). `now`
    is wall time."""
    status = answer.status
    if 200 <= status < 300:
        return Outcome("done", output=_output(answer.body)), ""
    text = answer.body[:_TEXT].decode("utf-8", "replace").strip()
    error = f"{name} answered {status}" + (f": {text}" if text else "")
    wait = retry_after(answer.headers.get("retry-after", ""), now)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Outcome("failed", error=error, retry_after=wait), "http_429"
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= 500:
        return Outcome("unknown", error=error, retry_after=wait), f"http_{status}"
    return Outcome("failed", error=error, final=True), ""


def retry_after(text: str, now: float) -> float:
    """Seconds of a Retry-After in either form (RFC 9110, 10.2.3); 0 for none or nonsense."""
    if text.isascii() and text.isdigit() and len(text) < 8:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)


def _output(body: bytes) -> str:
    if not body.strip():
        return "null"
    try:
        msgspec.json.decode(body)
        return body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.encode(body.decode("utf-8", "replace")).decode()
