"""Asking a running gateway from a command: the standard library's client, because a command that
prints a table must not pay for a server's imports."""

import http.client
from typing import Any
from urllib.parse import urlsplit

import msgspec

from backstay.core.errors import ErrorEntry, Exit, Fault
from backstay.gateway.errors import GATEWAY_SILENT

_DEADLINE = 5.0


def ask_gateway(url: str, method: str, path: str, token: str = "") -> Any:
    """Decoded JSON of the answer. Raises GATE027 when nobody answers; a refusal of the gateway
    comes back as a Fault with the gateway's own code and words."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port or 80, timeout=_DEADLINE
        )
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        connection.close()
        value = msgspec.json.decode(body)
    except (OSError, ValueError, http.client.HTTPException, msgspec.MsgspecError) as failed:
        raise Fault(GATEWAY_SILENT, url=url, reason=str(failed) or repr(failed)) from failed
    if status >= http.HTTPStatus.BAD_REQUEST:
        raise Fault(_entry_of(value, status))
    return value


def _entry_of(value: object, status: int) -> ErrorEntry:
    """The gateway's refusal, told again. Its text is filled in already: braces are plain ones."""
    told = value if isinstance(value, dict) else {}
    exits = {401: Exit.AUTH, 403: Exit.AUTH}
    return ErrorEntry(
        code=str(told.get("code", f"HTTP {status}")),
        message=_plain(told.get("detail", "the gateway refused")),
        cause="",
        fix=_plain(told.get("fix", "")),
        status=status,
        exit=exits.get(status, Exit.NEGATIVE),
    )


def _plain(text: object) -> str:
    return str(text).replace("{", "{{").replace("}", "}}") if "{" in str(text) else str(text)
