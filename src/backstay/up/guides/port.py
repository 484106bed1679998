"""Nothing answers on the address: another program has the port, or nothing was started."""

import asyncio
from urllib.parse import urlsplit

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.port_holder import holder
from backstay.core.probing import (
    fetch,
    last_exit,
    lone_servers,
    pid_life,
    process_state,
    read_state,
    seen,
)
from backstay.up.owner import owner

_SUPERVISOR = "up.supervisor"
_PORT = "up.port"


async def _look_for_supervisor(target: Target) -> Evidence:
    state = read_state(target)
    pid = owner(target.data)
    facts: dict[str, Plain] = {
        "data": str(target.data),
        "app_file": str(target.app_file or "FILE.cai"),
    }
    if pid is not None:
        return seen(_SUPERVISOR, "running", "pass", state, pid=pid, **facts)
    if not state:
        # A server that was started by itself has no supervisor, and needs none.
        alone = await asyncio.to_thread(lone_servers, target)
        return seen(_SUPERVISOR, "never", "skip" if alone else "fail", alone=[*alone], **facts)
    processes = state.get("processes") or {}
    phases = {str(process.get("state")) for process in processes.values()}
    ended = "gateway" if "gateway" in processes else next(iter(processes), "")
    reason, code = last_exit(target, ended)
    # A supervisor that ends in order says so of every process before it goes.
    reading = "stopped" if phases <= {"stopped", "gave_up"} else "killed"
    return seen(
        _SUPERVISOR,
        reading,
        "fail",
        state,
        pid=state.get("pid"),
        last_started=state.get("started"),
        exit_reason=reason,
        exit_code=code,
        **facts,
    )


