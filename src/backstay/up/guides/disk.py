"""The disk under the data folder is nearly full: stores stop taking writes when it is."""

import os

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import seen

_DISK = "disk.free"
_MIB = 1_048_576
_FULL_SHARE, _FULL_BYTES = 0.02, 16 * _MIB
_LOW_SHARE, _LOW_BYTES = 0.10, 2048 * _MIB


async def _look_at_disk(target: Target) -> Evidence:
    folder = target.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    found = os.statvfs(folder)
    # `bavail`: what root keeps for itself is no room for us.
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    share = free / size if size else 1.0
    inodes = found.f_favail / found.f_files if found.f_files else 1.0
    facts: dict[str, Plain] = {
        "folder": str(folder),
        "free_mib": free // _MIB,
        "size_mib": size // _MIB,
        "free_percent": round(share * 100, 1),
        "free_inodes_percent": round(inodes * 100, 1),
        "data": str(target.data),
    }
    if inodes < _FULL_SHARE:
        return seen(_DISK, "no-inodes", "fail", **facts)
    if share < _FULL_SHARE or free < _FULL_BYTES:
        return seen(_DISK, "full", "fail", **facts)
    if share < _LOW_SHARE and free < _LOW_BYTES:
        return seen(_DISK, "low", "warn", **facts)
    return seen(_DISK, "plenty", "pass", **facts)


DISK = Probe(
    _DISK,
    "how much room the disk of the data folder has",
    "outside",
    ("plenty", "low", "full", "no-inodes"),
    _look_at_disk,
)

DISK_FULL = Guide(
    id="disk-full",
    title="The disk of the data folder fills up",
    seed="codeq: storage; ai-platform: Memory and CPU close to their limit",
    symptoms=(
        Symptom("text", r"no space left|ENOSPC|disk (is )?full|CORE040|SQLITE_FULL", "a full disk"),
        Symptom("state", f"{_DISK}=low", "little room left"),
    ),
    probes=(DISK,),
    causes=(
        Cause(
            "disk-nearly-full",
            "the disk of {folder} is nearly full: {free_mib} MiB ({free_percent} %) left",
            0.05,
            {
                _DISK: {"low": 0.45, "full": 0.5},
                "queue.store": {"writable": 0.6, "full": 0.37},
                "app.database": {"works": 0.6, "full": 0.37},
            },
            ("make-room", "purge"),
        ),
        Cause(
            "no-inodes",
            "the file system of {folder} has no inodes left, though {free_mib} MiB are free",
            0.02,
            {_DISK: {"no-inodes": 0.95}},
            ("make-room",),
        ),
    ),
    fixes=(
        Fix(
            "make-room",
            "See what takes the room, remove what is not needed, or enlarge the disk",
            "du -xh -d 2 {folder} | sort -h | tail -20",
            "none",
        ),
        Fix(
            "purge",
            "Old logs of Backstay may go",
            "rm {data}/logs/*.log.*",
            "data",
        ),
    ),
    escalation="no accepted work is lost: stores refuse new work until there is room again",
)
