"""`codeai run`: the script part of a program, in this process and within bounds."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from os import environ

import click

from backstay.cli.codeai_lang import sources_of
from backstay.core.errors import Exit, Fault
from backstay.lang.api import check_files, parse_text
from backstay.lang.library.values import Value
from backstay.lang.program import Program
from backstay.lang.script import Limits, Outside, functions, run
from backstay.lang.script.errors import EXEC_NOT_ALLOWED
from backstay.lang.syntax import File


@click.command("run")
@click.argument("paths", metavar="FILE|FOLDER|-", nargs=-1, required=True)
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
def run_script(paths: Sequence[str], allow_exec: bool, max_steps: int) -> int:
    """Run the statements at the top level: var, if, for, print, functions, exec.

    Several files, or the .cai files of a folder, are one program; their statements run in the
    order of the files' names. - is standard input.

    Exit code 0: it ran to its end, 1: mistakes were found or it failed, 2: a file could not be
    read, or exec is not allowed.
    """
    loaded = load(paths)
    if loaded is None:
        return Exit.NEGATIVE
    program, files = loaded
    if not allow_exec:
        _refuse_exec(program)
    if not program.script:
        click.echo(f"{', '.join(paths)}: nothing to run at the top level", err=True)
    execute = _execute if allow_exec else None
    outside = Outside(execute=execute, functions=_world(), env=dict(environ))
    try:
        run(files, _print, outside, Limits(steps=max_steps))
    finally:
        sys.stdout.flush()
    return Exit.OK


def load(paths: Sequence[str]) -> tuple[Program, list[File]] | None:
    """The checked program of files and folders with its trees; None when it has mistakes, which
    are on standard error then, as warnings are."""
    sources, found = sources_of(paths)
    program: Program | None = None
    if not found:
        program, found = check_files(sources)
    if found:
        from backstay.lang.render import render

        click.echo(render(found, dict(sources)), err=True)
    if program is None:
        return None
    return program, [parse_text(name, text)[0] for name, text in sorted(sources)]


def _print(text: str) -> None:
    """A text may hold what the terminal's encoding has no sign for."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


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


def _world() -> Mapping[str, Callable[[], Value]]:
    from backstay.core.clock import SystemClock, SystemDice, Uuid7

    clock = SystemClock()
    return functions(clock.now, Uuid7(clock).new, SystemDice().uniform)
