"""`codeai server`: serve a program."""

import os
from pathlib import Path

import click

from backstay.cli.face import server_options
from backstay.core.errors import Plain


@click.command("server")
@click.argument("file", default=".", metavar="[FILE.cai|FOLDER]", type=click.Path(path_type=Path))
@server_options()
@click.option("--port", metavar="PORT", help="Port on loopback, unless --listen is given.")
@click.option(
    "--durability",
    metavar="KIND",
    help="power: an answer survives a power cut; process: only a crash.  [default: power]",
)
@click.option(
    "--migrate/--no-migrate",
    default=None,
    help="Change tables that are behind the program, if nothing stored is touched.",
)
@click.option(
    "--reload/--no-reload", default=None, help="Serve the program anew when its files change."
)
def command(
    file: Path,
    listen: str | None,
    port: str | None,
    data: str | None,
    config: Path | None,
    debug: bool | None,
    durability: str | None,
    migrate: bool | None,
    reload: bool | None,
) -> int:
    """Serve a program: its endpoints, workflows, jobs and integrations.

    A folder is one program made of its .cai files. Steps for outside workers need a codeQ server:
    CODEQ_BASE_URL (and CODEQ_PRODUCER_TOKEN where it wants one).
    """
    from backstay.app.settings import AppSettings
    from backstay.core.settings import Given, load
    from backstay.up.app_server import serve

    flags: dict[str, Plain] = {
        "--listen": listen,
        "--port": port,
        "--data": data,
        "--debug": debug,
        "--durability": durability,
        "--migrate": migrate,
        "--reload": reload,
    }
    loaded = load(AppSettings, Given(flags=flags, env=os.environ, file=config))
    return serve(file, loaded, os.environ)
