"""Backup and restore of a whole data folder."""

import asyncio
from pathlib import Path

import click

from backstay.cli.face import data_option, emit_json, output_option
from backstay.core.errors import Exit


@click.command("backup")
@click.argument("folder", metavar="DIR")
@data_option
@output_option
def backup(folder: str, data: str, output: str) -> int:
    """Copy all stores into a new folder DIR, while they run or not."""
    from backstay.up.holdings import back_up

    manifest = asyncio.run(back_up(Path(data), Path(folder)))
    if output == "json":
        emit_json(manifest)
    else:
        click.echo(f"backed up to {folder}: {', '.join(manifest.stores) or 'no store yet'}")
    return Exit.OK


@click.command("restore")
@click.argument("folder", metavar="DIR")
@data_option
@output_option
def restore(folder: str, data: str, output: str) -> int:
    """Put the backup in DIR in place of the stores; the old ones stay as NAME.before-restore."""
    from backstay.up.holdings import restore as put_back

    manifest = put_back(Path(folder), Path(data))
    if output == "json":
        emit_json(manifest)
    else:
        click.echo(f"restored from {manifest.at[:19]}Z: {', '.join(manifest.stores)}")
    return Exit.OK
