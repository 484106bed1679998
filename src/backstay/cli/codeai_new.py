"""`codeai new`: a folder with a program to start from."""

from pathlib import Path

import click

from backstay.core.errors import Exit, Fault
from backstay.lang.errors import CANNOT_WRITE, FOLDER_TAKEN
from backstay.lang.starters import STARTERS, starter


@click.command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--starter",
    "kind",
    type=click.Choice(STARTERS),
    default="api",
    show_default=True,
    help="api: rows over HTTP; workflow: steps that are undone when one fails; job: by the clock.",
)
def new(folder: Path, kind: str) -> int:
    """Make FOLDER with app.cai in it. Nothing that exists is changed."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Fault(FOLDER_TAKEN, path=str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "app.cai"
        with file.open("x", encoding="utf-8") as made:
            made.write(starter(kind))
    except OSError as bad:
        reason = (bad.strerror or str(bad)).lower()
        raise Fault(CANNOT_WRITE, path=str(folder), reason=reason) from bad
    click.echo(f"{file}: made")
    click.echo(f"next: codeai validate {folder}; codeai server {folder}")
    return Exit.OK
