"""Where a system listens, and the server that does it: granian, embedded in our own loop."""

import asyncio
import os
import resource
import socket
from pathlib import Path
from typing import Any

import msgspec
import structlog

from backstay.core.asgi import App
from backstay.core.errors import ErrorEntry, Exit, Fault
from backstay.core.port_holder import why_not_bound

BAD_ADDRESS = ErrorEntry(
    code="CORE110",
    message="{address!r} is not an address to listen on",
    cause="expected unix:/path/to.sock, HOST:PORT or :PORT",
    fix="write it like 127.0.0.1:8080",
    exit=Exit.USAGE,
)
CANNOT_LISTEN = ErrorEntry(
    code="CORE111",
    message="cannot listen on {address}: {reason}",
    cause="another program holds the address, or it is not this machine's",
    fix="end the program that holds it, or choose another with --listen",
    exit=Exit.UNREACHABLE,
)

_log = structlog.get_logger("http")

_BACKLOG = 1024
CONNECTIONS = 2048
"""How many connections a face serves at once unless it is told otherwise."""
HEAD_SECONDS = 30.0
"""Longest time until a request's head is there, on a new connection or after an answer."""
_OWN_FILES = 256
_SOCKET_PATH_LIMIT = 107


def _within_files(wanted: int) -> int:
    """As many connections as leave files for the process itself."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if allowed < 0 else max(1, min(wanted, allowed - _OWN_FILES))


class Listen(msgspec.Struct, frozen=True):
    """A Unix socket (`path`) or a TCP address; port 0 is picked free by `HttpServer.start`."""

    path: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """`unix:/run/x.sock`, `127.0.0.1:8080`, `[::1]:8080`, `:8080` (loopback). Or CORE110."""
        if text.startswith("unix:"):
            path = Path(text.removeprefix("unix:"))
            if not path.is_absolute() or len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
                raise Fault(BAD_ADDRESS, address=text)
            return cls(path=path)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise Fault(BAD_ADDRESS, address=text)
        return cls(host=host.strip("[]") or "127.0.0.1", port=int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.path is not None or self.host in ("127.0.0.1", "::1", "localhost")


class HttpServer:
    """A Service: one ASGI app on one address. Unix sockets are made with mode 0600. At most
    `connections` are served at once, fewer where the process may not open that many files; others
    wait to be accepted. One on which no head arrives within `head_seconds` is closed."""

    def __init__(
        self,
        app: App,
        listen: Listen,
        connections: int = CONNECTIONS,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self.name = f"http:{app.name}"
        self._connections = connections
        self._head_seconds = head_seconds
        self.most = 0
        """Connections that are served at once, known once it has started."""
        self.listen = listen
        self._app = app
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bound and answering on return. Raises CORE111 when the address is taken."""
        # Imported here: commands that serve nothing must not pay for a server.
        from granian.constants import HTTPModes, Interfaces
        from granian.http import HTTP1Settings
        from granian.server.embed import Server

        self._claim_address()
        self.most = _within_files(self._connections)
        where: dict[str, Any] = (
            {"uds": self.listen.path}
            if self.listen.path
            else {"address": self.listen.host, "port": self.listen.port}
        )
        self._server = Server(
            self._app,
            interface=Interfaces.ASGINL,
            backlog=_BACKLOG,
            backpressure=self.most,
            websockets=False,
            # Waiting to see which HTTP it will be has no deadline: silent clients would hold every
            # connection there is. Nothing here needs HTTP/2.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=round(self._head_seconds * 1000)),
            log_enabled=False,
            **where,
        )
        if self.listen.path:
            self._server.uds_permissions = 0o600
        self._task = asyncio.create_task(self._server.serve(), name=self.name)
        await self._until_answering()
        _log.info("listening", address=str(self.listen))

    def ready(self) -> bool:
        return self._task is not None and not self._task.done() and not self._app.draining

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, finish those that run."""
        self._app.draining = True
        if self._server is not None and self._task is not None:
            self._server.stop()
            await asyncio.wait({self._task}, timeout=seconds)

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        self._server.stop()
        await asyncio.wait({task}, timeout=1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _claim_address(self) -> None:
        """Find out now and in our own words whether the address can be had."""
        if self.listen.path:
            # A socket file outlives a killed owner; the data folder's lock says that it is ours.
            self.listen.path.unlink(missing_ok=True)
            return
        family = socket.AF_INET6 if ":" in self.listen.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.listen.host, self.listen.port))
            except OSError as bad:
                reason = why_not_bound(bad, self.listen.port)
                raise Fault(CANNOT_LISTEN, address=str(self.listen), reason=reason) from bad
            if self.listen.port == 0:
                port = probe.getsockname()[1]
                self.listen = msgspec.structs.replace(self.listen, port=port)

    async def _until_answering(self) -> None:
        for _ in range(500):
            if self._task is not None and self._task.done():
                await self._task
            try:
                _, writer = await self._connect()
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            return
        raise Fault(CANNOT_LISTEN, address=str(self.listen), reason="no answer within 5 s")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.listen.path:
            return await asyncio.open_unix_connection(str(self.listen.path))
        return await asyncio.open_connection(self.listen.host, self.listen.port)
