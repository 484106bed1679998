"""What the commands over workflows, jobs and events share: where the server is, and how its answer
is printed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
import msgspec

from backstay.cli import face
from backstay.core.errors import Exit

C = TypeVar("C", bound=Callable[..., Any])
DEFAULT_BASE_URL = "http://localhost:8080"


class Given(msgspec.Struct, frozen=True):
    """Where the server is, and how to print."""

    base_url: str
    token: str
    output: str


def given_options(command: C) -> C:
    """`--base-url`, `--token` and `--output` as three parameters."""
    for option in (
        face.output_option,
        click.option("--token", envvar="CODEAI_TOKEN", metavar="JWT", default=""),
        click.option(
            "--base-url", envvar="CODEAI_BASE_URL", default=DEFAULT_BASE_URL, show_default=True
        ),
    ):
        command = option(command)
    return command


def ask(
    given: Given,
    method: str,
    path: str,
    body: bytes = b"",
    /,
    headers: Mapping[str, str] | None = None,
    **query: str | int,
) -> dict[str, Any]:
    """What the server answers."""
    from backstay.app.flow.client import FlowClient
    from backstay.core.clock import SystemClock

    async def asked() -> dict[str, Any]:
        client = FlowClient(SystemClock(), given.base_url, given.token)
        try:
            return await client.ask(method, path, body, headers, **query)
        finally:
            await client.close()

    return asyncio.run(asked())


def show_list(
    given: Given,
    body: dict[str, Any],
    heads: Sequence[str],
    row: Callable[[dict[str, Any]], list[str]],
) -> int:
    """A page of a list as a table, or as JSON."""
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    rows = [list(heads), *(row(item) for item in body["data"])]
    widths = [max(len(line[column]) for line in rows) for column in range(len(heads))]
    for line in rows:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        face.tell("  ".join(cells).rstrip())
    page = body["pagination"]
    if page["has_next"]:
        face.tell(f"page {page['page']}; there are {page['total']} in all")
    return Exit.OK


def say(given: Given, body: dict[str, Any], text: str) -> int:
    """One line made of the answer, or the answer as JSON."""
    if given.output == "json":
        face.emit_json(body)
    else:
        face.tell(text.format_map(body))
    return Exit.OK


def json_option(text: str, what: str) -> bytes:
    """A value that a person typed as JSON. Raises click's usage error for what is none."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as bad:
        raise click.UsageError(f"{what} is not JSON: {bad}") from bad
    return text.encode()
