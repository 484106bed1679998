"""The control socket: a few routes of HTTP/1.1 over a Unix socket of mode 0600, in every process.

Doctor, gateway, console and the command line read a process only through it. Why by hand: it must
answer while the process's own HTTP server is the thing that is broken, its client is imported by
commands that have to start in a tenth of a second, and `curl --unix-socket` still works.
"""

import asyncio
import os
import socket as sockets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from backstay.core.errors import ErrorEntry, Exit, Fault, problem

Silence = Literal["missing", "refused", "late"]

_HEAD_LIMIT = 16_384
_BODY_LIMIT = 1_048_576
_READ_SECONDS = 5.0

CONTROL_SILENT = ErrorEntry(
    code="CORE060",
    message="nobody answers on the control socket {socket}",
    cause="{reason}",
    fix="see what runs: backstay status; start it: backstay up",
    status=503,
    exit=Exit.UNREACHABLE,
    retryable=True,
)
CONTROL_REFUSED = ErrorEntry(
    code="CORE061",
    message="{socket} answered {route} with {status}: {detail}",
    cause="the process is alive and did not do what was asked",
    fix="ask for what it has: /live /checks /metrics /settings /breakers /probe/ID /profile/KIND"
    " /drain",
    status=502,
)
CONTROL_TAKEN = ErrorEntry(
    code="CORE062",
    message="another process already answers on the control socket {socket}",
    cause="{name} runs already for this runtime folder (pid {pid})",
    fix="stop it first (backstay down, or kill {pid}), or give another --data folder",
    status=503,
)
NO_CONTROL_ROUTE = ErrorEntry(
    code="CORE063",
    message="no such control route: {route}",
    cause="this process offers {offered}",
    fix="ask for one of these",
    status=404,
)


class ControlSilent(Fault):
    """Nobody answered. `why`: no socket file, nobody listening, or no answer in time."""

    def __init__(self, socket: Path, why: Silence, reason: str) -> None:
        super().__init__(CONTROL_SILENT, socket=str(socket), why=why, reason=reason)
        self.why: Silence = why


class Reply(msgspec.Struct, frozen=True):
    """An answer as bytes."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


Answer = Callable[[str, bytes], Awaitable[Reply]]
"""Takes the path's `{}` segment (unquoted, "" without one) and the body."""

Routes = Mapping[str, Answer]
"""`"GET /live"` → answer; one `{}` segment may stand in the path: `"GET /probe/{}"`."""


def json_reply(value: object, status: int = 200) -> Reply:
    """A value that msgspec can encode."""
    return Reply(msgspec.json.encode(value), status=status)


