"""What probes of troubleshooting guides are made of: looking without touching, and evidence that is
redacted before it exists.

Probes only read. Helpers here raise what they meet; `core.guide` readings are chosen by the probe.
"""

import asyncio
import hashlib
import http.client
import os
import re
import socket
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from backstay.core.control import ControlSilent, ask
from backstay.core.errors import Fault, Plain
from backstay.core.guide import FORBIDDEN, LATE, SILENT, Evidence, Target
from backstay.core.health import Outcome
from backstay.core.redact import redactor

_BODY_LIMIT = 262_144
_CREDENTIALS = struct.Struct("3i")
"""A pid, a user and a group, as Linux tells them of a socket's other side."""
_CODE = re.compile(r"\b([A-Z]{2,6}[0-9]{3})\b")


def seen(
    probe: str, reading: str, outcome: Outcome, captured: object = None, **facts: Plain
) -> Evidence:
    """Evidence of one look. `captured` is what was looked at (bytes, text or JSON): its redacted
    form is hashed, so that a bundle can prove what a verdict stood on."""
    clean = redactor().redact_plain(dict(facts))
    return Evidence(
        probe=probe,
        reading=reading,
        outcome=outcome,
        facts=clean,
        sha256=_digest(facts if captured is None else captured),
    )


async def look_inside(
    probe: str, target: Target, name: str, route: str, deadline: float = 0.8
) -> Any | Evidence:
    """JSON that the process `name` answers on its control socket, or the evidence of its silence:
    `silent`, `late` or `forbidden`. Silence counts only where a supervisor keeps it alive; who is
    late has taken the question, so it lives and is to answer."""
    socket = target.runtime / f"{name}.ctl"
    facts: dict[str, Plain] = {"process": name, "data": str(target.data)}
    try:
        return await ask(socket, route, deadline * target.patience)
    except ControlSilent as quiet:
        late = quiet.why == "late"
        if late:
            facts["pid"] = listener(target, name) or None
        reading = LATE if late else SILENT
        outcome: Outcome = "fail" if late or expected(target, name) else "skip"
        return seen(probe, reading, outcome, reason=quiet.cause, **facts)
    except PermissionError:
        return seen(probe, FORBIDDEN, "unknown", reason="not this user's process", **facts)
    except Fault as refused:
        # It lives and does not know the question: an older version, or not built in.
        return seen(probe, SILENT, "skip", reason=refused.message, **facts)


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer seen from outside."""

    status: int
    body: bytes

    def json(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return {}


async def fetch(url: str, deadline: float = 0.8, headers: Mapping[str, str] | None = None) -> Reply:
    """GET as any outsider would. Raises OSError, TimeoutError or http.client.HTTPException."""
    return await asyncio.to_thread(_get, url, deadline, dict(headers or {}))


def _get(url: str, deadline: float, headers: Mapping[str, str]) -> Reply:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=deadline, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=deadline)
    try:
        path = parts.path or "/"
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(_BODY_LIMIT))
    finally:
        connection.close()


def read_state(target: Target) -> Mapping[str, Any]:
    """`state.json` of the supervisor; empty when there is none."""
    try:
        raw = (target.runtime / "state.json").read_bytes()
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return {}


def process_state(target: Target, name: str) -> Mapping[str, Any]:
    """What `state.json` says of one process; empty when it does not name it."""
    processes = read_state(target).get("processes")
    found = processes.get(name) if isinstance(processes, dict) else None
    return found if isinstance(found, dict) else {}


def lone_servers(target: Target) -> dict[str, int]:
    """Processes that were started on the data folder by themselves, without a supervisor, with
    their pids (0 where the system does not tell): those whose control sockets somebody listens to.
    Empty where a supervisor is or was."""
    if read_state(target):
        return {}
    paths = sorted(target.runtime.glob("*.ctl"))
    found = {path.stem: _listener(path) for path in paths}
    return {name: pid for name, pid in found.items() if pid is not None}


def listener(target: Target, name: str) -> int:
    """The pid of the process `name`, as its control socket tells; 0 when that is not known."""
    return _listener(target.runtime / f"{name}.ctl") or 0


def _listener(path: Path) -> int | None:
    """The pid behind a socket, even of a process too busy to answer; None when nobody listens."""
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(0.3)
            asking.connect(str(path))
            if not hasattr(socket, "SO_PEERCRED"):
                return 0
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid: int = _CREDENTIALS.unpack(told)[0]
            return pid
    except OSError:
        return None


def expected(target: Target, name: str) -> bool:
    """Whether a living supervisor keeps this process: only then its silence says something."""
    return bool(process_state(target, name)) and pid_life(read_state(target).get("pid")) == "alive"


def last_exit(target: Target, name: str) -> tuple[str, int | None]:
    """Why a process ended last: reason and exit code, from what it wrote itself, else from the
    supervisor. `("", None)` when it never ended."""
    kept = process_state(target, name).get("last_exit")
    told = kept if isinstance(kept, dict) else {}
    try:
        raw = (target.runtime / f"{name}.exit.json").read_bytes()
        own = msgspec.json.decode(raw, type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        own = {}
    source = told or own
    code = source.get("code")
    return str(source.get("reason", "")), code if isinstance(code, int) else None


def error_code(text: str) -> str:
    """The first catalogue code (`CORE041`) in a text; "" without one."""
    found = _CODE.search(text)
    return found[1] if found else ""


def pid_life(pid: object) -> str:
    """`alive`, `suspended` (by a signal or a debugger), `dead`, or `unknown`."""
    if not isinstance(pid, int) or pid <= 0:
        return "dead"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except PermissionError:
        return "alive"
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return "alive"  # no /proc here
    state = stat.rpartition(")")[2].split()[0]
    return {"T": "suspended", "t": "suspended", "Z": "dead", "X": "dead"}.get(state, "alive")


def _digest(captured: object) -> str:
    if isinstance(captured, bytes):
        text = captured.decode("utf-8", "replace")
    elif isinstance(captured, str):
        text = captured
    else:
        text = msgspec.json.encode(captured, enc_hook=str, order="sorted").decode()
    return hashlib.sha256(redactor().redact(text).encode("utf-8", "replace")).hexdigest()
