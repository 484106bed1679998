"""`codeq init` and `codeq auth`: the server and the tokens that later commands use."""

import os
from pathlib import Path

import click

from backstay.cli import face
from backstay.cli.codeq_face import Given, warn
from backstay.cli.codeq_login import provider_options
from backstay.core.settings import Secret

_WORKER = ("codeq:claim", "codeq:heartbeat", "codeq:result", "codeq:nack", "codeq:abandon")


def _admin_said(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    del ctx, param
    if value:
        warn("--admin changes nothing: who is an admin is said by the token (--admin-token)")
    return value


admin_flag = click.option(
    "--admin",
    "_admin",
    is_flag=True,
    hidden=True,
    callback=_admin_said,
    help="Known from codeQ; not needed.",
)


@click.command("init")
@click.option("--base-url", default="", metavar="URL", help="The server.")
@click.option("--producer-token", default="", metavar="JWT")
@click.option("--worker-token", default="", metavar="JWT")
@click.option("--admin-token", default="", metavar="JWT")
@click.option("--iam-base-url", default="", metavar="URL", help="Where auth login asks.")
@click.option("--iam-api-key", default="", metavar="KEY", help="Its ?key=")
@admin_flag
@click.option("--no-prompt", is_flag=True, help="Ask nothing; what is not given stays unset.")
@click.pass_obj
def init(
    given: Given,
    base_url: str,
    producer_token: str,
    worker_token: str,
    admin_token: str,
    iam_base_url: str,
    iam_api_key: str,
    _admin: bool,
    no_prompt: bool,
) -> None:
    """Make a profile: which server, with which tokens."""
    from backstay.queue.client import DEFAULT_BASE_URL
    from backstay.queue.profile import Profiles

    profiles = Profiles(os.environ)
    kept = profiles.read(given.profile)
    if not no_prompt:
        shown = base_url or kept.base_url or DEFAULT_BASE_URL
        base_url = click.prompt("Server", default=shown)
        producer_token = producer_token or _asked("Producer token")
        worker_token = worker_token or _asked("Worker token")
    changes = {
        "base_url": base_url or given.base_url or kept.base_url or DEFAULT_BASE_URL,
        "producer_token": producer_token,
        "worker_token": worker_token,
        "admin_token": admin_token,
        "iam_base_url": iam_base_url or given.iam_base_url,
        "iam_api_key": iam_api_key or given.iam_api_key,
    }
    profiles.write(kept.name, {name: text for name, text in changes.items() if text})
    click.echo(f"[OK] Initialized profile '{kept.name}' at {profiles.path}")


@click.group("auth", cls=face.Group)
def auth() -> None:
    """Tokens that later commands send."""


@auth.command("set")
@click.option("--producer-token", default=None, metavar="JWT")
@click.option("--worker-token", default=None, metavar="JWT")
@click.option("--admin-token", default=None, metavar="JWT")
@click.option("--base-url", default=None, metavar="URL")
@admin_flag
@click.pass_obj
def auth_set(
    given: Given,
    producer_token: str | None,
    worker_token: str | None,
    admin_token: str | None,
    base_url: str | None,
    _admin: bool,
) -> None:
    """Store tokens; what is not given stays as it is."""
    said = {
        "producer_token": producer_token,
        "worker_token": worker_token,
        "admin_token": admin_token,
        "base_url": base_url,
    }
    changes = {field: value for field, value in said.items() if value is not None}
    if not changes and not _admin:
        raise click.UsageError("give --producer-token, --worker-token, --admin-token or --base-url")
    _store(given, changes)


@auth.command("clear")
@click.option("--producer", is_flag=True, help="Only the producer's.")
@click.option("--worker", is_flag=True, help="Only the worker's.")
@click.option("--admin", is_flag=True, help="Only the admin's.")
@click.option("--all", "everything", is_flag=True, help="All of them; also without any flag.")
@click.pass_obj
def auth_clear(given: Given, producer: bool, worker: bool, admin: bool, everything: bool) -> None:
    """Forget tokens."""
    from backstay.queue.profile import Profiles

    chosen = {"producer_token": producer, "worker_token": worker, "admin_token": admin}
    if everything or not any(chosen.values()):
        chosen = dict.fromkeys((*chosen, "token"), True)
    profiles = Profiles(os.environ)
    name = profiles.read(given.profile).name
    profiles.write(name, {field: "" for field, gone in chosen.items() if gone})
    click.echo(f"[OK] Tokens cleared for '{name}'")


@auth.command("login")
@face.data_option
@click.option("--ttl", default="1h", show_default=True, help="How long they are valid, like 24h.")
@provider_options
@click.pass_obj
def auth_login(given: Given, /, data: str, ttl: str, **provider: object) -> None:
    """Store fresh tokens.

    With --login-url (or --iam-base-url) those of an identity provider: it is asked with e-mail and
    password, and what it gives may be exchanged for another token. Without, those of this machine's
    own issuer: JWT_SECRET, or that of the data folder.
    """
    from backstay.cli.codeq_login import login

    fresh = login(given, provider) or _own_tokens(data, ttl)
    if provider["save"]:
        name = _stored(given, fresh)
        click.echo(f"[OK] Logged in. Token stored for '{name}'")
    else:
        for field, token in fresh.items():
            click.echo(f"{field}: {token}")


def _own_tokens(data: str, ttl: str) -> dict[str, str]:
    from backstay.core.clock import SystemClock
    from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
    from backstay.core.duration import parse_duration
    from backstay.core.errors import Fault
    from backstay.core.tokens import Issuer
    from backstay.queue.errors import NO_ISSUER

    try:
        seconds = parse_duration(ttl)
    except ValueError as bad:
        raise click.BadParameter(str(bad), param_hint="--ttl") from bad
    secret = Secret(os.environ.get("JWT_SECRET", "")) or read_dev_issuer(Path(data))
    if not secret:
        raise Fault(NO_ISSUER, data=data)
    issuer = Issuer(secret, ISSUER, AUDIENCE, SystemClock())
    producer = ("codeq:produce", "codeq:admin")
    return {
        "producer_token": issuer.mint("producer", producer, ttl=seconds, kind="producer"),
        "worker_token": issuer.mint("worker", _WORKER, ttl=seconds, kind="worker"),
    }


@auth.command("show")
@face.output_option
@click.pass_obj
def auth_show(given: Given, output: str) -> None:
    """What is stored, masked, and when it expires."""
    from backstay.queue.profile import Profiles, masked

    profiles = Profiles(os.environ)
    warn(profiles.exposed())
    profile = profiles.read(given.profile)
    shown = {
        "Profile": profile.name,
        "Base URL": profile.base_url or "<unset>",
        "Producer token": _described(profile.producer_token),
        "Worker token": _described(profile.worker_token),
        "Admin token": _described(profile.admin_token),
        "Token": _described(profile.token),
        "IAM URL": profile.iam_base_url or "<unset>",
        "API Key": masked(profile.iam_api_key),
    }
    if output == "json":
        face.emit_json(shown)
        return
    for name, value in shown.items():
        click.echo(f"{name + ':':<16}{value}")


def _asked(what: str) -> str:
    return str(click.prompt(what, default="", hide_input=True, show_default=False))


def _store(given: Given, changes: dict[str, str]) -> None:
    click.echo(f"[OK] Credentials updated for '{_stored(given, changes)}'")


def _stored(given: Given, changes: dict[str, str]) -> str:
    from backstay.queue.profile import Profiles

    profiles = Profiles(os.environ)
    name = profiles.read(given.profile).name
    profiles.write(name, changes)
    return name


def _described(token: Secret) -> str:
    """Masked; a JSON Web Token with its expiry, which is no secret (Q8)."""
    from backstay.core.clock import SystemClock, rfc3339
    from backstay.queue.profile import expiry, masked

    ends = expiry(token)
    if ends is None:
        return masked(token)
    word = "expires" if ends > SystemClock().now() else "expired"
    return f"{masked(token)} ({word} {rfc3339(ends)[:19]}Z)"
