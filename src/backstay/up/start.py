"""`backstay up` from the asked-for to the running: own the folder, plan, supervise; or do that in
the background and report what came of it."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from backstay.core.clock import SystemClock
from backstay.core.control import ControlSilent, ask
from backstay.core.dev_issuer import make_dev_issuer
from backstay.core.errors import Exit, Fault
from backstay.core.runtime import find_runtime, make_runtime
from backstay.core.settings import Loaded
from backstay.core.visible import visible
from backstay.up.config import UpSettings, check, resolve, sections, shown
from backstay.up.errors import NEVER_READY
from backstay.up.logs import stdout_terminal
from backstay.up.owner import own
from backstay.up.plan import Plan, Wish, compose
from backstay.up.ports import demand_free
from backstay.up.project import Project, project_beside
from backstay.up.state import read_state
from backstay.up.supervisor import START_SECONDS, supervise
from backstay.up.table import behind, show

_POLL = 0.05
_LAST = 20
"""Lines that are shown of a start that failed."""


class Asked(msgspec.Struct, frozen=True):
    """The command line; None was not typed."""

    data: str | None
    host: str | None
    port: int | None
    app_file: Path | None
    config: Path | None


def in_foreground(asked: Asked) -> int:
    """Run until told to stop. Gives the exit code; raises what keeps it from starting."""
    loaded = _settings(asked)
    settings = loaded.settings
    project = project_beside(asked.app_file)
    owned = own(settings.data)
    try:
        demand_free(settings.host, settings.port, "the gateway")
        plan = _plan(asked, loaded, project)
        terminal = stdout_terminal()
        try:
            return supervise(plan, terminal, show)
        finally:
            terminal.close()
    finally:
        owned.release()


def in_background(asked: Asked) -> int:
    """Start `in_foreground` in a session of its own, wait until it is ready, show the table."""
    data = _settings(asked).settings.data
    logs = data / "logs"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs.mkdir(mode=0o700, exist_ok=True)
    printed = logs / "detached.err"
    said = _Said(printed, logs / "all.log")
    with printed.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "backstay.cli.backstay", *sys.argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "BACKSTAY_DETACHED": "1"},
        )
    return asyncio.run(_report(asked, data, child, said))


class _Said:
    """Why a start in the background came to nothing: what the supervisor said, else what the
    processes printed that was no line of a log."""

    def __init__(self, printed: Path, log: Path) -> None:
        self._printed = printed
        self._log = log
        self._before = log.stat().st_size if log.exists() else 0

    def text(self) -> str:
        own = self._printed.read_text(errors="replace")
        if own or not self._log.exists():
            return own
        with self._log.open("rb") as file:
            # A shorter one was begun anew since.
            file.seek(self._before if self._log.stat().st_size >= self._before else 0)
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
        return "".join([line for line in lines if "| {" not in line][-_LAST:])


async def _report(asked: Asked, data: Path, child: "subprocess.Popen[bytes]", said: _Said) -> int:
    clock = SystemClock()
    end = clock.tick() + START_SECONDS + 10
    while clock.tick() < end:
        code = child.poll()
        if code is not None:
            sys.stderr.write(visible(said.text()))
            return code
        runtime = find_runtime(data)
        try:
            live = await ask(runtime / "up.ctl", "/live")
        except ControlSilent:
            live = {}
        if live.get("ready") and live["pid"] == child.pid:
            return _table(asked, data, runtime)
        await clock.sleep(clock.tick() + _POLL)
    reason = f"the supervisor runs (pid {child.pid})"
    raise Fault(NEVER_READY, seconds=START_SECONDS, names="up", first="up", reason=reason)


def _table(asked: Asked, data: Path, runtime: Path) -> int:
    state = read_state(runtime)
    if state is None:
        return Exit.NEGATIVE
    tries = project_beside(asked.app_file).tries
    sys.stdout.write(behind(state, data.absolute(), asked.app_file, tries))
    well = all(process.state == "ready" for process in state.processes.values())
    return Exit.OK if well else Exit.NEGATIVE


def _settings(asked: Asked) -> Loaded[UpSettings]:
    flags = {"--data": asked.data, "--host": asked.host, "--port": asked.port}
    with tempfile.TemporaryDirectory() as scratch:
        loaded = resolve(flags, os.environ, asked.config, Path(scratch))
        if asked.config:
            check(asked.config, os.environ, Path(scratch))
        return loaded


def _plan(asked: Asked, loaded: Loaded[UpSettings], project: Project) -> Plan:
    settings = loaded.settings
    runtime = make_runtime(settings.data)
    secret = make_dev_issuer(settings.data)
    wish = Wish(
        data=settings.data,
        host=settings.host,
        port=settings.port,
        app_file=asked.app_file,
        configs=sections(asked.config, runtime / "config") if asked.config else {},
        jwt_secret="" if settings.jwt_secret else secret.reveal(),
        egress_allow=os.environ.get("EGRESS_ALLOW", ""),
        packages=bool(os.environ.get("PATCHGEN_OUTPUT_DIR")),
    )
    plan = compose(wish, runtime, project)
    return msgspec.structs.replace(plan, settings=tuple(shown(loaded)))
