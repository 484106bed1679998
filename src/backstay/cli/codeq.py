"""`codeq`: the queue from the command line. Every command goes through the server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from backstay.cli import face
from backstay.cli.codeq_auth import auth
from backstay.cli.codeq_face import (
    Given,
    ask,
    client_of,
    draw,
    read_json,
    read_time,
    show,
)

if TYPE_CHECKING:
    from backstay.queue.api.wire import TaskView
    from backstay.queue.client import QueueClient


@click.group("codeq", cls=face.Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--base-url",
    envvar="CODEQ_BASE_URL",
    metavar="URL",
    default="",
    help="The server, also CODEQ_BASE_URL.  [default: http://localhost:8080]",
)
@click.option(
    "--producer-token",
    envvar="CODEQ_PRODUCER_TOKEN",
    metavar="JWT",
    default="",
    help="Sent with task, queue and admin commands; also CODEQ_PRODUCER_TOKEN.",
)
@click.option(
    "--worker-token",
    envvar="CODEQ_WORKER_TOKEN",
    metavar="JWT",
    default="",
    help="Sent by workers; also CODEQ_WORKER_TOKEN.",
)
@click.option(
    "--profile",
    envvar="CODEQ_PROFILE",
    metavar="NAME",
    default="",
    help="Whose stored credentials to use (codeq auth); also CODEQ_PROFILE.",
)
@click.version_option(package_name="backstay", prog_name="codeq")
@click.pass_context
def command(
    ctx: click.Context, base_url: str, producer_token: str, worker_token: str, profile: str
) -> None:
    """The codeQ task queue, by its server."""
    ctx.obj = Given(base_url, producer_token, worker_token, profile)


command.add_command(auth)


# --- tasks -----------------------------------------------------------------------------------


@command.group()
def task() -> None:
    """Create, list, read and cancel tasks."""


@task.command("create")
@click.option("--event", "--command", "event", required=True, help="The kind of work.")
@click.option("--payload", required=True, help="JSON; @FILE reads it from a file.")
@click.option("--priority", type=click.IntRange(0, 9), default=0, show_default=True)
@click.option("--max-attempts", type=int, default=0, help="[the server's default]")
@click.option("--idempotency-key", default="", help="The same key twice is one task.")
@click.option("--run-at", default="", help="RFC 3339, e.g. 2026-03-01T12:00:00Z")
@click.option("--delay-seconds", type=float, default=0)
@face.output_option
@click.pass_obj
def create(
    given: Given,
    event: str,
    payload: str,
    priority: int,
    max_attempts: int,
    idempotency_key: str,
    run_at: str,
    delay_seconds: float,
    output: str,
) -> None:
    """Put a task into the queue."""
    body, due = read_json(payload), read_time(run_at)
    made = ask(
        given,
        lambda client: client.create_task(
            event,
            body,
            priority=priority,
            max_attempts=max_attempts,
            idempotency_key=idempotency_key,
            run_at=due,
            delay_seconds=delay_seconds,
        ),
    )
    if output == "json":
        face.emit_json(made)
    else:
        click.echo(f"[OK] Task created: {made.id}")


@task.command("list")
@click.option("--event", "--command", "event", default="", help="Only this kind of work.")
@click.option("--status", default="", help="PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED")
@click.option("--state", default="", help="ready, delayed, leased, dead, …")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", default="", help="From a former page.")
@face.output_option
@click.pass_obj
def list_tasks(
    given: Given, event: str, status: str, state: str, limit: int, cursor: str, output: str
) -> None:
    """Tasks in the order of their arrival."""
    page = ask(
        given,
        lambda client: client.list_tasks(
            command=event, status=status, state=state, limit=limit, cursor=cursor
        ),
    )
    if output == "json":
        face.emit_json({"data": page.items, "next_cursor": page.next or None})
        return
    draw(
        ("ID", "COMMAND", "STATUS", "TRIES", "CREATED", "ERROR"),
        [
            (
                item.id,
                item.command,
                item.status,
                f"{item.attempts}/{item.max_attempts}",
                item.created_at[:19] + "Z",
                item.error,
            )
            for item in page.items
        ],
        "no tasks",
    )
    if page.next:
        click.echo(f"more: --cursor {page.next}")


@task.command("get")
@click.argument("id")
@face.output_option
@click.pass_obj
def get(given: Given, id: str, output: str) -> None:
    """One task."""
    show(ask(given, lambda client: client.get_task(id)), output)


@task.command("result")
@click.argument("id")
@click.option("--wait-seconds", type=click.FloatRange(0, 60), default=0, show_default=True)
@face.output_option
@click.pass_obj
def result(given: Given, id: str, wait_seconds: float, output: str) -> None:
    """The result of a task."""
    show(ask(given, lambda client: client.get_result(id, wait_seconds)), output)


@task.command("cancel")
@click.argument("id")
@click.option("--reason", default="")
@face.output_option
@click.pass_obj
def cancel(given: Given, id: str, reason: str, output: str) -> None:
    """End a task before it is done."""
    ended = ask(given, lambda client: client.cancel_task(id, reason))
    if output == "json":
        face.emit_json(ended)
    else:
        click.echo(f"[OK] Task cancelled: {ended.id}")


# --- queues ----------------------------------------------------------------------------------


@command.group()
def queue() -> None:
    """Look into queues."""


@queue.command("inspect")
@click.argument("event")
@click.option("--dlq", is_flag=True, help="Show the dead letters with their last error.")
@face.output_option
@click.pass_obj
def inspect(given: Given, event: str, dlq: bool, output: str) -> None:
    """How many tasks of a command are ready, delayed, in progress and dead."""

    async def look(client: "QueueClient") -> "tuple[msgspec.Struct, Sequence[TaskView]]":
        depth = await client.get_queue_stats(event)
        dead = (
            (await client.list_tasks(command=event, state="dead", limit=200)).items if dlq else ()
        )
        return depth, dead

    depth, dead = ask(given, look)
    seen = msgspec.to_builtins(depth)
    if output == "json":
        face.emit_json({**seen, "deadLetters": dead} if dlq else seen)
        return
    click.echo(
        f"READY: {seen['ready']} | DELAYED: {seen['delayed']} | "
        f"IN_PROGRESS: {seen['inProgress']} | DLQ: {seen['dlq']}"
    )
    if dlq:
        rows = [(item.id, str(item.attempts), item.error) for item in dead]
        draw(("ID", "TRIES", "ERROR"), rows, "no dead letters")


@command.group()
def admin() -> None:
    """Keep the store tidy."""


@admin.command("cleanup")
@click.option("--command", "--event", "event", required=True, help="The kind of work.")
@click.option("--before", default="", help="Ended before this RFC 3339 time. [now]")
@face.output_option
@click.pass_obj
def cleanup(given: Given, event: str, before: str, output: str) -> None:
    """Delete ended tasks of a command with their results, and mend wrong entries."""
    due = read_time(before)
    done = ask(given, lambda client: client.cleanup_expired(event, due))
    if output == "json":
        face.emit_json(done)
    else:
        click.echo(
            f"[OK] {event}: {done.deleted} ended tasks deleted, "
            f"{done.repaired} wrong entries repaired"
        )


# --- workers ---------------------------------------------------------------------------------


@command.group()
def worker() -> None:
    """Work on tasks."""


@worker.command("start")
@click.option("--events", default="", help="Kinds of work, with commas. [any]")
@click.option("--exec", "program", default="", metavar="CMD", help="Run for each task by sh -c.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--lease-seconds", type=click.FloatRange(min=0.1), default=300, show_default=True)
@click.option("--heartbeat-seconds", type=click.FloatRange(min=0.05), default=60, show_default=True)
@click.option("--wait-seconds", type=click.FloatRange(0, 30), default=10, show_default=True)
@click.option(
    "--ack",
    type=click.Choice(["complete", "abandon", "nack"]),
    default="abandon",
    show_default=True,
    help="Without --exec: what to do with a task that was shown.",
)
@click.option("--nack-delay", type=float, default=5, show_default=True)
@click.pass_obj
def worker_start(
    given: Given,
    events: str,
    program: str,
    concurrency: int,
    lease_seconds: float,
    heartbeat_seconds: float,
    wait_seconds: float,
    ack: str,
    nack_delay: float,
) -> None:
    """Claim tasks until stopped. With --exec, CMD reads the payload on standard input; exit code 0
    completes the task with what it printed, any other has it tried again."""
    from backstay.cli.codeq_worker import serve
    from backstay.queue.worker import WorkerSettings

    settings = WorkerSettings(
        concurrency=concurrency,
        lease=lease_seconds,
        wait=wait_seconds,
        heartbeat=min(heartbeat_seconds, lease_seconds / 3),
    )
    names = [name.strip() for name in events.split(",") if name.strip()]
    serve(lambda: client_of(given), names, program, ack, nack_delay, settings)


def main() -> None:
    """The console script."""
    face.main(command, "codeq")


if __name__ == "__main__":
    main()