async def _look_at_port(target: Target) -> Evidence:
    parts = urlsplit(target.base_url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    facts: dict[str, Plain] = {"address": f"{host}:{port}", "port": port, "data": str(target.data)}
    gateway = process_state(target, "gateway").get("pid")
    try:
        reply = await fetch(f"{target.base_url}/health/live")
    except ConnectionRefusedError:
        lone = await asyncio.to_thread(lone_servers, target)
        return seen(_PORT, "free", "skip" if lone else "fail", **facts)
    except OSError as failure:
        said = str(failure) or type(failure).__name__
        if isinstance(failure, TimeoutError) and await _is_own(target, port):
            # The server of this folder itself, too busy to answer: its own guides say why.
            return seen(_PORT, "another", "skip", said=said, **facts)
    except Exception as failure:  # noqa: BLE001 - whatever listens there does not speak HTTP
        said = type(failure).__name__
    else:
        if reply.status == 200 and reply.json().get("status") == "alive":
            alone = pid_life(gateway) == "dead" or not read_state(target)
            reading = "another" if alone else "ours"
            return seen(_PORT, reading, "pass", reply.body, **facts)
        said = f"HTTP {reply.status}"
        if await asyncio.to_thread(lone_servers, target):
            return seen(_PORT, "another", "skip", reply.body, **facts)
    who = await asyncio.to_thread(holder, port)
    if gateway and pid_life(gateway) != "dead" and f"(pid {gateway})" in who:
        return seen(_PORT, "mute", "fail", said=said, holder=who, **facts)
    return seen(_PORT, "foreign", "fail", said=said, holder=who, **facts)


async def _is_own(target: Target, port: int) -> bool:
    """Whether a server that runs on this folder by itself has the port."""
    pids = (await asyncio.to_thread(lone_servers, target)).values()
    who = await asyncio.to_thread(holder, port) if pids else ""
    return any(f"(pid {pid})" in who for pid in pids)


SUPERVISOR = Probe(
    _SUPERVISOR,
    "does a supervisor own the data folder",
    "outside",
    ("running", "stopped", "killed", "never"),
    _look_for_supervisor,
)
PORT = Probe(
    _PORT,
    "who answers on the gateway's address",
    "outside",
    ("ours", "another", "foreign", "free", "mute"),
    _look_at_port,
    deadline=1.6,
)

PORT_TAKEN = Guide(
    id="port-taken",
    title="Nothing of Backstay answers on its address",
    seed="ai-platform: General status and health",
    symptoms=(
        Symptom(
            "text",
            r"UP001|CORE111|GATE001|port \d+ .*taken|address already in use|EADDRINUSE",
            "a taken port",
        ),
        Symptom("text", r"UP004|nothing runs on", "nothing runs"),
        Symptom("text", r"connection refused|could not connect|failed to connect", "no connection"),
        Symptom("absence", f"{_PORT}=free", "nobody listens on the address"),
    ),
    probes=(SUPERVISOR, PORT),
    causes=(
        Cause(
            "port-taken",
            "port {port} is taken by another program[[: {holder}]]",
            0.05,
            {
                _PORT: {"foreign": 0.97},
                _SUPERVISOR: {"running": 0.35, "never": 0.25, "stopped": 0.2, "killed": 0.18},
                "gateway.process": {"running": 0.65, "gave-up": 0.17, "restarting": 0.15},
                "gateway.live": {"ready": 0.65, "silent": 0.3},
                "gateway.exit": {"never": 0.4, "port": 0.35, "other": 0.15},
            },
            ("end-holder", "other-port"),
        ),
        Cause(
            "not-started",
            "nothing runs: nothing was ever started on the data folder {data}",
            0.05,
            {
                _SUPERVISOR: {"never": 0.97},
                _PORT: {"free": 0.6, "another": 0.37},
            },
            ("start",),
        ),
        Cause(
            "stopped",
            "nothing runs: it was stopped[[ ({exit_reason})]]",
            0.05,
            {
                _SUPERVISOR: {"stopped": 0.97},
                _PORT: {"free": 0.6, "another": 0.37},
            },
            ("start",),
        ),
        Cause(
            "killed",
            "nothing runs: its supervisor[[ (pid {pid})]] died without stopping in order",
            0.03,
            {
                _SUPERVISOR: {"killed": 0.97},
                _PORT: {"free": 0.6, "another": 0.37},
            },
            ("start",),
        ),
        Cause(
            "gateway-down",
            "everything but the gateway runs; nobody listens on {address}",
            0.03,
            {
                _SUPERVISOR: {"running": 0.97},
                _PORT: {"free": 0.9, "mute": 0.1},
                "gateway.live": {"silent": 0.7, "late": 0.2, "not-ready": 0.1},
                "gateway.process": {"gave-up": 0.4, "restarting": 0.3, "killed": 0.2},
                "gateway.exit": {"other": 0.3, "settings": 0.3, "signal": 0.3},
            },
            ("restart-gateway", "read-gateway"),
        ),
        Cause(
            "gateway-mute",
            "the gateway holds {address} and does not answer",
            0.02,
            {
                _SUPERVISOR: {"running": 0.95},
                _PORT: {"mute": 0.95},
                "gateway.live": {"late": 0.8},
                "gateway.process": {"suspended": 0.5, "running": 0.45},
            },
            ("restart-gateway", "read-gateway"),
        ),
    ),
    fixes=(
        Fix(
            "end-holder",
            "End the program that holds the port[[, {holder}]], then start again",
            "backstay up {app_file} --data {data}",
            "none",
        ),
        Fix(
            "other-port",
            "Or leave it alone and use another port",
            "backstay up {app_file} --data {data} --port 18080",
            "none",
        ),
        Fix("start", "Start it", "backstay up {app_file} --data {data}", "none"),
        Fix(
            "restart-gateway",
            "Start the gateway anew",
            "backstay restart gateway --data {data}",
            "restart",
        ),
        Fix("read-gateway", "Read why it ended", "backstay logs gateway --data {data}", "none"),
    ),
    escalation="backstay logs gateway, and the output of `backstay up` in the foreground",
)
