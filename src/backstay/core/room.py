"""What a process has of the machine, seen from outside: how much memory is left to it, and how
much of a processor it takes."""

import asyncio
import re
import resource
from pathlib import Path

import msgspec


class Room(msgspec.Struct, frozen=True):
    """Bytes used of a limit (0: there is none), and whose limit it is."""

    used: int
    limit: int
    whose: str

    def near(self, share: float) -> bool:
        """Whether more than this share of the limit is used."""
        return bool(self.limit) and self.used >= share * self.limit


def room_of(pid: int) -> Room:
    """Of a process of this user; without /proc nothing is known."""
    try:
        fields = dict(re.findall(r"(\w+):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()))
    except OSError:
        return Room(0, 0, "")
    resident, data = (int(fields.get(name, 0)) * 1024 for name in ("VmRSS", "VmData"))
    found = [Room(resident, _group_limit(pid), "the container's")]
    if hasattr(resource, "prlimit"):
        soft = resource.prlimit(pid, resource.RLIMIT_DATA)[0]
        found.append(Room(data, max(0, soft), "the process's"))
    limited = [one for one in found if one.limit]
    return max(limited, key=lambda one: one.used / one.limit, default=Room(resident, 0, ""))


def _group_limit(pid: int) -> int:
    try:
        path = Path(f"/proc/{pid}/cgroup").read_text().strip().splitlines()[-1].partition("::")[2]
        text = Path(f"/sys/fs/cgroup{path}/memory.max").read_text().strip()
    except (OSError, IndexError):
        return 0
    return int(text) if text.isdigit() else 0


def open_files(pid: int) -> tuple[int, int]:
    """How many files a process of this user has open, and how many it may have (0: not told)."""
    try:
        count = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        most = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] if pid else 0
    except OSError:
        return 0, 0
    return count, max(0, most)


async def busy_share(pid: int, seconds: float = 0.3) -> float:
    """How much of one processor the main thread of a process wants while we look, whether others
    leave it that much or not; 0.0 where that is not told."""
    before = wanted_seconds(str(pid))
    await asyncio.sleep(seconds)
    return max(0.0, wanted_seconds(str(pid)) - before) / seconds


def wanted_seconds(who: str = "thread-self") -> float:
    """How long a thread (its own, or the main one of a pid) has run or waited for a processor."""
    try:
        ran, waited, _ = Path(f"/proc/{who}/schedstat").read_text("ascii").split()
    except (OSError, ValueError):
        return 0.0
    return (int(ran) + int(waited)) / 1e9
