"""`codeai validate` and `codeai parse`: the language from the command line.

Standard output carries only the answer, so that `codeai parse FILE --output json | jq .` works
(C10); what is wrong with a file goes to standard error, or into the JSON that was asked for.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from backstay.cli.face import emit_json
from backstay.core.errors import Exit, Fault
from backstay.core.visible import visible
from backstay.lang.api import MAX_CHARACTERS, check_files, decode, parse_text
from backstay.lang.diagnostics import Diagnostic, Span
from backstay.lang.errors import FILE_UNREADABLE, NO_SOURCES, NOT_SERVED
from backstay.lang.program import Program
from backstay.lang.reports import Reports

SUFFIX = ".cai"
STDIN = "-"
_MOST_BYTES = 4 * MAX_CHARACTERS + 1
_FORMATS = click.Choice(["plain", "table", "json"])


@click.command("validate")
@click.argument("paths", metavar="FILE|FOLDER|-", nargs=-1, required=True)
@click.option("--output", "-o", type=_FORMATS, default="plain", help="How to print what is found.")
@click.option("--strict", is_flag=True, help="Warnings count as mistakes.")
def validate(paths: Sequence[str], output: str, strict: bool) -> int:
    """Check .cai files as one program. A folder is all its .cai files; - is standard input.

    Exit code 0: valid, 1: mistakes were found, 2: a file could not be read.
    """
    try:
        sources, found = sources_of(paths)
    except Fault as unreadable:
        if output != "json":
            raise
        emit_json({"valid": False, "diagnostics": [_of_file(unreadable, paths)]})
        return unreadable.entry.exit
    program: Program | None = None
    if not found:
        program, found = check_files(sources)
    if program is not None:
        found = sorted([*found, *_unserved(program)], key=lambda each: (each.span, each.code))
    if strict and found:
        program = None
    if output == "json":
        emit_json({"valid": program is not None, "diagnostics": found})
    else:
        say(found, sources, output)
        if program is not None:
            click.echo(f"{', '.join(paths)}: valid: {_made_of(program)}")
    return Exit.OK if program is not None else Exit.NEGATIVE


@click.command("parse")
@click.argument("path", metavar="FILE|-")
@click.option("--output", "-o", type=_FORMATS, default="plain", help="How to print the tree.")
def parse(path: str, output: str) -> int:
    """Print the syntax tree of one file; mistakes go to standard error.

    Exit code 0: parsed, 1: mistakes of form were found, 2: the file could not be read.
    """
    from backstay.lang.tree import outline, plain

    name, text, found = read(path)
    file, more = parse_text(name, text)
    found = found or more
    if output == "json":
        emit_json(plain(file))
    elif output == "table":
        rows = [(kind, title, str(line), str(size)) for kind, title, line, size in outline(file)]
        table(("KIND", "NAME", "LINE", "MEMBERS"), rows, err=False)
    else:
        for kind, title, line, size in outline(file):
            what = f"{kind} {title}".rstrip()
            click.echo(f"{name}:{line}: {what} ({size} members)")
    say(found, [(name, text)], "plain")
    return Exit.NEGATIVE if found else Exit.OK


def _of_file(unreadable: Fault, paths: Sequence[str]) -> Diagnostic:
    """A file that cannot be read, in the shape of everything else that is wrong."""
    path = str(unreadable.values.get("path", paths[0]))
    return Diagnostic(
        code=unreadable.entry.code,
        kind="FileError",
        message=unreadable.message,
        span=Span(path, 1, 1, 1, 1),
        hint=unreadable.fix,
    )


def _unserved(program: Program) -> list[Diagnostic]:
    """What a server would refuse, as warnings. A script alone is not meant for one."""
    if not any(_served_parts(program)):
        return []
    # The table is the runtime's: the language does not know what runs.
    from backstay.app.unsupported import problems

    found: list[Diagnostic] = []
    # One word can be two constructs, such as a function and its declaration.
    for place, each in {each.place: each for each in problems(program)}.items():
        reports = Reports(place.file)
        span = Span(place.file, place.line, place.column, place.line, place.column + 1)
        reports.add(NOT_SERVED, span, what=each.what, instead=each.instead)
        found += reports.found
    return found


def _served_parts(program: Program) -> tuple[Sequence[object], ...]:
    work = (program.endpoints, program.workflows, program.jobs, program.handlers, program.webhooks)
    return (*work, program.entities, program.models, program.integrations, program.events)


def _made_of(program: Program) -> str:
    parts = (
        ("entity", "entities", len(program.entities)),
        ("endpoint", "endpoints", len(program.endpoints)),
        ("workflow", "workflows", len(program.workflows)),
        ("job", "jobs", len(program.jobs)),
        ("integration", "integrations", len(program.integrations)),
        ("event", "events", len(program.events)),
        ("webhook", "webhooks", len(program.webhooks) + len(program.incoming)),
        ("model", "models", len(program.models)),
        ("role", "roles", len(program.roles)),
        ("function", "functions", len(program.functions)),
        ("statement", "statements", len(program.script)),
        ("test", "tests", len(program.tests)),
    )
    said = [f"{count} {one if count == 1 else many}" for one, many, count in parts if count]
    return ", ".join(said) or "empty"


def checked_program(paths: Sequence[str]) -> Program | None:
    """The program of files and folders; what is wrong with it goes to standard error."""
    sources, found = sources_of(paths)
    program: Program | None = None
    if not found:
        program, found = check_files(sources)
    if program is None:
        say(found, sources, "plain")
    return program


# --- reading -----------------------------------------------------------------------------------


def sources_of(paths: Sequence[str]) -> tuple[list[tuple[str, str]], list[Diagnostic]]:
    """Name and text of each source; a file that is no text gives diagnostics."""
    sources: list[tuple[str, str]] = []
    unread: list[Diagnostic] = []
    for path in dict.fromkeys(each for given in paths for each in source_files(given)):
        name, text, found = read(path)
        sources.append((name, text))
        unread += found
    return sources, unread


def source_files(given: str) -> list[str]:
    """The .cai files of a folder, sorted; anything else is itself."""
    path = Path(given)
    if given == STDIN or not path.is_dir():
        return [given]
    try:
        found = sorted(str(each) for each in path.iterdir() if each.suffix == SUFFIX)
    except OSError as bad:
        raise Fault(FILE_UNREADABLE, path=given, reason=_reason(bad)) from bad
    if not found:
        raise Fault(NO_SOURCES, path=given)
    return found


def read(path: str) -> tuple[str, str, list[Diagnostic]]:
    """Name, text and why it is no text. Raises LANG120."""
    name = "<stdin>" if path == STDIN else path
    try:
        # Bounded: the language refuses what is larger, so the rest need not be read.
        if path == STDIN:
            data = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_MOST_BYTES)
    except OSError as bad:
        raise Fault(FILE_UNREADABLE, path=path, reason=_reason(bad)) from bad
    text, found = decode(name, data)
    return name, text, found


def _reason(bad: OSError) -> str:
    return (bad.strerror or str(bad)).lower()


# --- printing ----------------------------------------------------------------------------------


def say(found: Sequence[Diagnostic], sources: Sequence[tuple[str, str]], output: str) -> None:
    """What is wrong, on standard error."""
    if not found:
        return
    if output == "table":
        rows = [
            (f"{each.span.file}:{each.span.line}:{each.span.column}", each.code, each.message)
            for each in found[:100]
        ]
        table(("PLACE", "CODE", "MESSAGE"), rows, err=True)
        if len(found) > len(rows):
            click.echo(f"and {len(found) - len(rows)} more", err=True)
    else:
        # Only a file with mistakes pays for the renderer.
        from backstay.lang.render import render

        click.echo(render(found, dict(sources)), err=True)
    errors = sum(each.severity == "error" for each in found)
    warnings = len(found) - errors
    if output == "plain":
        click.echo(f"\n{_plural(errors, 'error')}, {_plural(warnings, 'warning')}", err=True)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo(visible("  ".join(cells)).rstrip(), err=err)
