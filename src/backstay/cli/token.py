"""`backstay token`: a token of the development issuer, or of JWT_SECRET when that is set."""

import os
from pathlib import Path
from typing import Literal, cast

import click

from backstay.cli.face import data_option, emit_json, output_option
from backstay.core.errors import Exit


@click.command("token")
@data_option
@click.option("--scope", multiple=True, help="A scope it holds; may be given several times.")
@click.option("--role", multiple=True, help="A role it holds; may be given several times.")
@click.option("--tenant", default="default", show_default=True, help="Whose data it may see.")
@click.option("--sub", default="developer", show_default=True, help="Whom it speaks for.")
@click.option(
    "--kind",
    type=click.Choice(["user", "worker", "producer"]),
    default="user",
    help="What it speaks for.",
)
@click.option(
    "--ttl", default="1h", show_default=True, help="How long it is valid, like 90s or 24h."
)
@output_option
def command(
    data: str,
    scope: tuple[str, ...],
    role: tuple[str, ...],
    tenant: str,
    sub: str,
    kind: str,
    ttl: str,
    output: str,
) -> int:
    """Print a bearer token (HS256). Nothing has to run for it."""
    from backstay.core.clock import SystemClock
    from backstay.core.dev_issuer import AUDIENCE, ISSUER, make_dev_issuer
    from backstay.core.settings import Secret
    from backstay.core.tokens import Issuer

    given = os.environ.get("JWT_SECRET")
    if not given:
        Path(data).mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = Secret(given) if given else make_dev_issuer(Path(data))
    seconds = _seconds(ttl)
    clock = SystemClock()
    token = Issuer(secret, ISSUER, AUDIENCE, clock).mint(
        sub,
        _words(scope),
        _words(role),
        tenant,
        seconds,
        kind=cast("Literal['user', 'worker', 'producer']", kind),
    )
    if output == "json":
        emit_json({"token": token, "expires": int(clock.now() + seconds)})
    else:
        click.echo(token)
    return Exit.OK


def _words(given: tuple[str, ...]) -> list[str]:
    return [word for text in given for word in text.replace(",", " ").split()]


def _seconds(text: str) -> float:
    from backstay.core.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as bad:
        raise click.BadParameter(str(bad), param_hint="--ttl") from bad
