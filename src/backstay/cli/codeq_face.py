"""What the `codeq` commands share: the server they ask, how they read and how they print."""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem

from backstay.cli import face
from backstay.core.visible import visible

if TYPE_CHECKING:
    from backstay.queue.api.wire import Count, TaskView
    from backstay.queue.client import QueueClient

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


class Given(msgspec.Struct, frozen=True):
    """What was said before the sub-command."""

    base_url: str = ""
    producer_token: str = ""
    worker_token: str = ""
    admin_token: str = ""
    profile: str = ""
    timeout: float = 30.0
    iam_base_url: str = ""
    iam_api_key: str = ""


def client_of(given: Given) -> "QueueClient":
    """Flag or environment, then the profile, then the default. A person sees a failure at once, so
    nothing is repeated."""
    from backstay.queue.client import DEFAULT_BASE_URL, QueueClient
    from backstay.queue.profile import Profiles

    profiles = Profiles(os.environ)
    warn(profiles.exposed())
    kept = profiles.read(given.profile)
    either = kept.token.reveal()

    def worker_token() -> str:
        # A worker runs for longer than a token is valid: `codeq auth login` renews it meanwhile.
        now = profiles.read(given.profile)
        return given.worker_token or now.worker_token.reveal() or now.token.reveal()

    return QueueClient(
        given.base_url or kept.base_url or DEFAULT_BASE_URL,
        producer_token=given.producer_token or kept.producer_token.reveal() or either,
        worker_token=worker_token,
        admin_token=given.admin_token or kept.admin_token.reveal(),
        timeout=given.timeout,
        retries=0,
    )


def ask(given: Given, question: "Callable[[QueueClient], Awaitable[T]]") -> T:
    """Ask one thing of the server, over a client that is closed afterwards."""
    import asyncio

    async def asking() -> T:
        async with client_of(given) as client:
            return await question(client)

    return asyncio.run(asking())


def ask_until_done(
    given: Given, step: "Callable[[QueueClient], Awaitable[Count]]", verb: str
) -> int:
    """Repeat a bounded step while it leaves some, showing on a terminal how far it is. Gives how
    many there were."""

    async def asking(client: "QueueClient") -> int:
        total = 0
        while True:
            done = await step(client)
            total += done.count
            if not done.more or not done.count:
                return total
            progress(f"{verb} {total:,} so far")

    try:
        return ask(given, asking)
    finally:
        progress("")


def warn(text: str) -> None:
    """One line on standard error, which spoils no output; nothing for an empty text."""
    if text:
        click.echo(f"[WARN] {text}", err=True)


def progress(text: str) -> None:
    """One line on a terminal that the next one overwrites; nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


class Event(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A kind of work; the shell completes it with what the server has."""

    name = "event"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del param
        from backstay.core.errors import Fault

        given = msgspec.structs.replace(_given_of(ctx), timeout=2.0)
        try:
            queues = ask(given, lambda client: client.list_queues())
        except Fault:
            return []  # a line that is being typed is no place for errors
        names = sorted({queue.command for queue in queues})
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


EVENT = Event()


def event_option(
    *, required: bool = False, help: str = "Only this kind of work."
) -> Callable[[F], F]:
    """`--event NAME`, also `--command`, as the parameter `event`."""
    return click.option(
        "--event",
        "--command",
        "event",
        required=required,
        default=None if required else "",
        type=EVENT,
        metavar="NAME",
        help=help,
    )


def tenant_option(command: F) -> F:
    """`--tenant NAME` for those who serve all."""
    return click.option(
        "--tenant", default="", metavar="NAME", help="Whose; for those who serve all tenants."
    )(command)


def yes_option(question: str) -> Callable[[F], F]:
    """`--yes`, without which a person is asked."""
    return click.confirmation_option(prompt=question, help="Do not ask.")


def read_json(text: str, name: str = "--payload") -> object:
    """JSON, `@FILE` with it, or `-` for standard input. Raises QUEUE052."""
    from pathlib import Path

    from backstay.core.errors import Fault
    from backstay.queue.errors import BAD_ARGUMENT

    try:
        if text == "-":
            raw = sys.stdin.buffer.read()
        else:
            raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, OSError) as bad:
        raise Fault(BAD_ARGUMENT, name=name, reason=f"{bad}") from bad


def read_time(text: str, name: str) -> float | None:
    """Epoch seconds of an RFC 3339 time, None for none. Raises QUEUE052."""
    from backstay.core.clock import parse_rfc3339
    from backstay.core.errors import Fault
    from backstay.queue.errors import BAD_ARGUMENT

    try:
        return parse_rfc3339(text) if text else None
    except ValueError as bad:
        raise Fault(BAD_ARGUMENT, name=name, reason=str(bad)) from bad


def show(found: object, output: str) -> None:
    """All fields of one thing."""
    if output == "json":
        face.emit_json(found)
        return
    for name, value in msgspec.to_builtins(found).items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        face.tell(f"{name + ':':<18}{text}")


def tell_done(done: object, output: str, text: str) -> None:
    """What a command did: `text` for people, `done` as JSON."""
    if output == "json":
        face.emit_json(done)
    else:
        face.tell(text)


def draw(head: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    """A table, or the words in `none` when it would be empty."""
    if not rows:
        click.echo(none)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # What a user wrote is no markup, and nothing for the terminal to obey.
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console()
    # Ids are for copying: when the output is no terminal, nothing may be folded away.
    Console(width=console.width if console.is_terminal else 400).print(table, soft_wrap=False)


def draw_tasks(tasks: "Sequence[TaskView]", none: str) -> None:
    """What a list of tasks shows of each."""
    head = ("ID", "COMMAND", "STATUS", "TRIES", "CREATED", "ERROR")
    rows = [
        (
            task.id,
            task.command,
            task.status,
            f"{task.attempts}/{task.max_attempts}",
            moment(task.created_at),
            first_line(task.error),
        )
        for task in tasks
    ]
    draw(head, rows, none)


def moment(time: str | None) -> str:
    """To the second, for a table."""
    return f"{time[:19]}Z" if time else ""


def age(seconds: float | None) -> str:
    """As `1m30s`, for a table."""
    from backstay.core.duration import format_duration

    return "" if seconds is None else format_duration(float(round(seconds)))


def first_line(text: str) -> str:
    return text.partition("\n")[0][:120]


def _given_of(ctx: click.Context) -> Given:
    """While a line is completed no callback has run: the options before the sub-command are read
    from where click keeps them."""
    said = ctx.find_root().params
    return Given(
        base_url=said.get("base_url") or "",
        producer_token=said.get("producer_token") or "",
        admin_token=said.get("admin_token") or "",
        profile=said.get("profile") or "",
    )
