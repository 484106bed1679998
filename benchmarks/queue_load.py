"""The load tool of the queue benchmarks: HTTP/1.1 written and read by hand on raw sockets, so that
what is measured is the server. Bodies are prepared bytes; of an answer only its end is looked for.

    fast = Load("127.0.0.1:8080")
    await fast.run(connections, seconds, cycle)

`cycle` is a coroutine function of one `Connection`; it gives how many tasks it finished.
"""

import asyncio
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

PREFIX = "/v1/codeq"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None
        self._have = b""
        self._need = 0
        self.times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def length(self, have: bytes) -> int:
        """Of the answer that begins here; 0 as long as that cannot be told."""
        end = have.find(b"\r\n\r\n")
        if end < 0:
            return 0
        found = _LENGTH.search(have, 0, end)
        return end + 4 + (int(found[1]) if found else 0)

    def data_received(self, data: bytes) -> None:
        self._have += data
        self._need = self._need or self.length(self._have)
        if not self._need:
            return
        if len(self._have) >= self._need:
            answer, self._have, self._need = self._have, b"", 0
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(answer)

    def connection_lost(self, failure: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failure or ConnectionError("closed"))

    async def ask(self, request: bytes) -> bytes:
        """The whole answer; its time is kept."""
        self._answer = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self.transport.write(request)
        answer = await self._answer
        self.times.append(time.perf_counter() - began)
        return answer


Cycle = Callable[[Connection], Awaitable[int]]


def post(path: str, body: bytes = b"", prefix: str = PREFIX) -> bytes:
    """One request as bytes."""
    head = f"POST {prefix}{path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body


def get(path: str, prefix: str = PREFIX) -> bytes:
    return f"GET {prefix}{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


def status(answer: bytes) -> int:
    return int(answer[9:12])


async def connect(port: int, kind: type[Connection] = Connection) -> Connection:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(kind, "127.0.0.1", port)
    return made


class Figures:
    """What one run measured."""

    def __init__(self, done: int, took: float, own_cpu: float, times: Sequence[float]) -> None:
        self.rate = done / took
        self.asked = len(times) / took
        self.own_cpu = own_cpu / took
        self.requests = len(times)
        self.done = done
        self.took = took
        self.times = sorted(times)

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return self.times[min(len(self.times) - 1, int(len(self.times) * share))] * 1000


async def run(
    port: int,
    connections: int,
    seconds: float,
    cycle: Cycle,
    kind: type[Connection] = Connection,
) -> Figures:
    """`cycle` over and over on each of `connections`, for `seconds`."""
    made = [await connect(port, kind) for _ in range(connections)]
    until = time.perf_counter() + seconds
    before, began = _own_cpu(), time.perf_counter()

    async def one(connection: Connection) -> int:
        done = 0
        while time.perf_counter() < until:
            done += await cycle(connection)
        return done

    done = sum(await asyncio.gather(*map(one, made)))
    took = time.perf_counter() - began
    used = _own_cpu() - before
    for connection in made:
        connection.transport.close()
    return Figures(done, took, used, [t for connection in made for t in connection.times])


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Process:
    """A server in a process of its own, its log in a file. `command` is made for a free port."""

    def __init__(
        self, command: Callable[[int], list[str]], log: Path, env: dict[str, str] | None = None
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = log.open("wb")
        self.process = subprocess.Popen(
            command(self.port), stdout=self.log, stderr=self.log, env=os.environ | (env or {})
        )
        self._wait()

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident megabytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def _wait(self) -> None:
        for _ in range(1500):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        raise SystemExit(f"{self.process.args} did not start; see its log")


@contextmanager
def running(
    command: Callable[[Path, int], list[str]], env: dict[str, str] | None = None
) -> Iterator[Process]:
    """`command` is made for a folder and a port."""
    with tempfile.TemporaryDirectory(prefix="backstay-bench-") as name:
        place = Path(name)
        data = place / "data"
        data.mkdir(mode=0o700)
        server = Process(lambda port: command(data, port), place / "log", env)
        try:
            yield server
        finally:
            server.stop()


def serving(env: dict[str, str] | None = None) -> AbstractContextManager[Process]:
    """A real `codeq-server` with its defaults."""
    codeq = [sys.executable, "-m", "backstay.cli.codeq_server"]
    return running(
        lambda data, port: [*codeq, "--listen", f"127.0.0.1:{port}", "--data", str(data)], env
    )


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
