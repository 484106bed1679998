"""`codeq auth`: the tokens that later commands send."""

import os
from pathlib import Path

import click

from backstay.cli import face
from backstay.cli.codeq_face import Given
from backstay.core.settings import Secret

_WORKER = ("codeq:claim", "codeq:heartbeat", "codeq:result", "codeq:nack", "codeq:abandon")


@click.group("auth", cls=face.Group)
def auth() -> None:
    """Tokens that later commands send."""


@auth.command("set")
@click.option("--producer-token", default=None, metavar="JWT")
@click.option("--worker-token", default=None, metavar="JWT")
@click.option("--base-url", default=None, metavar="URL")
@click.pass_obj
def auth_set(
    given: Given, producer_token: str | None, worker_token: str | None, base_url: str | None
) -> None:
    """Store tokens; what is not given stays as it is."""
    said = {
        "producer_token": producer_token,
        "worker_token": worker_token,
        "base_url": base_url,
    }
    changes = {field: value for field, value in said.items() if value is not None}
    if not changes:
        raise click.UsageError("give --producer-token, --worker-token or --base-url")
    _store(given, changes)


@auth.command("login")
@face.data_option
@click.option("--ttl", default="1h", show_default=True, help="How long they are valid, like 24h.")
@click.pass_obj
def auth_login(given: Given, data: str, ttl: str) -> None:
    """Store fresh tokens of this machine's issuer: JWT_SECRET, or that of the data folder.

    Tokens of another issuer are stored with `codeq auth set`.
    """
    from backstay.core.clock import SystemClock
    from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
    from backstay.core.duration import parse_duration
    from backstay.core.tokens import Issuer

    try:
        seconds = parse_duration(ttl)
    except ValueError as bad:
        raise click.BadParameter(str(bad), param_hint="--ttl") from bad
    secret = Secret(os.environ.get("JWT_SECRET", "")) or read_dev_issuer(Path(data)) or Secret("")
    issuer = Issuer(secret, ISSUER, AUDIENCE, SystemClock())
    producer = ("codeq:produce", "codeq:admin")
    worker = issuer.mint("worker", _WORKER, ttl=seconds, kind="worker")
    _store(
        given,
        {
            "producer_token": issuer.mint("producer", producer, ttl=seconds, kind="producer"),
            "worker_token": worker,
        },
    )


@auth.command("show")
@face.output_option
@click.pass_obj
def auth_show(given: Given, output: str) -> None:
    """What is stored, masked, and when it expires."""
    from backstay.queue.profile import Profiles

    profile = Profiles(os.environ).read(given.profile)
    shown = {
        "Profile": profile.name,
        "Base URL": profile.base_url or "<unset>",
        "Producer token": _described(profile.producer_token),
        "Worker token": _described(profile.worker_token),
        "Token": _described(profile.token),
    }
    if output == "json":
        face.emit_json(shown)
        return
    for name, value in shown.items():
        click.echo(f"{name + ':':<16}{value}")


def _store(given: Given, changes: dict[str, str]) -> None:
    from backstay.queue.profile import Profiles

    profiles = Profiles(os.environ)
    name = profiles.read(given.profile).name
    profiles.write(name, changes)
    click.echo(f"[OK] Credentials updated for '{name}'")


def _described(token: Secret) -> str:
    """Masked; a JSON Web Token with its expiry, which is no secret (Q8)."""
    from backstay.core.clock import SystemClock, rfc3339
    from backstay.queue.profile import expiry, masked

    ends = expiry(token)
    if ends is None:
        return masked(token)
    word = "expires" if ends > SystemClock().now() else "expired"
    return f"{masked(token)} ({word} {rfc3339(ends)[:19]}Z)"
