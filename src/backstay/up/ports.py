"""Ports: picked free once and remembered, or demanded."""

import errno
import socket
from collections.abc import Iterable
from pathlib import Path

import msgspec

from backstay.core.clock import SystemDice
from backstay.core.errors import Fault
from backstay.core.port_holder import holder
from backstay.core.runtime import write_atomically
from backstay.up.errors import PORT_TAKEN

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
