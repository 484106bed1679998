"""Requests that no well-behaved client sends: raw bytes in, status and problem code out."""

import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.stack import ORDERS, Stack, until

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

SECRET = "zebra-crossing-0123456789-abcdef"
CODEQ = "codeq:produce codeq:claim codeq:heartbeat codeq:abandon codeq:nack codeq:result"
Headers = Sequence[tuple[str, str]]


class Reply:
    """One answer as it came over the wire; `status` 0 when none came."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        self.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        self.head = head

    @property
    def code(self) -> str:
        try:
            found = json.loads(self.body)
        except ValueError:
            return ""
        return str(found.get("code", "")) if isinstance(found, dict) else ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def exchange(port: int, data: bytes, seconds: float = 10.0) -> Reply:
    """Send bytes, read until the server closes."""
    parts: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        try:
            line.sendall(data)
            while part := line.recv(65_536):
                parts.append(part)
        except ConnectionError:
            pass  # what came before it is the answer
    return Reply(b"".join(parts))


def send(
    port: int,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    host: str | None = None,
) -> Reply:
    """One request on a connection of its own; `host` "" sends an empty Host."""
    named = f"127.0.0.1:{port}" if host is None else host
    lines = [f"{method} {target} HTTP/1.1", f"Host: {named}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not any(name.lower() == "transfer-encoding" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return exchange(port, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def post(port: int, target: str, value: object, headers: Headers = ()) -> Reply:
    """A value as JSON; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return send(port, "POST", target, [("Content-Type", "application/json"), *headers], body)


def token(
    sub: str = "eve",
    scope: str = "",
    *,
    tenant: str = "default",
    roles: Sequence[str] = (),
    **claims: object,
) -> str:
    """Signed with the strict stack's own secret."""
    issuer = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
    return issuer.mint(sub, scope.split(), roles, tenant, claims=claims)


def bearer(text: str) -> Headers:
    return [("Authorization", f"Bearer {text}")]


@contextmanager
def strict(folder: Path, app: Path = ORDERS) -> Iterator[Stack]:
    """`backstay up` with JWT_SECRET: nobody is anybody without a token."""
    with serving(folder, app, {}) as stack:
        yield stack


@contextmanager
def serving(folder: Path, app: Path, env: Mapping[str, str]) -> Iterator[Stack]:
    """The same, with more environment."""
    stack = Stack(folder / "data", app, {"JWT_SECRET": SECRET, **env})
    try:
        stack.start(wait=0)
        until(lambda: _healthy(stack), 40, lambda: stack.output.read_text()[-3000:])
        yield stack
    finally:
        stack.close()


def _healthy(stack: Stack) -> bool:
    assert stack.process is not None
    assert stack.process.poll() is None, stack.output.read_text()[-3000:]
    answer = stack.try_ask("GET", "/health/ready")
    whole = stack.try_ask("GET", "/health")
    return bool(answer and answer.status == 200 and whole and whole.status == 200)


def failures(stack: Stack) -> list[str]:
    """Lines of the log in which a system says that a request failed in it."""
    time.sleep(0.2)  # the log is flushed five times a second
    text = stack.output.read_text(errors="replace")
    return [line for line in text.splitlines() if '"request failed"' in line or "Traceback" in line]
