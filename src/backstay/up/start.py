"""`backstay up` from the asked-for to the running: own the folder, plan, supervise; or do that in
the background and report what came of it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from backstay.core.clock import SystemClock
from backstay.core.control import ControlSilent, ask
from backstay.core.dev_issuer import make_dev_issuer
from backstay.core.errors import Exit, Fault
from backstay.core.runtime import find_runtime, make_runtime
from backstay.up.errors import NEVER_READY
from backstay.up.logs import stdout_terminal
from backstay.up.owner import own
from backstay.up.plan import Plan, Wish, compose
from backstay.up.ports import demand_free
from backstay.up.project import Project, project_beside
from backstay.up.state import read_state
from backstay.up.supervisor import START_SECONDS, supervise
from backstay.up.table import draw, examples, show

_POLL = 0.05


class Asked(msgspec.Struct, frozen=True):
    """The command line."""

    data: Path
    host: str
    port: int
    app_file: Path | None
    config: Path | None


def in_foreground(asked: Asked) -> int:
    """Run until told to stop. Gives the exit code; raises what keeps it from starting."""
    project = project_beside(asked.app_file)
    demand_free(asked.host, asked.port, "the gateway")
    owned = own(asked.data)
    try:
        plan = _plan(asked, project)
        terminal = stdout_terminal()
        try:
            return supervise(plan, terminal, show)
        finally:
            terminal.close()
    finally:
        owned.release()


def in_background(asked: Asked) -> int:
    """Start `in_foreground` in a session of its own, wait until it is ready, show the table."""
    demand_free(asked.host, asked.port, "the gateway")
    logs = asked.data / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    printed = logs / "detached.log"
    with printed.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "backstay.cli.backstay", *sys.argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "BACKSTAY_DETACHED": "1"},
        )
    return asyncio.run(_report(asked, child, printed))


async def _report(asked: Asked, child: "subprocess.Popen[bytes]", printed: Path) -> int:
    clock = SystemClock()
    end = clock.tick() + START_SECONDS + 10
    while clock.tick() < end:
        code = child.poll()
        if code is not None:
            return _failed(printed, code)
        runtime = find_runtime(asked.data)
        try:
            live = await ask(runtime / "up.ctl", "/live")
        except ControlSilent:
            live = {}
        if live.get("ready") and live["pid"] == child.pid:
            return _table(asked, runtime)
        await clock.sleep(clock.tick() + _POLL)
    reason = f"the supervisor runs (pid {child.pid})"
    raise Fault(NEVER_READY, seconds=START_SECONDS, names="up", first="up", reason=reason)


def _failed(printed: Path, code: int) -> int:
    sys.stderr.write(printed.read_text(errors="replace"))
    return code


def _table(asked: Asked, runtime: Path) -> int:
    state = read_state(runtime)
    if state is None:
        return Exit.NEGATIVE
    lines = [draw(state, colours=False), "", "try next:"]
    hint = f" --data {asked.data}" if str(asked.data) != ".backstay" else ""
    lines += [f"  {line}" for line in examples(state, asked.app_file, hint)]
    lines += [f"  backstay logs -f{hint}", f"  backstay down{hint}"]
    sys.stdout.write("\n".join(lines) + "\n")
    well = all(process.state == "ready" for process in state.processes.values())
    return Exit.OK if well else Exit.NEGATIVE


def _plan(asked: Asked, project: Project) -> Plan:
    secret = make_dev_issuer(asked.data)
    wish = Wish(
        data=asked.data,
        host=asked.host,
        port=asked.port,
        app_file=asked.app_file,
        config=asked.config,
        jwt_secret="" if os.environ.get("JWT_SECRET") else secret.reveal(),
    )
    return compose(wish, make_runtime(asked.data), project)
