"""Commands about what runs: status, logs, restart, down, reset."""

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli.face import data_option, did_you_mean, emit_json, output_option
from backstay.core.clock import SystemClock
from backstay.core.errors import Exit, Fault

if TYPE_CHECKING:
    from backstay.up.logs import Follower

_FOLLOW = 0.1


@click.command("status")
@data_option
@output_option
def status(data: str, output: str) -> int:
    """What runs on the data folder. Exits 0: all ready, 1: something is not, 4: nothing runs."""
    from backstay.up.ask import supervisor_state
    from backstay.up.logs import wants_colour
    from backstay.up.table import draw

    state = asyncio.run(supervisor_state(Path(data)))
    if output == "json":
        emit_json(state)
    else:
        click.echo(
            f"Backstay on {state.base_url}   data: {state.data}   since {state.started[:19]}Z"
        )
        click.echo(draw(state, colours=wants_colour(sys.stdout)))
    well = all(process.state == "ready" for process in state.processes.values())
    return Exit.OK if well else Exit.NEGATIVE


@click.command("logs")
@click.argument("name", required=False)
@data_option
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--lines", "-n", default=200, show_default=True, help="The last N lines; 0 for all.")
def logs(name: str | None, data: str, follow: bool, lines: int) -> int:
    """What processes printed, also in rotated files; without NAME that of all, prefixed."""
    from backstay.up.logs import Follower, history

    path = _log_file(Path(data), name)
    # The follower first: nothing that is printed in between can fall through.
    follower = Follower(path) if follow else None
    _print(deque(history(path), maxlen=lines or None))
    if follower is not None:
        asyncio.run(_follow(follower))
    return Exit.OK


@click.command("restart")
@click.argument("name")
@data_option
@click.option(
    "--timeout", default=60.0, show_default=True, help="Seconds to wait until it is ready."
)
def restart(name: str, data: str, timeout: float) -> int:
    """Drain one process and start it anew; one that was given up is tried again."""
    state = asyncio.run(_restart(Path(data), name, timeout))
    click.echo(f"{name}: {state}")
    return Exit.OK if state == "ready" else Exit.NEGATIVE


@click.command("down")
@data_option
@click.option("--timeout", default=90.0, show_default=True, help="Seconds to wait for the end.")
def down(data: str, timeout: float) -> int:
    """Drain and stop everything on the data folder, and wait until it is gone."""
    from backstay.up.ask import ask_supervisor
    from backstay.up.errors import NOTHING_RUNS

    try:
        asyncio.run(ask_supervisor(Path(data), "POST /drain"))
    except Fault as fault:
        if fault.entry is not NOTHING_RUNS:
            raise
        click.echo("nothing runs")
        return Exit.OK
    gone = asyncio.run(_until_gone(Path(data), timeout))
    click.echo("stopped" if gone else f"still draining after {timeout:g} s: backstay status")
    return Exit.OK if gone else Exit.NEGATIVE


@click.command("reset")
@data_option
@click.option("--yes", is_flag=True, help="Really delete it.")
def reset(data: str, yes: bool) -> int:
    """Delete the data folder with everything in it. Refused while something runs on it."""
    from backstay.up.holdings import delete

    delete(Path(data), sure=yes)
    click.echo(f"deleted {data}")
    return Exit.OK


def _log_file(data: Path, name: str | None) -> Path:
    from backstay.up.errors import NO_SUCH_PROCESS, NOT_OURS
    from backstay.up.owner import MARKER

    folder = data / "logs"
    if not folder.is_dir():
        raise Fault(NOT_OURS, data=str(data), marker=MARKER)
    known = sorted(file.stem for file in folder.glob("*.log") if file.stem != "all")
    if name is not None and name not in known:
        nearest = did_you_mean(name, known)
        raise Fault(NO_SUCH_PROCESS, name=name, known=", ".join(known), nearest=nearest)
    return folder / f"{name or 'all'}.log"


def _print(lines: Iterable[str]) -> None:
    from backstay.core.redact import redactor

    for line in lines:
        click.echo(redactor().redact(line))


async def _follow(follower: "Follower") -> None:
    clock = SystemClock()
    while True:
        _print(follower.poll())
        sys.stdout.flush()
        await clock.sleep(clock.tick() + _FOLLOW)


async def _restart(data: Path, name: str, seconds: float) -> str:
    from urllib.parse import quote

    from backstay.up.ask import ask_supervisor, supervisor_state
    from backstay.up.errors import NO_SUCH_PROCESS

    clock = SystemClock()
    known = list((await supervisor_state(data)).processes)
    if name not in known:
        nearest = did_you_mean(name, known)
        raise Fault(NO_SUCH_PROCESS, name=name, known=", ".join(known), nearest=nearest)
    before = await ask_supervisor(data, f"POST /restart/{quote(name, safe='')}")
    end = clock.tick() + seconds
    while True:
        process = (await supervisor_state(data)).processes[name]
        renewed = process.pid not in (before["pid"], None) and process.state == "ready"
        tried = process.restarts > before["restarts"] and process.state == "gave_up"
        if renewed or tried or clock.tick() > end:
            return process.state
        await clock.sleep(clock.tick() + _FOLLOW)


async def _until_gone(data: Path, seconds: float) -> bool:
    from backstay.up.owner import owner

    clock = SystemClock()
    end = clock.tick() + seconds
    while owner(data) is not None:
        if clock.tick() > end:
            return False
        await clock.sleep(clock.tick() + _FOLLOW / 2)
    return True
