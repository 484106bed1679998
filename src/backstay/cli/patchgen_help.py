"""`patchgen diagnose`, `errors`, `support`, `migrate`, `schema` and `version`."""

import os
from pathlib import Path

import click

from backstay import __version__
from backstay.cli import face
from backstay.cli.patchgen_face import complain, format_option
from backstay.core.errors import Exit, Fault


@click.command("diagnose")
@click.argument("path", required=False)
@click.option("--json-text", "text", metavar="FILE", help="Say what is wrong with a JSON text.")
def diagnose(path: str | None, text: str | None) -> int:
    """The diagnostic report; with PATH, who may write there, too (default: PATCHGEN_OUTPUT_DIR).

    Exits 0 when every check passed, 1 otherwise.
    """
    if text is not None:
        from backstay.cli.patchgen_face import read_intent, show_report
        from backstay.patchgen.validate import validate

        report = validate(read_intent(text))
        show_report(report)
        return Exit.NEGATIVE if report.errors else Exit.OK
    from backstay.patchgen.diagnose import diagnose as run

    found = run(path or os.environ.get("PATCHGEN_OUTPUT_DIR", ""))
    click.echo("\n".join(found.lines))
    return Exit.OK if found.well else Exit.NEGATIVE


@click.command("errors")
@click.argument("text", nargs=-1)
@format_option
def errors(text: tuple[str, ...], format: str) -> int:
    """What a message means and what helps; without TEXT the whole table.

    Exits 1 when nothing is known about TEXT.
    """
    from backstay.patchgen.table import search, table

    rows = search(" ".join(text)) if text else table()
    if format == "json":
        face.emit_json(rows)
    for row in rows if format == "text" else ():
        click.echo(f"{row.message}\n  cause:    {row.cause}\n  solution: {row.solution}")
        click.echo(f"  more:     backstay explain {row.codes[0]}")
    if not rows:
        complain("nothing is known about this message; patchgen diagnose looks further")
    return Exit.OK if rows else Exit.NEGATIVE


@click.group("support", cls=face.Group, invoke_without_command=True)
@click.pass_context
def support(ctx: click.Context) -> int:
    """Levels, priorities, security contact; `support bundle` collects what level 3 asks for."""
    if ctx.invoked_subcommand is None:
        from backstay.patchgen.support import Contact, support_text

        click.echo(support_text(Contact.of(os.environ)), nl=False)
    return Exit.OK


@support.command("bundle")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def bundle(file: Path) -> int:
    """Diagnostic report, operator logs, system and versions in one FILE.tar.gz."""
    from backstay.patchgen.errors import disk as known
    from backstay.patchgen.paths import reason_of
    from backstay.patchgen.support import Contact, collect, write_bundle

    files = collect(os.environ.get("PATCHGEN_OUTPUT_DIR", ""), Contact.of(os.environ))
    try:
        write_bundle(file, files)
    except OSError as failed:
        raise Fault(
            known.CANNOT_WRITE,
            reason=reason_of(failed),
            path=str(file),
            remedy="choose another file",
        ) from failed
    click.echo(f"{file}: {', '.join(files)}")
    return Exit.OK


@click.command("migrate")
@click.argument("root", type=click.Path(path_type=Path, exists=True), default=".")
@click.option("--write", is_flag=True, help="Rename them; a second run changes nothing.")
@format_option
def migrate(root: Path, write: bool, format: str) -> int:
    """Find uses of the old module `internal/patch`; its name is `internal/patchgen` now.

    Exits 0 when there is none left, 1 when some were found and not renamed.
    """
    from backstay.patchgen.migrate import NEW, OLD, find, rewrite

    uses = rewrite(root) if write else find(root)
    if format == "json":
        face.emit_json(uses)
    for use in uses if format == "text" else ():
        click.echo(f"{use.path}:{use.line}:\n  - {use.before}\n  + {use.after}")
    word = "renamed" if write else "to rename"
    complain(
        f"{len(uses)} {word}: {OLD} is {NEW} now"
        + ("" if write or not uses else "; --write does it")
    )
    return Exit.NEGATIVE if uses and not write else Exit.OK


@click.command("schema")
def schema() -> int:
    """Print the JSON Schema (2020-12) of an intent."""
    from backstay.patchgen.schema import schema_text

    click.echo(schema_text(), nl=False)
    return Exit.OK


@click.command("version")
@format_option
def version(format: str) -> int:
    """Versions of the release, the generator and the schema."""
    from backstay.patchgen.model import GENERATOR, SCHEMA_VERSION

    told = {"backstay": __version__, "generator": GENERATOR, "schema": SCHEMA_VERSION}
    if format == "json":
        face.emit_json(told)
    else:
        click.echo("\n".join(f"{name} {value}" for name, value in told.items()))
    return Exit.OK
