"""The process that serves `/intent`: dead, slow, or large."""

import re
from pathlib import Path

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen
from backstay.core.process_guide import process_guide
from backstay.patchgen.guides.message import MESSAGE
from backstay.patchgen.guides.message import PROBE as MESSAGES
from backstay.patchgen.trace import SLOW_SECONDS

_PACE = "patchgen.pace"
_MEMORY = "patchgen.memory"
_NETWORK = re.compile(r"^(nfs\d?|cifs|smb\w*|9p|ceph|glusterfs|afs|fuse\.(sshfs|s3fs|gcsfuse))$")

DEAD = process_guide(
    "patchgen",
    seed="patchgen: HTTP API Integration",
    symptoms=(
        Symptom("text", r"/intent.*(50[234]|refused|unreachable)", "the route fails"),
        Symptom("text", r"patchgen (cannot be reached|.*not reachable)", "no patchgen"),
    ),
    keeps="packages are on the disk; an intent that got no answer can be sent again",
    inside=("patchgen.output", _PACE, _MEMORY),
)


async def _look_at_pace(target: Target) -> Evidence:
    found = await look_inside(_PACE, target, "patchgen", "/probe/patchgen.pace")
    if isinstance(found, Evidence):
        return found
    seconds = float(found.get("slowest_seconds", 0.0))
    path = str(found.get("path", ""))
    kind = file_system_of(path)
    facts: dict[str, Plain] = {
        "path": path,
        "slowest_seconds": round(seconds, 3),
        "file_system": kind,
    }
    if seconds <= SLOW_SECONDS and not found.get("abandoned"):
        return seen(_PACE, "quick", "pass", found, **facts)
    reading = "slow-network" if _NETWORK.match(kind) else "slow"
    return seen(_PACE, reading, "fail", found, **facts)


async def _look_at_memory(target: Target) -> Evidence:
    found = await look_inside(_MEMORY, target, "patchgen", "/probe/patchgen.memory")
    if isinstance(found, Evidence):
        return found
    facts: dict[str, Plain] = {
        "resident_mib": found["resident"] // 1_048_576,
        "limit_mib": found["limit"] // 1_048_576,
    }
    high = found["resident"] > found["limit"]
    return seen(_MEMORY, "high" if high else "fine", "warn" if high else "pass", found, **facts)


def file_system_of(path: str) -> str:
    """The type of the file system that holds `path` (`ext4`, `nfs4`); "" where it is not known."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines if len(line.split()) > 2]
    real = Path(path).absolute()
    holding = [found for found in mounts if real.is_relative_to(found[0].replace("\\040", " "))]
    return max(holding, key=lambda found: len(found[0]), default=["", ""])[1]


PACE = Probe(
    _PACE,
    "how long the last generations took",
    "inside",
    ("quick", "slow", "slow-network"),
    _look_at_pace,
)
MEMORY_PROBE = Probe(
    _MEMORY, "how much memory the process holds", "inside", ("fine", "high"), _look_at_memory
)

SLOW = Guide(
    id="generation-slow",
    title="Packages take longer than a second",
    seed="patchgen: Slow Package Generation",
    symptoms=(
        Symptom("text", r"request timeout|PATCH0(70|93)|generation (is )?slow", "it is slow"),
        Symptom("state", f"{_PACE}=slow", "generation is slow"),
    ),
    probes=(PACE,),
    causes=(
        Cause(
            "slow-disk",
            "the disk of {path} is slow: a generation took {slowest_seconds} s",
            0.05,
            {_PACE: {"slow": 0.95}},
            ("local", "group"),
        ),
        Cause(
            "network-disk",
            "{path} is on a network file system ({file_system}): {slowest_seconds} s",
            0.04,
            {_PACE: {"slow-network": 0.95}},
            ("local",),
        ),
    ),
    fixes=(
        Fix("local", "Use fast local storage", "PATCHGEN_OUTPUT_DIR=/var/lib/patches", "restart"),
        Fix("group", "Many at once share one sync", "patchgen batch FILES -output {path}", "none"),
    ),
    escalation="an antivirus scanner on the folder is the third usual reason",
)

MEMORY = Guide(
    id="patchgen-memory",
    title="patchgen holds much memory",
    seed="patchgen: Memory Usage Issues",
    symptoms=(Symptom("text", r"high memory usage", "the health object warns"),),
    probes=(MEMORY_PROBE, MESSAGES),
    causes=(
        Cause(
            "memory-high",
            "patchgen holds[[ {resident_mib} MiB; the limit is {limit_mib} MiB]] too much memory",
            0.05,
            {_MEMORY: {"high": 0.95}, MESSAGE: {"memory": 0.9}},
            ("profile", "restart"),
        ),
    ),
    fixes=(
        Fix(
            "profile",
            "See what holds it",
            "go tool pprof http://127.0.0.1:8086/debug/pprof/heap",
            "none",
        ),
        Fix("restart", "Start it anew", "backstay restart patchgen --data {data}", "restart"),
    ),
    escalation="patchgen batch collects every 100 items and stays below 150 MB",
)
