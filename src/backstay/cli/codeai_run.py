"""`codeai run`: the script part of a program, in this process and within bounds."""

import subprocess
import sys
from os import environ
from pathlib import Path

import click

from backstay.core.errors import Exit, Fault
from backstay.lang.api import MAX_CHARACTERS, check_text, decode, parse_text
from backstay.lang.errors import FILE_UNREADABLE
from backstay.lang.program import Program
from backstay.lang.script import Limits, Outside, run
from backstay.lang.script.errors import EXEC_NOT_ALLOWED
from backstay.lang.script.values import Value


@click.command("run")
@click.argument("path", metavar="FILE|-")
@click.option(
    "--allow-exec", is_flag=True, help="Let exec { … } run commands of this machine, as you."
)
@click.option(
    "--max-steps",
    type=click.IntRange(1, 10**9),
    default=Limits().steps,
    show_default=True,
    help="Statements and expressions before the script is ended.",
)
def run_script(path: str, allow_exec: bool, max_steps: int) -> int:
    """Run the statements at the top level of a file: var, if, for, print, functions, exec.

    Exit code 0: it ran to its end, 1: mistakes were found or it failed, 2: the file could not be
    read, or exec is not allowed.
    """
    name = "<stdin>" if path == "-" else path
    text, found = decode(name, _bytes(path))
    program: Program | None = None
    if not found:
        program, found = check_text(name, text)
    if found:
        from backstay.lang.render import render

        click.echo(render(found, {name: text}), err=True)
    if program is None:
        return Exit.NEGATIVE
    if not allow_exec:
        _refuse_exec(program)
    if not program.script:
        click.echo(f"{name}: nothing to run at the top level", err=True)
    file, _ = parse_text(name, text)
    execute = _execute if allow_exec else None
    outside = Outside(execute=execute, functions={"now": _now, "uuid": _uuid}, env=dict(environ))
    try:
        run([file], sys.stdout.write, outside, Limits(steps=max_steps))
    finally:
        sys.stdout.flush()
    return Exit.OK


def _bytes(path: str) -> bytes:
    # Bounded: the language refuses what is larger, so the rest need not be read.
    most = 4 * MAX_CHARACTERS + 1
    if path == "-":
        return sys.stdin.buffer.read(most)
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except OSError as bad:
        raise Fault(FILE_UNREADABLE, path=path, reason=bad.strerror or "?") from bad


def _refuse_exec(program: Program) -> None:
    """Before the first step: a script that stops half way leaves half its work behind."""
    for construct, places in program.uses:
        if construct == "statement.exec":
            first = places[0]
            place = f"{first.file}:{first.line}:{first.column}"
            raise Fault(EXEC_NOT_ALLOWED, place=place, file=first.file)


def _execute(command: str) -> int:
    """The exit code of a shell command; what it prints is printed."""
    sys.stdout.flush()
    return subprocess.run(["/bin/sh", "-c", command], check=False).returncode


def _now() -> Value:
    from backstay.core.clock import SystemClock, rfc3339

    return rfc3339(SystemClock().now())


def _uuid() -> Value:
    from backstay.core.clock import SystemClock, Uuid7

    return Uuid7(SystemClock()).new()
