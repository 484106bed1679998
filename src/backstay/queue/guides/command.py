"""The command line: `codeq` is not found, or finds no server."""

import asyncio
import re
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import fetch, seen

_WHERE = "codeq.command"
_ANSWER = "codeq.answer"
_NOT_FOUND = r"codeq(-server)?: (command )?not found|command not found: codeq|No such .*\bcodeq\b"
_NO_SERVER = (
    r"QUEUE04[014]|QUEUE042: error \(50\d\)|codeq.*(refused|timed? ?out|unreachable)"
    r"|cannot connect to the queue"
)
_PATIENCE = 2.0
"""Seconds; a queue whose store hangs says so after as many, so the second look waits for longer."""


async def _look_for_command(target: Target) -> Evidence:
    """The command beside this very program is the one that was installed with it."""
    if not re.search(_NOT_FOUND, target.text, re.IGNORECASE):
        return seen(_WHERE, "found", "skip")
    own = Path(sys.executable).with_name("codeq")
    on_path = shutil.which("codeq")
    facts: dict[str, Plain] = {"folder": str(own.parent), "found": on_path or ""}
    if on_path:
        return seen(_WHERE, "found", "pass", **facts)
    return seen(_WHERE, "off-path" if own.exists() else "missing", "fail", **facts)


async def _look_for_server(target: Target) -> Evidence:
    """Only when the user could not reach it: else the guides of the processes speak."""
    if not re.search(_NO_SERVER, target.text, re.IGNORECASE):
        return seen(_ANSWER, "queue", "skip")
    address = _named(target)
    host = urlsplit(address).hostname or ""
    facts: dict[str, Plain] = {"address": address, "host": host}
    try:
        await asyncio.to_thread(socket.getaddrinfo, host, None)
        reply = await fetch(f"{address}/healthz", _PATIENCE * target.patience)
    except socket.gaierror as unknown:
        return seen(_ANSWER, "unresolvable", "fail", reason=str(unknown), **facts)
    except ConnectionRefusedError:
        return seen(_ANSWER, "refused", "fail", **facts)
    except TimeoutError:
        return seen(_ANSWER, "mute", "fail", **facts)
    except Exception as failure:  # noqa: BLE001 - whatever listens there does not speak HTTP
        return seen(_ANSWER, "foreign", "fail", said=type(failure).__name__, **facts)
    checks = reply.json().get("checks")
    if not isinstance(checks, dict):
        return seen(_ANSWER, "foreign", "fail", reply.body, said=f"HTTP {reply.status}", **facts)
    reading = "queue" if reply.status == 200 else "unwell"
    return seen(_ANSWER, reading, "pass" if reading == "queue" else "fail", reply.body, **facts)


def _named(target: Target) -> str:
    """The address in the user's words, else the one that is looked at."""
    found = re.search(r"https?://[^\s/'\"<>]+", target.text)
    return found[0].rstrip(".,:;)") if found else target.base_url


WHERE = Probe(
    _WHERE,
    "where is the command codeq",
    "outside",
    ("found", "off-path", "missing"),
    _look_for_command,
)
ANSWER = Probe(
    _ANSWER,
    "who answers at the address that codeq was given",
    "outside",
    ("queue", "unwell", "refused", "mute", "unresolvable", "foreign"),
    _look_for_server,
    deadline=2.5,
    cost=0.2,
)


def _cause(id: str, says: str, probe: str, reading: str, *fixes: str) -> Cause:
    return Cause(id, says, 0.05, {probe: {reading: 0.97}}, fixes)


COMMAND_MISSING = Guide(
    id="codeq-not-found",
    title="The command codeq is not found",
    seed="codeq: CLI Command Not Found",
    symptoms=(Symptom("text", _NOT_FOUND, "the shell knows no codeq"),),
    probes=(WHERE,),
    causes=(
        _cause(
            "not-on-path",
            "codeq is installed in {folder}, which is not on the PATH",
            _WHERE,
            "off-path",
            "add-to-path",
        ),
        _cause(
            "not-installed",
            "codeq is not installed beside this Backstay ({folder})",
            _WHERE,
            "missing",
            "install",
        ),
    ),
    fixes=(
        Fix("add-to-path", "Add its folder to the PATH", 'export PATH="$PATH:{folder}"', "none"),
        Fix(
            "install", "Install the package anew", "pip install --force-reinstall backstay", "none"
        ),
    ),
    escalation="which -a codeq shows every codeq of the PATH, in the order they are found",
)

NO_SERVER = Guide(
    id="codeq-no-server",
    title="codeq finds no server",
    seed="codeq: CLI Cannot Connect to API",
    symptoms=(Symptom("text", _NO_SERVER, "codeq reaches nothing"),),
    probes=(ANSWER,),
    causes=(
        _cause(
            "nobody-listens",
            "nobody listens at {address}",
            _ANSWER,
            "refused",
            "start-server",
            "name-server",
        ),
        _cause("name-unknown", "{host} does not resolve", _ANSWER, "unresolvable", "name-server"),
        _cause(
            "server-mute",
            "something accepts connections at {address} and does not answer",
            _ANSWER,
            "mute",
            "look-at-server",
            "name-server",
        ),
        _cause(
            "not-a-queue",
            "what answers at {address} is no queue[[ ({said})]]",
            _ANSWER,
            "foreign",
            "name-server",
        ),
        _cause(
            "queue-unwell",
            "the queue at {address} answers and says that it is not well",
            _ANSWER,
            "unwell",
            "look-at-server",
        ),
    ),
    fixes=(
        Fix("start-server", "Start one", "codeq-server", "none"),
        Fix(
            "name-server",
            "Name the right address",
            "export CODEQ_BASE_URL=http://HOST:8080",
            "none",
        ),
        Fix("look-at-server", "Ask how it is", "curl -i {address}/healthz", "none"),
    ),
    escalation="a firewall may stand in between: try the address on the server's machine",
)
