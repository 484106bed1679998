"""Real sockets on both sides: a gateway as it is built in production, upstreams and clients that
are scripted by hand so that they can misbehave. Each gateway must end with nothing in use."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from backstay.core.clock import Clock, SystemClock, Uuid7
from backstay.core.context import LOCAL, Principal
from backstay.core.health import Board, Check
from backstay.core.metrics import Registry
from backstay.core.profiling.api import Profiles
from backstay.gateway.build import Parts, assemble
from backstay.gateway.metrics import METRICS
from backstay.gateway.settings import GatewaySettings, RouteSpec, Upstream
from backstay.up.ports import free_port

READY_SECONDS = 15.0
PATIENCE = 5.0
"""Seconds after which a test gives up waiting for what must happen."""

Script = Callable[["Call"], Awaitable[None]]


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, object]:
    """The loop of production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for socket paths, whatever the test is called."""
    made = Path(tempfile.mkdtemp(prefix="bsgw"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def eventually(holds: Callable[[], object]) -> None:
    """Poll until `holds()` is true, for at most PATIENCE seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not holds():
        assert loop.time() < end, "it did not happen in time"
        await asyncio.sleep(0.002)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return eventually


class Reply(msgspec.Struct):
    """An answer as a client saw it; header names in lower case, in the order of arrival."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> dict[str, object]:
        found: dict[str, object] = msgspec.json.decode(self.body)
        return found


async def read_head(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]]]:
    """First line and headers."""
    raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = raw[:-4].split("\r\n")
    split = [line.split(":", 1) for line in lines]
    return first, [(name.lower(), value.strip()) for name, value in split]


async def read_body(reader: asyncio.StreamReader, headers: list[tuple[str, str]]) -> bytes | None:
    """The body by its framing; None when only the end of the connection would end it."""
    fields = dict(headers)
    if fields.get("transfer-encoding") == "chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        assert await reader.readline() == b"\r\n"
        return b"".join(parts)
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    return None


class Client:
    """A hand-written HTTP client; says exactly the bytes it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head: bool = False) -> Reply:
        """The next answer. Raises IncompleteReadError when it is cut."""
        async with asyncio.timeout(PATIENCE):
            first, headers = await read_head(self.reader)
            status = int(first.split(" ")[1])
            if head or status in (100, 204, 304):
                return Reply(status, headers, b"")
            body = await read_body(self.reader, headers)
            return Reply(status, headers, await self.reader.read() if body is None else body)

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: str = ""
    ) -> Reply:
        """A plain request on this connection."""
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n"
        await self.send(head.encode("latin-1") + (body or b""))
        return await self.reply(head=method == "HEAD")

    async def ended(self) -> bool:
        """Whether the other side has closed, after reading what was left."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()


class Call:
    """One request as an upstream saw it, and the pen to answer with."""

    def __init__(
        self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ):
        self.server = server
        self.reader = reader
        self.writer = writer
        self.first = ""
        self.headers: list[tuple[str, str]] = []
        self.body: bytes | None = None

    @property
    def target(self) -> str:
        return self.first.split(" ")[1]

    @property
    def method(self) -> str:
        return self.first.split(" ")[0]

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"ok", status: int = 200, headers: str = "") -> None:
        await self.say(
            f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
            + (b"" if self.method == "HEAD" else body)
        )


class Server:
    """An upstream that follows a script for each request."""

    def __init__(self, path: Path, script: Script, *, reads_body: bool = True) -> None:
        self.address = f"unix:{path}"
        self.path = path
        self.script = script
        self.connections = 0
        self.open = 0
        self.calls: list[Call] = []
        self._reads_body = reads_body
        self._server: asyncio.AbstractServer | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection, as a restart would."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        try:
            while True:
                call = Call(self, reader, writer)
                call.first, call.headers = await read_head(reader)
                self.calls.append(call)
                if self._reads_body:
                    call.body = await read_body(reader, call.headers)
                await self.script(call)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()


class Allow:
    """A judge that lets everybody in as whom a test wants."""

    def __init__(self, principal: Principal = LOCAL) -> None:
        self.principal = principal

    async def judge(self, peer: str, method: str, headers: object) -> Principal:
        return self.principal


class Running:
    """A gateway that listens."""

    def __init__(self, parts: Parts, registry: Registry, board: Board) -> None:
        self.board = board
        self.parts = parts
        self.registry = registry
        self.clients: list[Client] = []

    @property
    def port(self) -> int:
        return self.parts.gateway.address.port

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20))
        self.clients.append(client)
        return client

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: str = ""
    ) -> Reply:
        """One request on a connection of its own."""
        client = await self.connect()
        reply = await client.ask(method, path, body, headers)
        client.close()
        return reply

    def quiet(self) -> bool:
        """No request, no pool slot in use, nobody waiting."""
        pools = self.parts.pools.values()
        used = sum(pool.in_use + pool.waiting + pool.connecting for pool in pools)
        return used == 0 and self.parts.gateway.gate.in_flight == 0


StartServer = Callable[..., Awaitable[Server]]
StartGateway = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve(folder: Path) -> AsyncIterator[StartServer]:
    """`await serve(script)`: an upstream."""
    servers: list[Server] = []

    async def start(script: Script, *, reads_body: bool = True) -> Server:
        server = Server(folder / f"u{len(servers)}.sock", script, reads_body=reads_body)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def proxy(folder: Path) -> AsyncIterator[StartGateway]:
    """`await proxy(server, …)`: a gateway with `/u` (unary), `/l` (long) and `/s` (stream)."""
    made: list[Running] = []

    async def start(
        server: Server | str | None = None,
        *,
        clock: Clock | None = None,
        judge: Allow | None = None,
        upstreams: tuple[Upstream, ...] | None = None,
        **settings: object,
    ) -> Running:
        clock = clock or SystemClock()
        address = server.address if isinstance(server, Server) else server or "127.0.0.1:9"
        given = GatewaySettings(**{"listen": "127.0.0.1:0", "unary_timeout": 3.0, **settings})  # type: ignore[arg-type]
        registry = Registry(METRICS, clock)
        table = upstreams if upstreams is not None else (upstream_at(address),)
        checks: list[Check] = []
        board = Board(clock, "1.0", checks)
        seen = Profiles("gateway", clock)
        parts = assemble(given, table, judge or Allow(), clock, Uuid7(clock), registry, board, seen)
        checks.extend(parts.checks)
        await parts.gateway.start()
        made.append(Running(parts, registry, board))
        return made[-1]

    yield start
    for running in made:
        for client in running.clients:
            client.close()
        await eventually(running.quiet)
        await running.parts.gateway.stop()
        await eventually(lambda gate=running.parts.gateway.gate: not gate.connections)


def upstream_at(address: str, name: str = "up") -> Upstream:
    """The upstream of most tests."""
    return Upstream(
        name=name,
        address=address,
        routes=(
            RouteSpec("/u"),
            RouteSpec("/l", "long"),
            RouteSpec("/s", "stream"),
            RouteSpec("/u/small", max_body=10),
            RouteSpec("/u/token", auth="token"),
            RouteSpec("/u/admin", auth="admin"),
        ),
    )


@pytest.fixture
def client_to() -> Callable[[Path], Awaitable[Client]]:
    """A client on an upstream's own socket."""

    async def connect(path: Path) -> Client:
        return Client(*await asyncio.open_unix_connection(str(path)))

    return connect


