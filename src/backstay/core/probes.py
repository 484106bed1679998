"""Probes that fit any process and any SQLite store of Backstay; guides give them a name.

`NAME.live` asks the control socket, `NAME.process` reads what the supervisor wrote, `NAME.exit`
why it ended last, `NAME.file` looks at the store file from outside.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from backstay.core.errors import Plain
from backstay.core.guide import Evidence, Probe, Target
from backstay.core.health import Outcome
from backstay.core.probing import (
    error_code,
    expected,
    last_exit,
    listener,
    lone_servers,
    look_inside,
    pid_life,
    process_state,
    seen,
)

LIVE = ("ready", "not-ready")
PROCESS = (
    "running",
    "starting",
    "restarting",
    "gave-up",
    "stopped",
    "killed",
    "suspended",
    "absent",
)
EXIT = ("never", "asked", "store", "settings", "port", "signal", "other")
FILE = ("fine", "missing", "not-writable", "read-only-disk", "damaged", "held", "absent")

STORE_CODES: Mapping[str, str] = {
    "CORE010": "locked",
    "CORE011": "not-writable",
    "CORE040": "full",
    "CORE041": "not-writable",
    "CORE042": "locked",
    "CORE043": "damaged",
    "CORE044": "failing",
    "CORE045": "failing",
    "CORE046": "gone",
    "CORE047": "other-version",
    "CORE048": "other-version",
}
"""What an error code of core.lock and core.sqlite says about a store, as a reading."""

_PHASES = {
    "ready": "running",
    "starting": "starting",
    "restarting": "restarting",
    "gave_up": "gave-up",
    "stopped": "stopped",
}
_EXITS = {"CORE001": "settings", "UP001": "port", "CORE110": "port"}
_SQLITE = b"SQLite format 3\x00"


def live_probe(name: str) -> Probe:
    """Does the process answer, and does it say that it is ready?"""
    ident = f"{name}.live"

    async def run(target: Target) -> Evidence:
        found = await look_inside(ident, target, name, "/live")
        if isinstance(found, Evidence):
            return found
        ready = bool(found.get("ready"))
        facts: dict[str, Plain] = {
            "process": name,
            "pid": found.get("pid"),
            "data": str(target.data),
        }
        return seen(
            ident, "ready" if ready else "not-ready", "pass" if ready else "warn", found, **facts
        )

    return Probe(ident, f"does the process {name} answer", "inside", LIVE, run)


def process_probe(name: str) -> Probe:
    """What does the supervisor know of the process, and is its pid alive?"""
    ident = f"{name}.process"

    async def run(target: Target) -> Evidence:
        known = process_state(target, name)
        if not known:
            return seen(ident, "absent", "skip", process=name, data=str(target.data))
        life = pid_life(known.get("pid"))
        phase = _PHASES.get(str(known.get("state")), "stopped")
        reading = phase
        if phase in ("running", "starting") and life in ("dead", "suspended"):
            reading = "killed" if life == "dead" else "suspended"
        reason, code = last_exit(target, name)
        outcome: Outcome = "fail"
        if reading != "gave-up" and not expected(target, name):
            outcome = "skip"  # what nobody keeps running is not missed
        elif reading in ("running", "starting"):
            outcome = "pass" if reading == "running" else "warn"
        return seen(
            ident,
            reading,
            outcome,
            known,
            process=name,
            pid=known.get("pid"),
            restarts=known.get("restarts", 0),
            exit_code=code,
            exit_reason=reason,
            data=str(target.data),
        )

    return Probe(ident, f"what became of the process {name}", "outside", PROCESS, run)


def exit_probe(name: str) -> Probe:
    """Why did the process end last? It counts only while the process does not run."""
    ident = f"{name}.exit"

    async def run(target: Target) -> Evidence:
        known = process_state(target, name)
        reason, code = last_exit(target, name)
        reading = _exit_kind(reason, code)
        facts: dict[str, Plain] = {
            "process": name,
            "exit_code": code,
            "exit_reason": reason,
            "error": error_code(reason),
            "data": str(target.data),
        }
        runs = pid_life(known.get("pid")) == "alive" and known.get("state") == "ready"
        runs = runs or name in lone_servers(target)
        # A process that runs again has an old reason: history, no evidence about now.
        if runs or reading in ("never", "asked"):
            return seen(ident, "asked" if reason else "never", "skip" if runs else "pass", **facts)
        if reading in ("signal", "other") and not expected(target, name):
            return seen(ident, reading, "skip", **facts)  # it went down with its supervisor
        return seen(ident, reading, "fail", **facts)

    return Probe(ident, f"why the process {name} ended last", "outside", EXIT, run)


def file_probe(name: str, file: str) -> Probe:
    """Is the store file there, whole, writable, and in nobody else's hands?"""
    ident = f"{name}.file"

    async def run(target: Target) -> Evidence:
        path = target.data / file
        owner = process_state(target, name).get("pid") or listener(target, name)
        reading, why = _file_reading(path, owner)
        if reading == "missing" and not process_state(target, name):
            return seen(ident, "absent", "skip", path=str(path))
        outcome: Outcome = "pass" if reading == "fine" else "fail"
        return seen(ident, reading, outcome, path=str(path), why=why, data=str(target.data))

    return Probe(ident, f"the state of the file {file}", "outside", FILE, run)


def _exit_kind(reason: str, code: int | None) -> str:
    if not reason and code is None:
        return "never"
    known = error_code(reason)
    if known in STORE_CODES:
        return "store"
    if known in _EXITS:
        return _EXITS[known]
    if code == 0:
        return "asked"
    return "signal" if code is not None and code < 0 else "other"


def _file_reading(path: Path, owner: object) -> tuple[str, str]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "missing", f"{path} does not exist"
    except OSError as failure:
        return "not-writable", f"{path}: {failure.strerror}"
    if not stat.S_ISREG(mode):
        return "damaged", f"{path} is not a regular file"
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "read-only-disk", f"{path.parent} is mounted read-only"
    if not mode & 0o222:
        return "not-writable", f"{path} has mode {stat.S_IMODE(mode):04o}"
    if not os.access(path, os.W_OK):
        return "not-writable", f"uid {os.geteuid()} may not write to {path}"
    if not os.access(path.parent, os.W_OK) or not path.parent.stat().st_mode & 0o222:
        return "not-writable", f"the folder {path.parent} cannot be written to"
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    if head and head != _SQLITE:
        return "damaged", f"{path} does not begin as an SQLite file does"
    holder = _foreign_writer(path, owner)
    if holder:
        return "held", f"process {holder} holds a write lock on {path}"
    return "fine", ""


def _foreign_writer(path: Path, owner: object) -> int:
    """The pid of another program that holds a write lock on the store; 0 when none is seen."""
    inodes = set()
    for part in (path, path.with_name(path.name + "-shm")):
        try:
            found = part.stat()
        except OSError:
            continue
        inodes.add(f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}")
    try:
        table = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    for row in table:
        fields = row.split()
        # A waiting lock has "->" after its number.
        if "->" in fields[:2] or len(fields) < 6 or fields[3] != "WRITE":
            continue
        if fields[5] in inodes and fields[4] != str(owner) and fields[4].isdigit():
            return int(fields[4])
    return 0
