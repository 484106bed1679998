"""Who listens on a port of this machine that is taken."""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"
_LSOF_SECONDS = 0.8


def why_not_bound(failed: OSError, port: int) -> str:
    """Why an address could not be had: of one that is taken, by whom."""
    if failed.errno == errno.EADDRINUSE and port:
        return f"it is taken by {holder(port)}"
    return failed.strerror or str(failed)


def holder(port: int) -> str:
    """`nginx (pid 812)`, or what can be said when the system does not let us look."""
    if Path("/proc/net/tcp").is_file():
        return _linux_holder(port)
    return _lsof_holder(port)


def _linux_holder(port: int) -> str:
    inodes = _listening_inodes(port)
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir() if wanted else ():
        if process.name.isdigit() and not wanted.isdisjoint(_opened(process)):
            return f"{_command(process)} (pid {process.name})"
    return "a program of another user" if inodes else "a program that cannot be seen"


def _opened(process: Path) -> Iterator[str]:
    """What its file descriptors lead to; nothing of another user's process, or one that ended."""
    with suppress(OSError):
        for handle in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile: the others are still there
                yield str(handle.readlink())


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