class Command:
    """`backstay gateway …` as a process, with the environment of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY", "JWT", "LOG"))}
        self.env = {**kept, "BACKSTAY_RUNTIME": str(folder)}
        self.started: list[asyncio.subprocess.Process] = []

    async def start(self, *words: str, **env: str) -> asyncio.subprocess.Process:
        return await self.start_module("backstay", "gateway", *words, **env)

    async def start_module(
        self, module: str, *words: str, **env: str
    ) -> asyncio.subprocess.Process:
        """A console script by its module."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"backstay.cli.{module}", *words),
            env=self.env | env,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.started.append(process)
        return process

    async def run(self, *words: str, **env: str) -> tuple[int | None, str, str]:
        """(exit code, standard output, standard error) of a command that ends."""
        process = await self.start(*words, **env)
        async with asyncio.timeout(READY_SECONDS):
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def serve(self, *words: str, **env: str) -> asyncio.subprocess.Process:
        """The serving process, once it has said that it is ready."""
        listen = ("--listen", f"127.0.0.1:{self.port}", "--data", str(self.folder / "data"))
        return await self.ready(await self.start("serve", *listen, *words, **env))

    async def ready(self, process: asyncio.subprocess.Process) -> asyncio.subprocess.Process:
        """The same process, once it has said that it is ready."""
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(READY_SECONDS):
            while line := await process.stdout.readline():
                if msgspec.json.decode(line)["msg"] == "ready":
                    return process
        raise AssertionError((await process.stderr.read()).decode())

    async def stop(self, process: asyncio.subprocess.Process) -> list[dict[str, object]]:
        """Drain it; gives the log lines it wrote since it was ready."""
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(READY_SECONDS):
            out, _ = await process.communicate()
        return [msgspec.json.decode(line) for line in out.splitlines()]

    async def ask(self, method: str, path: str, headers: str = "") -> Reply:
        """One request to the serving process on a connection of its own."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        reply = await client.ask(method, path, headers=headers)
        client.close()
        return reply

    def url(self) -> tuple[str, str]:
        return ("--url", f"http://127.0.0.1:{self.port}")

    def table(self, *servers: Server) -> str:
        """An upstream table: `/u` and `/l` of the first server, `/u1` and `/l1` of the next, …"""
        rows = [
            {
                "name": f"up{n or ''}",
                "address": server.address,
                "routes": [{"prefix": f"/u{n or ''}"}, {"prefix": f"/l{n or ''}", "kind": "long"}],
            }
            for n, server in enumerate(servers)
        ]
        return msgspec.json.encode(rows).decode()


@pytest.fixture
async def command(folder: Path) -> AsyncIterator[Command]:
    made = Command(folder)
    yield made
    for process in made.started:
        if process.returncode is None:
            process.kill()
        # Also those that have ended: their pipes are open until they are read.
        await process.communicate()
