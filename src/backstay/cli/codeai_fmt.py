"""`codeai fmt`: files in their canonical spelling and layout."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import click

from backstay.cli.codeai_lang import STDIN, read, say, source_files
from backstay.core.errors import Exit, Fault
from backstay.core.runtime import write_atomically
from backstay.lang.api import parse_text
from backstay.lang.errors import CANNOT_WRITE
from backstay.lang.format import format_text


@click.command("fmt")
@click.argument("paths", metavar="FILE|FOLDER|-", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def fmt(paths: Sequence[str], check: bool, diff: bool) -> int:
    """Write .cai files in the canonical spelling and layout: colons, indentation, spaces.

    Comments and line breaks stay, and so does the program.

    - reads standard input and writes standard output. A file with mistakes of form is left alone.

    Exit code 0: done, 1: a file has mistakes, or with --check would change.
    """
    code = Exit.OK
    for path in dict.fromkeys(each for given in paths for each in source_files(given)):
        name, text, found = read(path)
        found = found or parse_text(name, text)[1]
        if any(each.severity == "error" for each in found):
            say(found, [(name, text)], "plain")
            code = Exit.NEGATIVE
            continue
        made = format_text(text)
        if diff:
            _show(name, text, made)
        if path == STDIN and not (check or diff):
            click.echo(made, nl=False)
        elif made != text and check:
            code = Exit.NEGATIVE
            click.echo(f"{name}: would be laid out anew", err=True)
        elif made != text and not diff:
            _write(Path(path), made)
            click.echo(f"{name}: laid out anew")
    return code


def _show(name: str, old: str, new: str) -> None:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), name, f"{name} (formatted)"
    )
    for line in lines:
        click.echo(line, nl=not line.endswith("\n"))


def _write(path: Path, text: str) -> None:
    """The new text takes the file's place at once, or not at all; a link stays a link."""
    target = path.resolve()
    try:
        mode = target.stat().st_mode & 0o7777
        write_atomically(target, text.encode(), mode)
        # The umask may have taken some of it.
        target.chmod(mode)
    except OSError as bad:
        reason = (bad.strerror or str(bad)).lower()
        raise Fault(CANNOT_WRITE, path=str(path), reason=reason) from bad
