"""`codeq task`: create, look for, read, and move tasks."""

import click

from backstay.cli import face
from backstay.cli.codeq_face import (
    Given,
    ask,
    ask_until_done,
    draw,
    draw_tasks,
    event_option,
    first_line,
    moment,
    read_json,
    read_time,
    show,
    tell_done,
)


@click.group("task", cls=face.Group)
def task() -> None:
    """Create, find, read and move tasks."""


@task.command("create")
@event_option(required=True, help="The kind of work.")
@click.option("--payload", required=True, help="JSON; @FILE reads it from a file, - from stdin.")
@click.option(
    "--priority", type=click.IntRange(0, 9, clamp=True), default=0, help="9 is served first."
)
@click.option("--max-attempts", type=int, default=0, help="[the server's default]")
@click.option("--idempotency-key", default="", help="The same key twice is one task.")
@click.option("--run-at", default="", help="RFC 3339, e.g. 2026-03-01T12:00:00Z")
@click.option("--delay-seconds", type=float, default=0)
@click.option("--webhook", default="", metavar="URL", help="Called with the result.")
@click.option("--tag", "tags", multiple=True, help="For finding it; may be repeated.")
@click.option("--key", default="", help="What it works on, for bounds per key.")
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
    webhook: str,
    tags: tuple[str, ...],
    key: str,
    output: str,
) -> None:
    """Put a task into the queue."""
    body, due = read_json(payload), read_time(run_at, "--run-at")
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
            webhook=webhook,
            tags=tags,
            key=key,
        ),
    )
    tell_done(made, output, f"[OK] Task created: {made.id}")


@task.command("list")
@event_option()
@click.option(
    "--status",
    default="",
    help="PENDING, READY, DELAYED, IN_PROGRESS, COMPLETED, FAILED, DEAD, CANCELLED",
)
@click.option("--state", default="", help="ready, delayed, leased, dead, …")
@click.option("--tag", default="", help="Only with this tag.")
@click.option("--key", default="", help="Only those that work on this.")
@click.option("--worker", default="", help="Only those of this worker.")
@click.option("--tenant", default="", help="Only of this tenant.")
@click.option("--after", default="", metavar="TIME", help="Created after this RFC 3339 time.")
@click.option("--before", default="", metavar="TIME", help="Created before it.")
@click.option("--newest", is_flag=True, help="The newest first.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", default="", help="From a former page.")
@face.output_option
@click.pass_obj
def list_tasks(
    given: Given,
    event: str,
    status: str,
    state: str,
    tag: str,
    key: str,
    worker: str,
    tenant: str,
    after: str,
    before: str,
    newest: bool,
    limit: int,
    cursor: str,
    output: str,
) -> None:
    """Tasks in the order of their arrival, of those that fit all that is given."""
    begin, end = read_time(after, "--after"), read_time(before, "--before")
    page = ask(
        given,
        lambda client: client.list_tasks(
            command=event,
            status=status,
            state=state,
            tag=tag,
            key=key,
            worker=worker,
            tenant=tenant,
            created_after=begin,
            created_before=end,
            newest_first=newest,
            limit=limit,
            cursor=cursor,
        ),
    )
    if output == "json":
        face.emit_json({"data": page.items, "next_cursor": page.next or None})
        return
    draw_tasks(page.items, "no tasks")
    if page.next:
        click.echo(f"more: --cursor {page.next}")


task.add_command(list_tasks, "search")


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


@task.command("attempts")
@click.argument("id")
@face.output_option
@click.pass_obj
def attempts(given: Given, id: str, output: str) -> None:
    """Each delivery of a task: to whom, when, and how it ended."""
    found = ask(given, lambda client: client.get_attempts(id))
    if output == "json":
        face.emit_json(found)
        return
    rows = [
        (
            str(each.number),
            each.worker_id,
            moment(each.started_at),
            moment(each.ended_at),
            each.outcome,
            first_line(each.error),
        )
        for each in found
    ]
    draw(("TRY", "WORKER", "BEGAN", "ENDED", "OUTCOME", "ERROR"), rows, "no deliveries yet")


@task.command("cancel")
@click.argument("id", required=False, default="")
@event_option(help="Without an ID: all of this kind …")
@click.option("--status", default="", help="… in this status …")
@click.option("--tag", default="", help="… with this tag …")
@click.option("--key", default="", help="… that work on this.")
@click.option("--reason", default="", help="Kept as the task's error.")
@face.output_option
@click.pass_obj
def cancel(
    given: Given, id: str, event: str, status: str, tag: str, key: str, reason: str, output: str
) -> None:
    """End a task, or all that fit, before they are done."""
    chosen = bool(event or tag or key)
    if bool(id) == chosen:
        raise click.UsageError("give an ID, or at least one of --event, --tag, --key")
    if id:
        ended = ask(given, lambda client: client.cancel_task(id, reason))
        told: object = ended
        text = f"[OK] Task cancelled: {ended.id}"
    else:
        count = ask_until_done(
            given,
            lambda client: client.cancel_tasks(
                command=event, status=status, tag=tag, key=key, reason=reason
            ),
            "cancelled",
        )
        told, text = {"cancelled": count}, f"[OK] {count} tasks cancelled"
    tell_done(told, output, text)


@task.command("retry")
@click.argument("id")
@face.output_option
@click.pass_obj
def retry(given: Given, id: str, output: str) -> None:
    """Now: a waiting task becomes due, an ended one begins again."""
    again = ask(given, lambda client: client.retry_task(id))
    tell_done(again, output, f"[OK] Task is {again.status} again: {again.id}")


@task.command("reschedule")
@click.argument("id")
@click.option("--run-at", default="", help="RFC 3339, e.g. 2026-03-01T12:00:00Z")
@click.option("--delay-seconds", type=click.FloatRange(min=0), default=0, help="From now.")
@face.output_option
@click.pass_obj
def reschedule(given: Given, id: str, run_at: str, delay_seconds: float, output: str) -> None:
    """A waiting task becomes due at another time."""
    due = read_time(run_at, "--run-at")
    if due is None and not delay_seconds:
        raise click.UsageError("give --run-at or --delay-seconds (now: codeq task retry)")
    moved = ask(
        given,
        lambda client: client.reschedule_task(id, run_at=due, delay_seconds=delay_seconds),
    )
    tell_done(moved, output, f"[OK] Task {moved.id} is due {moved.run_at or 'now'}")
