"""`backstay gateway`: the gateway alone, and what a person asks a running one."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from backstay.cli.face import Group, emit_json, output_option, server_options
from backstay.core.errors import Exit, Plain

F = TypeVar("F", bound=Callable[..., Any])


@click.group("gateway", cls=Group)
def command() -> None:
    """The reverse proxy in front of all systems."""


def _reaching(asked: F) -> F:
    """Where the gateway is, and with which token."""
    token = click.option("--token", default="", envvar="BACKSTAY_TOKEN", help="A bearer token.")
    url = click.option(
        "--url",
        default="http://127.0.0.1:8080",
        show_default=True,
        envvar="BACKSTAY_URL",
        help="The gateway's address.",
    )
    return url(token(asked))


@command.command()
@server_options()
def serve(listen: str | None, data: str | None, config: Path | None, debug: bool | None) -> int:
    """Serve until told to stop: SIGTERM or Ctrl-C drains, a second one ends at once."""
    from backstay.core.process import run_process
    from backstay.core.settings import Given, load
    from backstay.gateway.settings import GatewaySettings
    from backstay.gateway.system import build

    flags: dict[str, Plain] = {"--listen": listen, "--data": data, "--debug": debug}
    loaded = load(GatewaySettings, Given(flags=flags, env=os.environ, file=config))
    return run_process("gateway", loaded, build)


@command.command()
@_reaching
@output_option
def breakers(url: str, token: str, output: str) -> int:
    """Every circuit breaker with its state. Exits 1 when one is not closed."""
    from backstay.gateway.client import ask_gateway

    found = ask_gateway(url, "GET", "/v1/gateway/breakers", token)["data"]
    if output == "json":
        emit_json(found)
    else:
        for view in found:
            click.echo(_line(view))
    return Exit.OK if all(view["state"] == "closed" for view in found) else Exit.NEGATIVE


@command.command()
@click.argument("target")
@_reaching
@output_option
def reset(target: str, url: str, token: str, output: str) -> int:
    """Close a circuit breaker at once. TARGET as `breakers` prints it."""
    from backstay.gateway.client import ask_gateway

    path = f"/v1/gateway/breakers/{quote(target)}/reset"
    view = ask_gateway(url, "POST", path, token)
    if output == "json":
        emit_json(view)
    else:
        click.echo(f"{target}: {view['state']}")
    return Exit.OK


@command.command()
@_reaching
@output_option
def routes(url: str, token: str, output: str) -> int:
    """What is served, and by whom."""
    from backstay.gateway.client import ask_gateway

    found = ask_gateway(url, "GET", "/", token)
    if output == "json":
        emit_json(found)
        return Exit.OK
    for route in found["routes"]:
        click.echo(
            f"{route['prefix']:<32} {route['upstream']:<10} {route['kind']:<7} {route['auth']}"
        )
    for path in found["own"]:
        click.echo(f"{path:<32} gateway")
    return Exit.OK


def _line(view: Mapping[str, Any]) -> str:
    line = f"{view['target']:<24} {view['state']:<10} {view['total_failures']} failures in all"
    if view["state"] != "closed":
        line += f", since {view['opened_at'][:19]}Z: {view['reason']}"
    return line
