"""`patchgen diff`, `verify`, `undo` and `conflicts`: packages that are on a disk."""

from pathlib import Path

import click

from backstay.cli import face
from backstay.cli.patchgen_face import complain, format_option, output_option
from backstay.core.errors import Exit, Fault

_FOLDER = click.Path(path_type=Path)


@click.command("verify")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@format_option
def verify(packages: tuple[str, ...], format: str) -> int:
    """Whether packages are what their intents make: hash, provenance, every byte.

    Exits 0 when all are, 1 when one was changed, 2 for what is no package or of another form.
    """
    from backstay.patchgen.packages import read_own

    found = [read_own(path) for path in packages]
    if format == "json":
        face.emit_json(found)
    for one in found if format == "text" else ():
        if one.changed:
            complain(f"changed: {one.path}: {one.changed}")
        else:
            told = one.provenance
            whose = f" by {told.source}" if told.source else ""
            click.echo(f"intact: {one.path} ({told.intent_hash}, {told.generator}{whose})")
    return Exit.NEGATIVE if any(one.changed for one in found) else Exit.OK


@click.command("diff")
@click.argument("package")
@click.argument("other", required=False)
@click.option("--base", type=_FOLDER, help="Manifests that the package would change.")
def diff(package: str, other: str | None, base: Path | None) -> int:
    """What PACKAGE would change in manifests, or how it differs from OTHER.

    Exits 0 when nothing would change, 1 otherwise.
    """
    from backstay.patchgen import packages

    if other is not None:
        text = packages.diff_packages(Path(package), Path(other))
        scalers: list[str] = []
    elif base is not None:
        text, scalers = packages.diff_base(packages.read_package(package).intent, base)
    else:
        raise click.UsageError("give OTHER, or --base with the manifests to change")
    for name in scalers:
        complain(
            f"warning PATCH044: HorizontalPodAutoscaler {name} owns this count and sets it back"
        )
    click.echo(text, nl=False)
    return Exit.NEGATIVE if text else Exit.OK


@click.command("undo")
@click.argument("package")
@click.option("--to", "count", type=click.IntRange(0, 100), help="The former count.")
@click.option("--base", type=_FOLDER, help="Manifests that hold the former count.")
@output_option
@click.option("--dry-run", is_flag=True, help="Write nothing.")
def undo(package: str, count: int | None, base: Path | None, output: str, dry_run: bool) -> int:
    """Make the package that takes PACKAGE back, beside it unless -output says otherwise."""
    from backstay.core.clock import SystemClock, Uuid7
    from backstay.patchgen import packages
    from backstay.patchgen.render import render
    from backstay.patchgen.write import FolderWriter

    found = packages.verify(package)
    former = count if count is not None else packages.former_count(found, base)
    made = render(packages.undo(found, former))
    writer = FolderWriter(output or found.path.parent, Uuid7(SystemClock()), dry_run=dry_run)
    [placed] = writer.place([made])
    if isinstance(placed, Fault):
        raise placed
    if dry_run:
        complain("dry run: nothing was written")
    click.echo(str(placed.path))
    return Exit.OK


@click.command("conflicts")
@click.argument("folder", type=_FOLDER)
@format_option
def conflicts(folder: Path, format: str) -> int:
    """Packages in FOLDER that set one workload to different counts, or fight an autoscaler whose
    manifest is there, too.

    Exits 0 when there are none, 1 otherwise.
    """
    from backstay.patchgen.packages import fights

    found = fights(folder)
    if format == "json":
        face.emit_json(found)
        return Exit.NEGATIVE if found else Exit.OK
    for one in found:
        click.echo(f"{one.target}:")
        for name, count in one.counts.items():
            click.echo(f"  {count:>3}  {name}")
        for name in one.autoscalers:
            click.echo(f"  HorizontalPodAutoscaler {name} owns this count")
    if not found:
        click.echo("no conflicts")
    return Exit.NEGATIVE if found else Exit.OK
