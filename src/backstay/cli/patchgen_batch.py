"""`patchgen batch`: many intents in one run, again and again until all are there."""

import os
import sys
from pathlib import Path

import click

from backstay.cli import face
from backstay.cli.patchgen_face import (
    complain,
    format_option,
    memprofile_option,
    output_option,
    settings,
    show_fault,
    strict_option,
    write_heap_profile,
)
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.duration import format_duration
from backstay.core.errors import Exit, Fault
from backstay.patchgen.batch import GROUP, Outcome, Tally, read_items, run
from backstay.patchgen.paths import require_space
from backstay.patchgen.service import output_of
from backstay.patchgen.trace import SLOW_CAUSES, SLOW_SECONDS, memory
from backstay.patchgen.write import FolderWriter

_REDRAW = 0.2


@click.command("batch")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@output_option
@strict_option
@click.option(
    "--workers", type=click.IntRange(1), help="Generations at once.  [default: CPUs, the most]"
)
@click.option(
    "--group", type=click.IntRange(1, 500), default=GROUP, show_default=True,
    help="Packages that share one sync.",
)  # fmt: skip
@click.option(
    "--durability", default="", metavar="KIND", help="power or process.  [default: power]"
)
@click.option("--dry-run", is_flag=True, help="Write nothing; judge everything.")
@click.option("--progress/--no-progress", default=None, help="[default: on a terminal]")
@click.option("--memory", "show_memory", is_flag=True, help="Memory figures at the end.")
@memprofile_option
@format_option
def batch(
    inputs: tuple[str, ...],
    output: str,
    strict: bool,
    workers: int | None,
    group: int,
    durability: str,
    dry_run: bool,
    progress: bool | None,
    show_memory: bool,
    memprofile: Path | None,
    format: str,
) -> int:
    """Make the packages of many intents: folders of .json files, .jsonl files (one intent a line),
    single files, or - for lines of standard input.

    Run it again after any end, kill -9 too: what is there is left as it is. Exits 0 when every
    intent has its package, 1 when one failed.
    """
    known = settings(output_dir=output, strict_mode=strict, durability=durability)
    clock = SystemClock()
    writer = FolderWriter(
        output_of(known.output_dir, os.environ),
        Uuid7(clock),
        durability=known.durability,
        dry_run=dry_run,
    )
    if not dry_run:
        swept = writer.sweep()
        require_space(writer.output)
        if swept:
            complain(f"removed {swept} half-written packages of a former run")
    shown = _Shown(clock, sys.stderr.isatty() if progress is None else progress)
    tally = run(
        read_items(inputs, sys.stdin.buffer),
        writer,
        shown.told,
        workers=workers or 0,
        group=group,
        strict=known.strict_mode,
    )
    shown.end(tally, format)
    if show_memory:
        complain("\n".join(memory().lines()))
    if memprofile is not None:
        write_heap_profile(memprofile)
    return Exit.NEGATIVE if tally.failed else Exit.OK


class _Shown:
    """Failures as they come, and one line that is drawn anew."""

    def __init__(self, clock: SystemClock, progress: bool) -> None:
        self._clock = clock
        self._progress = progress
        self._began = clock.tick()
        self._drawn = 0.0

    def told(self, outcome: Outcome, tally: Tally) -> None:
        if isinstance(outcome.result, Fault):
            self._clear()
            show_fault(outcome.result, outcome.label)
        if self._progress and self._clock.tick() - self._drawn > _REDRAW:
            self._drawn = self._clock.tick()
            click.echo(f"\r{self._line(tally)}", err=True, nl=False)

    def end(self, tally: Tally, format: str) -> None:
        self._clear()
        took = self._clock.tick() - self._began
        if format == "json":
            face.emit_json({"seconds": round(took, 3), "total": tally.total, "counts": tally})
        else:
            click.echo(f"{self._line(tally)} in {format_duration(round(took, 3))}")
        if tally.total and took / tally.total > SLOW_SECONDS:
            complain("\n".join(("Possible causes:", *(f"- {cause}" for cause in SLOW_CAUSES))))

    def _line(self, tally: Tally) -> str:
        took = max(self._clock.tick() - self._began, 1e-9)
        planned = f"{tally.planned} planned, " if tally.planned else ""
        return (
            f"{tally.total} intents: {tally.written} written, {tally.unchanged} unchanged, "
            f"{planned}{tally.failed} failed, {tally.total / took:.0f}/s"
        )

    def _clear(self) -> None:
        if self._progress:
            click.echo("\r\x1b[K", err=True, nl=False)
