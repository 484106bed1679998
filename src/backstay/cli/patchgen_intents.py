"""`patchgen validate`, `generate` and `explain`: one intent at a time."""

import os
from pathlib import Path

import click

from backstay.cli import face
from backstay.cli.patchgen_face import (
    base_option,
    beside_of,
    complain,
    format_option,
    log_of,
    memprofile_option,
    output_option,
    plain_report,
    read_intent,
    settings,
    show_report,
    strict_option,
    time_limit,
    write_heap_profile,
)
from backstay.core.clock import SystemClock, Uuid7
from backstay.core.errors import Exit
from backstay.patchgen.errors import InvalidIntent
from backstay.patchgen.service import Job, Made, Maker, output_of, summary


@click.command("validate")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@strict_option
@base_option
@format_option
def validate(files: tuple[str, ...], strict: bool, base: Path | None, format: str) -> int:
    """Judge intents: every mistake with its place. Without FILE, or with -, from standard input.

    Exits 0 when all are valid, 1 when one is not.
    """
    known = settings(strict_mode=strict)
    clock = SystemClock()
    job, beside = Job("", known.strict_mode), beside_of(base)
    maker = Maker(job, clock, Uuid7(clock), log=log_of(known), beside=beside)
    reports = []
    for file in files or ("-",):
        with time_limit(known.validation_timeout):
            report = maker.judge(read_intent(file))
        reports.append(plain_report(report) | {"file": file})
        if format == "text":
            name = file if len(files) > 1 else ""
            show_report(report, name)
            if report.intent is not None:
                click.echo(f"{name and name + ': '}valid: {summary(report.intent)}")
    if format == "json":
        face.emit_json(reports if len(files) > 1 else reports[0])
    return Exit.OK if all(report["valid"] for report in reports) else Exit.NEGATIVE


@click.command("generate")
@click.option(
    "-intent", "--intent", "intent", metavar="FILE", required=True, help="- is standard input."
)
@output_option
@strict_option
@base_option
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written.")
@click.option("--fallback", is_flag=True, help="A closed folder: use ~/.nephoran/patches.")
@click.option(
    "--durability", default="", metavar="KIND", help="power or process.  [default: power]"
)
@click.option("--trace", is_flag=True, help="Stage lines on standard error.")
@click.option("--timing", is_flag=True, help="Where the time went, on standard error.")
@click.option("--memory", is_flag=True, help="Memory figures on standard error.")
@memprofile_option
@format_option
def generate(
    intent: str,
    output: str,
    strict: bool,
    base: Path | None,
    dry_run: bool,
    fallback: bool,
    durability: str,
    trace: bool,
    timing: bool,
    memory: bool,
    memprofile: Path | None,
    format: str,
) -> int:
    """Make the package of one intent and print its path.

    The same intent again is left as it is; something else under its name is never overwritten.
    """
    known = settings(
        output_dir=output, strict_mode=strict, fallback=fallback, durability=durability
    )
    job = Job(
        output_of(known.output_dir, os.environ),
        known.strict_mode,
        known.durability,
        dry_run=dry_run,
        home=os.environ.get("HOME", "") if known.fallback else "",
    )
    clock = SystemClock()
    maker = Maker(
        job, clock, Uuid7(clock),
        log=log_of(known), say=complain if trace else None, beside=beside_of(base),
    )  # fmt: skip
    with time_limit(known.validation_timeout):
        data = read_intent(intent)
    made = (_traced if memory else _make)(maker, data)
    if timing:
        complain("\n".join(maker.stages.lines()))
    if memprofile is not None:
        write_heap_profile(memprofile)
    if made is None:
        return Exit.NEGATIVE
    _print(made, format)
    return Exit.OK


def _make(maker: Maker, data: bytes) -> Made | None:
    try:
        made = maker.make(data)
    except InvalidIntent as invalid:
        show_report(invalid.report)
        return None
    show_report(made.report)
    return made


def _traced(maker: Maker, data: bytes) -> Made | None:
    from backstay.patchgen.trace import Tracing, memory

    with Tracing():
        made = _make(maker, data)
        complain("\n".join(memory().lines()))
    return made


def _print(made: Made, format: str) -> None:
    if format == "json":
        face.emit_json(
            {"placed": made.placed, "intent": made.intent, "instead_of": made.instead_of}
        )
        return
    if made.instead_of:
        complain(f"note: {made.instead_of} is closed to this user; used {made.placed.path.parent}")
    if made.placed.state != "written":
        complain(
            {
                "unchanged": "unchanged: it is there already",
                "planned": "dry run: nothing was written",
            }[made.placed.state]
        )
    click.echo(str(made.placed.path))


@click.command("explain")
@click.argument("file", default="-")
@strict_option
@format_option
def explain(file: str, strict: bool, format: str) -> int:
    """Where each field came from, what was decided about it, and what it cost."""
    from backstay.patchgen.explain import explain as tell

    known = settings(strict_mode=strict)
    with time_limit(known.validation_timeout):
        story = tell(read_intent(file), SystemClock(), strict=known.strict_mode)
    if format == "json":
        face.emit_json(story)
    else:
        click.echo("\n".join(story.lines()))
    show_report(story.report)
    return Exit.OK if story.report.intent is not None else Exit.NEGATIVE
