"""`codeai server`: serve a program."""

import os
from pathlib import Path

import click

from backstay.core.errors import Plain


@click.command("server")
@click.argument("file", default=".", metavar="[FILE.cai|FOLDER]", type=click.Path(path_type=Path))
@click.option(
    "--listen", metavar="ADDR", help="HOST:PORT, :PORT or unix:/path.  [default: 127.0.0.1:8080]"
)
@click.option("--port", metavar="PORT", help="Port on loopback, unless --listen is given.")
@click.option("--data", metavar="DIR", help="The data folder.  [default: .backstay]")
@click.option(
    "--config",
    metavar="FILE.yaml",
    type=click.Path(path_type=Path),
    help="Settings; the environment beats them.",
)
@click.option(
    "--durability",
    metavar="KIND",
    help="power: an answer survives a power cut; process: only a crash.  [default: power]",
)
def command(
    file: Path,
    listen: str | None,
    port: str | None,
    data: str | None,
    config: Path | None,
    durability: str | None,
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
        "--durability": durability,
    }
    loaded = load(AppSettings, Given(flags=flags, env=os.environ, file=config))
    return serve(file, loaded, os.environ)
