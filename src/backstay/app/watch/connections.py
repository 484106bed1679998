"""The connections of the HTTP face, as the system's own table shows them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

_ESTABLISHED = "01"
_STUCK = 16 * 1024
"""Bytes on their way to a client that are more than a busy network holds back."""


class Clients(msgspec.Struct, frozen=True):
    """`open` are served, `waiting` are not accepted yet, `deaf` take none of what is sent to them
    (`held` bytes). All 0 where the system has no such table."""

    open: int = 0
    waiting: int = 0
    deaf: int = 0
    held: int = 0


def clients(port: int) -> Clients:
    """Of the TCP port of this machine; 0 is none."""
    found = [_of(fields) for fields in _rows(port)] if port else []
    stuck = [held for _, held in found if held >= _STUCK]
    served = sum(accepted for accepted, _ in found)
    return Clients(served, len(found) - served, len(stuck), sum(stuck))


def _rows(port: int) -> Iterator[list[str]]:
    ours = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(ours) and fields[3] == _ESTABLISHED:
                yield fields


def _of(fields: list[str]) -> tuple[bool, int]:
    """Whether it was accepted (only then it has an inode), and the bytes that wait for it."""
    return fields[9] != "0", int(fields[4].partition(":")[0], 16)
