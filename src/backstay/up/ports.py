"""Ports: picked free once and remembered, and who holds one that is taken."""

import errno
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from backstay.core.clock import SystemDice
from backstay.core.errors import Fault
from backstay.core.runtime import write_atomically
from backstay.up.errors import PORT_TAKEN

_LISTENING = "0A"
_LSOF_SECONDS = 0.8
_QUIET = (20_000, 32_000)
_TRIES = 100


def remembered(data: Path, names: Iterable[str]) -> dict[str, int]:
    """A port for each name: the one of the last start, else a free one that is kept from now on."""
    file = data / "ports.json"
    kept = msgspec.json.decode(file.read_bytes(), type=dict[str, int]) if file.is_file() else {}
    ports = dict(kept)
    for name in names:
        if name not in ports:
            ports[name] = free_port()
    if ports != kept:
        write_atomically(file, msgspec.json.encode(ports))
    return ports


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on, below those that the kernel hands out to outgoing connections:
    one that is remembered for the next start is not taken by chance meanwhile."""
    dice = SystemDice()
    for candidate in (int(dice.uniform(*_QUIET)) for _ in range(_TRIES)):
        if _binds(host, candidate):
            return candidate
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _binds(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def demand_free(host: str, port: int, purpose: str) -> None:
    """Raises UP001, which names the holder, when the port cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # What a server does: an old connection in TIME_WAIT is no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failed:
            who = holder(port) if failed.errno == errno.EADDRINUSE else (failed.strerror or "?")
            raise Fault(
                PORT_TAKEN,
                port=port,
                host=host,
                holder=who,
                purpose=purpose,
                other=free_port("127.0.0.1"),
            ) from failed


def holder(port: int) -> str:
    """`nginx (pid 812)`, or what can be said when the system does not let us look."""
    if Path("/proc/net/tcp").is_file():
        return _linux_holder(port)
    return _lsof_holder(port)


def _linux_holder(port: int) -> str:
    inodes = _listening_inodes(port)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = {str(handle.readlink()) for handle in (process / "fd").iterdir()}
        except OSError:
            continue  # another user's process, or one that ended meanwhile
        if any(f"socket:[{inode}]" in links for inode in inodes):
            return f"{_command(process)} (pid {process.name})"
    return "a program of another user" if inodes else "a program that cannot be seen"


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[9])
    return found


def _command(process: Path) -> str:
    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return words.strip()[:120] or (process / "comm").read_text().strip()


def _lsof_holder(port: int) -> str:
    lsof = shutil.which("lsof")
    if lsof is None:
        return "another program"
    asked = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    try:
        done = subprocess.run(
            asked, capture_output=True, text=True, timeout=_LSOF_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "another program"
    facts = {line[0]: line[1:] for line in done.stdout.splitlines() if line}
    return f"{facts['c']} (pid {facts['p']})" if {"c", "p"} <= facts.keys() else "another program"
