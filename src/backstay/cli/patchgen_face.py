"""What the `patchgen` commands share: settings, reading intents, printing what was found."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click
import msgspec

from backstay.core.clock import SystemClock
from backstay.core.duration import format_duration
from backstay.core.errors import Fault, for_terminal
from backstay.core.settings import Given, load
from backstay.patchgen.command_settings import CommandSettings
from backstay.patchgen.errors import InvalidIntent
from backstay.patchgen.errors import disk as errors
from backstay.patchgen.model import SIZE_LIMIT, Diagnosis, Report
from backstay.patchgen.paths import reason_of
from backstay.patchgen.service import Quiet
from backstay.patchgen.trace import DebugLog

F = TypeVar("F", bound=Callable[..., Any])


def settings(**flags: object) -> CommandSettings:
    """Flags beat the environment. Raises CORE001 that names each unusable value."""
    typed: Mapping[str, Any] = {name: value or None for name, value in flags.items()}
    return load(CommandSettings, Given(flags=dict(typed), env=os.environ)).settings


def log_of(known: CommandSettings) -> DebugLog | Quiet:
    """Debug lines to standard error when they are wanted."""
    return DebugLog(SystemClock(), complain) if known.debug_log else Quiet()


def complain(line: str) -> None:
    """One line to standard error."""
    click.echo(line, err=True)


def format_option(command: F) -> F:
    """`--format text|json` as the parameter `format`; `-output` is a folder here."""
    return click.option(
        "--format", type=click.Choice(["text", "json"]), default="text",
        help="Text for people or JSON for programs.",
    )(command)  # fmt: skip


def strict_option(command: F) -> F:
    """`--strict` as the parameter `strict`."""
    return click.option(
        "--strict", is_flag=True, help="Warnings refuse an intent; also PATCHGEN_STRICT_MODE."
    )(command)


def output_option(command: F) -> F:
    """`-output DIR`, with one dash or two."""
    return click.option(
        "-output", "--output", "-o", "output", metavar="DIR", default="",
        help="Folder that takes the packages; also PATCHGEN_OUTPUT_DIR.",
    )(command)  # fmt: skip


def base_option(command: F) -> F:
    """`--base PATH` as the parameter `base`, for `beside_of`."""
    return click.option(
        "--base", type=click.Path(path_type=Path), metavar="PATH",
        help="Manifests: warn of an autoscaler among them that owns the count.",
    )(command)  # fmt: skip


def beside_of(base: Path | None) -> Callable[[Report], Report] | None:
    """What the manifests in `base` say about an intent. Raises PATCH083."""
    if base is None:
        return None
    from backstay.patchgen.autoscale import Autoscalers

    return Autoscalers(base).beside


def memprofile_option(command: F) -> F:
    """`--memprofile FILE` as the parameter `memprofile`."""
    return click.option(
        "--memprofile", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
        help="Write a heap profile at the end: go tool pprof FILE.",
    )(command)  # fmt: skip


def write_heap_profile(path: Path) -> None:
    """What the memory holds after a forced collection (P46). Raises PATCH063."""
    import asyncio
    import gc

    from backstay.core.metrics_process import resident_bytes
    from backstay.core.profiling.heap import Heap

    gc.collect()
    heap = Heap("patchgen", resident_bytes)
    now = SystemClock().now()
    profile = asyncio.run(heap.profile(now, trace=None, default="inuse_space"))
    try:
        path.write_bytes(profile)
    except OSError as failed:
        reason, remedy = reason_of(failed), "choose another file for the profile"
        raise Fault(errors.CANNOT_WRITE, reason=reason, path=str(path), remedy=remedy) from failed


def read_intent(path: str) -> bytes:
    """The bytes of one intent; `-` is standard input. One byte over the limit is enough to know.
    Raises PATCH077."""
    try:
        if path == "-":
            return sys.stdin.buffer.read(SIZE_LIMIT + 1)
        with Path(path).open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as failed:
        raise Fault(errors.CANNOT_READ, path=path, reason=reason_of(failed)) from failed


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Ends what runs inside with PATCH078 after so many seconds, also while it reads (P69)."""

    def late(_: int, __: FrameType | None) -> None:
        raise Fault(errors.TOO_SLOW, limit=format_duration(seconds))

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def show_report(report: Report, name: str = "") -> None:
    """Everything that is wrong or doubtful, on standard error."""
    if report.errors:
        where = f"{name}: " if name else ""
        complain(f"{where}{report.message}")
    for one in report.errors:
        complain(_block(one, "error"))
    for one in report.warnings:
        complain(_block(one, "warning"))


def _block(one: Diagnosis, word: str) -> str:
    place = ""
    if one.offset >= 0:
        spot = f"line {one.line}, column {one.column} (byte {one.offset})"
        place = f" at {one.pointer or 'the text'}, {spot}"
    lines = [f"  {word} {one.code}{place}", f"    {one.says}"]
    if one.rule == "json":
        lines.append(f"    JSON error at position {one.offset}:")
    if one.offset >= 0:
        lines += [f"    Context: ...{one.window}...", f"    {' ' * (12 + one.caret)}^"]
    lines.append(f"    fix: {one.remedy}")
    return "\n".join(lines)


def show_fault(fault: Fault, name: str = "") -> None:
    """A fault in the words of every command; an invalid intent with all its places."""
    if isinstance(fault, InvalidIntent):
        show_report(fault.report, name)
    else:
        complain(f"{name}: {for_terminal(fault)}" if name else for_terminal(fault))


def plain_report(report: Report) -> dict[str, object]:
    """A report as JSON for programs."""
    return {
        "valid": report.intent is not None,
        "message": report.message,
        "shape": report.shape,
        "errors": _plain(report.errors),
        "warnings": _plain(report.warnings),
        "intent": report.intent,
    }


def _plain(found: Sequence[Diagnosis]) -> list[object]:
    return [msgspec.to_builtins(one) for one in found]
