"""`codeai dev`: serve a program while it is being written."""

import os
from pathlib import Path

import click


@click.command("dev")
@click.argument("file", default=".", metavar="[FILE.cai|FOLDER]", type=click.Path(path_type=Path))
@click.option("--port", metavar="PORT", help="Port on loopback.  [default: 8080]")
@click.option("--data", metavar="DIR", help="The data folder.  [default: .backstay]")
@click.option(
    "--migrate/--no-migrate",
    default=True,
    show_default=True,
    help="Change tables that are behind the program, if nothing stored is touched.",
)
def dev(file: Path, port: str | None, data: str | None, migrate: bool) -> int:
    """Serve a program, look at its files, and serve it anew when they change.

    Mistakes are shown here with their places, and the program before them goes on. Logs are text
    unless LOG_FORMAT says otherwise.
    """
    from backstay.app.settings import AppSettings
    from backstay.core.settings import Given, load
    from backstay.up.app_server import serve

    env = {"LOG_FORMAT": "text", **os.environ}
    flags = {"--port": port, "--data": data, "--migrate": migrate, "--reload": True}
    return serve(file, load(AppSettings, Given(flags=flags, env=env)), os.environ)