class ControlServer:
    """A Service: listens while it is started, one request per connection."""

    name = "control"

    def __init__(self, path: Path, routes: Routes) -> None:
        self.path = path
        self._routes = routes
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Bind with mode 0600. Raises CORE062 when a living process holds the socket."""
        await _clear(self.path)
        listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        # The mode must hold from the first moment: a later chmod leaves a door open for a while.
        before = os.umask(0o177)
        try:
            listener.bind(str(self.path))
        finally:
            os.umask(before)
        listener.setblocking(False)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=_HEAD_LIMIT
        )

    def ready(self) -> bool:
        return self._server is not None

    async def drain(self, seconds: float) -> None:
        """It answers until the end: a draining process can still be asked."""

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            _remove(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                method, path, body = await _read_request(reader)
            reply = await self._answer(method, path, body)
            writer.write(_encode(reply))
            await writer.drain()
        except (OSError, ValueError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone or speaks no HTTP: nobody is left to tell
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, body: bytes) -> Reply:
        route, segment = _match(self._routes, method, path)
        try:
            if route is None:
                raise Fault(
                    NO_CONTROL_ROUTE, route=f"{method} {path}", offered=", ".join(self._routes)
                )
            return await self._routes[route](segment, body)
        except Fault as fault:
            return json_reply(problem(fault, None), fault.entry.status)
        except Exception as failed:  # noqa: BLE001 - asked from outside; the process goes on
            text = f"{type(failed).__name__}: {failed}"
            return json_reply({"title": "Internal Server Error", "detail": text}, 500)


async def ask(
    socket: Path, route: str, deadline: float = 1.0, *, body: bytes = b"", method: str = ""
) -> Any:
    """Ask a process. `route` is `/checks` or `POST /drain`; gives decoded JSON, or text.

    Raises `ControlSilent` when nobody answers within `deadline` seconds, CORE061 on a refusal.
    """
    reply = await ask_raw(socket, route, deadline, body=body, method=method)
    if reply.content_type == "application/json":
        return msgspec.json.decode(reply.body)
    return reply.body.decode()


async def ask_raw(
    socket: Path, route: str, deadline: float = 1.0, *, body: bytes = b"", method: str = ""
) -> Reply:
    """As `ask`, for an answer that is no text."""
    verb, _, path = route.rpartition(" ")
    verb = method or verb or ("POST" if body else "GET")
    try:
        async with asyncio.timeout(deadline):
            raw = await _exchange(socket, verb, path, body)
    except FileNotFoundError as gone:
        raise ControlSilent(socket, "missing", "the socket file does not exist") from gone
    except TimeoutError as late:
        raise ControlSilent(socket, "late", f"no answer within {deadline:g} s") from late
    except OSError as refused:
        raise ControlSilent(
            socket, "refused", f"nobody listens: {refused.strerror or refused}"
        ) from refused
    return _decode(socket, f"{verb} {path}", raw)


async def _exchange(socket: Path, verb: str, path: str, body: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        head = (
            f"{verb} {path} HTTP/1.1\r\nHost: backstay\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        return await reader.read(-1)
    finally:
        writer.close()


def _decode(socket: Path, route: str, raw: bytes) -> Reply:
    head, found, body = raw.partition(b"\r\n\r\n")
    if not found:
        raise ControlSilent(socket, "refused", "the connection was closed without an answer")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    reply = Reply(body, fields.get("content-type", ""), status)
    if status >= HTTPStatus.BAD_REQUEST:
        detail = _detail(reply)
        raise Fault(CONTROL_REFUSED, socket=str(socket), route=route, status=status, detail=detail)
    return reply


def _detail(reply: Reply) -> str:
    if reply.content_type == "application/json":
        value = msgspec.json.decode(reply.body)
        return str(value.get("detail", "")) if isinstance(value, dict) else ""
    return reply.body[:200].decode("utf-8", "replace")


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *fields = head.split("\r\n")
    method, target, _version = first.split(" ")
    length = 0
    for field in fields:
        name, _, value = field.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError(f"a body of {length} bytes is over the limit")
    return method, target.partition("?")[0], await reader.readexactly(length)


def _match(routes: Routes, method: str, path: str) -> tuple[str | None, str]:
    asked = path.split("/")
    for route in routes:
        verb, _, template = route.partition(" ")
        parts = template.split("/")
        if verb != method or len(parts) != len(asked):
            continue
        pairs = list(zip(parts, asked, strict=True))
        if all(part in (given, "{}") for part, given in pairs):
            return route, _segment(pairs)
    return None, ""


def _segment(pairs: Sequence[tuple[str, str]]) -> str:
    return next((unquote(given) for part, given in pairs if part == "{}"), "")


def _encode(reply: Reply) -> bytes:
    phrase = HTTPStatus(reply.status).phrase
    head = (
        f"HTTP/1.1 {reply.status} {phrase}\r\nContent-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + reply.body


async def _clear(path: Path) -> None:
    """Take away a socket file that a killed process left; a living one is a second owner."""
    try:
        live = await ask(path, "/live")
    except ControlSilent as silent:
        if silent.why == "late":
            raise Fault(CONTROL_TAKEN, socket=str(path), name=path.stem, pid="?") from silent
        _remove(path)
        return
    raise Fault(CONTROL_TAKEN, socket=str(path), name=live["name"], pid=live["pid"])


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
