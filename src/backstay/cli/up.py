"""`backstay up`: the supervisor in the foreground, or with `--detach` behind the terminal."""

import os
from pathlib import Path

import click

from backstay.core.errors import Exit


@click.command("up")
@click.argument("file", required=False, metavar="[FILE.cai]")
@click.option("--data", metavar="DIR", help="The data folder.  [default: .backstay]")
@click.option("--host", metavar="HOST", help="Where the gateway listens.  [default: 127.0.0.1]")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(1, 65535), help="Its port.  [default: 8080]"
)
@click.option("--config", metavar="FILE.yaml", help="Settings: a section for each system.")
@click.option("--detach", "-d", is_flag=True, help="Return once it is ready, and leave it running.")
def command(
    file: str | None,
    data: str | None,
    host: str | None,
    port: int | None,
    config: str | None,
    detach: bool,
) -> int:
    """Start what there is: queue, app, gateway, and what backstay.yaml beside FILE.cai names.

    It waits until all is healthy, prints one table of addresses and shows the logs. Ctrl-C drains
    and exits 0, a second one forces.
    """
    from backstay.up.start import Asked, in_background, in_foreground

    asked = Asked(
        data=data,
        host=host,
        port=port,
        app_file=Path(file) if file else None,
        config=Path(config) if config else None,
    )
    # Popped: what a supervisor starts may start supervisors of its own.
    if detach and not os.environ.pop("BACKSTAY_DETACHED", ""):
        return in_background(asked)
    return in_foreground(asked) or Exit.OK
