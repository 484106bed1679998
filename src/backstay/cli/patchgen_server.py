"""`patchgen serve` and `patchgen watch`: patchgen as a process that stays."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli import face
from backstay.cli.patchgen_face import complain, output_option, strict_option
from backstay.core.errors import Exit, Fault, for_terminal

if TYPE_CHECKING:
    from backstay.core.clock import Clock
    from backstay.patchgen.loops.watch import Pace, Watch
    from backstay.patchgen.write import FolderWriter


@click.command("serve")
@face.server_options("PATCHGEN_CONFIG_PATH")
@output_option
@strict_option
def serve(
    listen: str | None,
    data: str | None,
    config: Path | None,
    output: str,
    strict: bool,
    debug: bool,
) -> int:
    """Serve POST /intent, health and readiness.  [default address: 127.0.0.1:8086]"""
    import msgspec

    from backstay.core.process import run_process
    from backstay.core.settings import Given, load
    from backstay.patchgen.settings import PatchgenSettings
    from backstay.patchgen.system import build

    flags = {
        "--listen": listen,
        "--data": data,
        "-output": output or None,
        "--strict": strict or None,
        "--debug": debug or None,
    }
    loaded = load(PatchgenSettings, Given(flags=dict(flags), env=os.environ, file=config))
    if loaded.settings.debug_log:
        debugging = msgspec.structs.replace(loaded.settings, log_level="debug")
        loaded = msgspec.structs.replace(loaded, settings=debugging)
    return run_process("patchgen", loaded, build)


@click.command("watch")
@click.argument("folder", type=click.Path(path_type=Path))
@output_option
@strict_option
@click.option("--once", is_flag=True, help="End when no intent is left.")
@click.option("--period", default="500ms", show_default=True, help="Between two looks.")
@click.option("--settle", default="300ms", show_default=True, help="Unchanged before it is read.")
@click.option("--durability", default="", metavar="KIND", help="power or process.")
@click.option("--dry-run", is_flag=True, help="Judge and report; write and move nothing.")
def watch(
    folder: Path,
    output: str,
    strict: bool,
    once: bool,
    period: str,
    settle: str,
    durability: str,
    dry_run: bool,
) -> int:
    """Turn every intent that comes into FOLDER into a package; several may watch one folder.

    Intents move to FOLDER/processed or FOLDER/failed, with a report in FOLDER/status. SIGTERM ends
    the one at work and exits 0. With --once: 0 all became packages, 1 one failed. 2: FOLDER or the
    settings cannot be used. With --dry-run every intent stays where it is and is told of once.
    """
    import asyncio

    from backstay.cli.patchgen_face import settings
    from backstay.core.clock import SystemClock, Uuid7
    from backstay.core.log_settings import LogSettings
    from backstay.core.logs import configure
    from backstay.core.settings import Given, load
    from backstay.patchgen.loops.watch import Watch
    from backstay.patchgen.service import output_of
    from backstay.patchgen.write import FolderWriter

    known = settings(output_dir=output, strict_mode=strict, durability=durability)
    logs = load(LogSettings, Given(env=os.environ)).settings
    clock = SystemClock()
    configure(logs, "patchgen", clock)
    target = output_of(known.output_dir, os.environ)
    writer = FolderWriter(target, Uuid7(clock), durability=known.durability, dry_run=dry_run)
    loop = Watch(folder, writer, clock, strict=known.strict_mode, pace=_pace(period, settle))
    loop.prepare()
    if not dry_run:
        _sweep(writer)
    asyncio.run(_watching(loop, clock, once=once))
    return Exit.NEGATIVE if once and loop.counts["failed"] else Exit.OK


def _sweep(writer: "FolderWriter") -> None:
    try:
        writer.sweep()
    except Fault as fault:
        # The folder may come later; until then intents wait where they are.
        complain(for_terminal(fault))


def _pace(period: str, settle: str) -> "Pace":
    from backstay.core.duration import parse_duration
    from backstay.patchgen.loops.watch import Pace

    try:
        return Pace(parse_duration(period), parse_duration(settle))
    except ValueError as bad:
        raise click.UsageError(str(bad)) from bad


async def _watching(loop: "Watch", clock: "Clock", *, once: bool) -> None:
    """Until a signal, or with `once` until nothing is left."""
    import asyncio
    import signal

    from backstay.core.service import run

    stopping = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopping.set)
    if not once:
        await run([loop], clock, stopping)
        return
    while not stopping.is_set():
        wish = await loop.step()
        if loop.waiting == 0:
            return
        await clock.sleep(wish or clock.tick())
