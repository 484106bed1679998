"""`codeai version`: what a bug report begins with."""

import platform

import click

from backstay import __version__
from backstay.cli.face import emit_json, output_option


@click.command("version")
@output_option
def version(output: str) -> int:
    """Print the version, and what it runs on."""
    told = {
        "codeai": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if output == "json":
        emit_json(told)
    else:
        click.echo(f"codeai {__version__} (Python {told['python']}, {told['platform']})")
    return 0
