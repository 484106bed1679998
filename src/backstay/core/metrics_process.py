"""What the operating system knows about this process, read at the scrape."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from backstay.core.system import Metric

_CPU = Metric("process_cpu_seconds_total", "counter", "User and system CPU time in seconds")
_START = Metric("process_start_time_seconds", "gauge", "Start in seconds since the epoch")
_RSS = Metric("process_resident_memory_bytes", "gauge", "Resident memory in bytes")
_FDS = Metric("process_open_fds", "gauge", "Open file descriptors")
_MAX_FDS = Metric("process_max_fds", "gauge", "Limit of open file descriptors")


def process_samples(started: float) -> Iterator[tuple[Metric, float]]:
    """Standard process metrics; what this system does not tell is left out."""
    spent = os.times()
    yield _CPU, spent.user + spent.system
    yield _START, started
    yield _RSS, float(resident_bytes())
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            yield _FDS, float(len(os.listdir(folder)) - 1)  # noqa: PTH208 - counts, no paths
            break
        except OSError:
            continue
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield _MAX_FDS, float("inf") if limit == resource.RLIM_INFINITY else float(limit)


def resident_bytes() -> int:
    """What this process holds of the machine's memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        # Without /proc only the peak is known: bytes on macOS, kilobytes elsewhere.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
