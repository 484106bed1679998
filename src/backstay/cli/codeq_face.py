"""What the `codeq` commands share: the server they ask, how they read and how they print."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from backstay.cli import face

if TYPE_CHECKING:
    from backstay.queue.client import QueueClient

T = TypeVar("T")


class Given(msgspec.Struct, frozen=True):
    """What was said before the sub-command."""

    base_url: str
    producer_token: str
    worker_token: str
    profile: str


def client_of(given: Given) -> "QueueClient":
    """Flag or environment, then the profile, then the default."""
    from backstay.queue.client import DEFAULT_BASE_URL, QueueClient
    from backstay.queue.profile import Profiles

    kept = Profiles(os.environ).read(given.profile)
    either = kept.token.reveal()
    return QueueClient(
        given.base_url or kept.base_url or DEFAULT_BASE_URL,
        producer_token=given.producer_token or kept.producer_token.reveal() or either,
        worker_token=given.worker_token or kept.worker_token.reveal() or either,
        timeout=float(os.environ.get("CODEQ_TIMEOUT_SECONDS") or 30),
    )


def ask(given: Given, question: "Callable[[QueueClient], Awaitable[T]]") -> T:
    """Ask one thing of the server, over a client that is closed afterwards."""
    import asyncio

    async def asking() -> T:
        client = client_of(given)
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(asking())


def read_json(text: str) -> object:
    """JSON, or `@FILE` with it. Raises QUEUE052."""
    from pathlib import Path

    from backstay.core.errors import Fault
    from backstay.queue.errors import BAD_ARGUMENT

    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, OSError) as bad:
        raise Fault(BAD_ARGUMENT, name="--payload", reason=f"{bad}") from bad


def read_time(text: str) -> float | None:
    """Epoch seconds of an RFC 3339 time, None for none. Raises QUEUE052."""
    from backstay.core.clock import parse_rfc3339
    from backstay.core.errors import Fault
    from backstay.queue.errors import BAD_ARGUMENT

    try:
        return parse_rfc3339(text) if text else None
    except ValueError as bad:
        raise Fault(BAD_ARGUMENT, name="--run-at", reason=str(bad)) from bad


def show(found: msgspec.Struct, output: str) -> None:
    """All fields of one thing."""
    if output == "json":
        face.emit_json(found)
        return
    for name, value in msgspec.to_builtins(found).items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        click.echo(f"{name + ':':<18}{text}")


def draw(head: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    """A table, or the words in `none` when it would be empty."""
    if not rows:
        click.echo(none)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    # Ids are for copying: when the output is no terminal, nothing may be folded away.
    Console(width=console.width if console.is_terminal else 400).print(table, soft_wrap=False)
