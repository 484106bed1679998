"""`codeq queue` and `codeq dlq`: how deep queues are, what bounds them, what died in them."""

from typing import TYPE_CHECKING

import click
import msgspec

from backstay.cli import face
from backstay.cli.codeq_face import (
    EVENT,
    Given,
    age,
    ask,
    ask_until_done,
    draw,
    draw_tasks,
    first_line,
    read_time,
    show,
    tell_done,
    tenant_option,
    yes_option,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from backstay.queue.api.wire import Count, QueueView
    from backstay.queue.client import PolicyView, QueueClient, TaskView

_DEAD = 200


@click.group("queue", cls=face.Group)
def queue() -> None:
    """Look into queues, pause and bound them."""


@queue.command("list")
@face.output_option
@click.pass_obj
def list_queues(given: Given, output: str) -> None:
    """Depths of all queues, per tenant."""
    found = ask(given, lambda client: client.list_queues())
    if output == "json":
        face.emit_json(found)
        return
    head = ("COMMAND", "TENANT", "READY", "DELAYED", "IN_PROGRESS", "DLQ", "OLDEST", "POLLED", "")
    rows = [
        (
            each.command,
            each.tenant_id,
            str(each.ready),
            str(each.delayed),
            str(each.in_progress),
            str(each.dlq),
            age(each.oldest_ready_age_seconds),
            age(each.last_claim_age_seconds) or "never",
            "paused" if each.paused else "",
        )
        for each in found
    ]
    draw(head, rows, "no queues")


@queue.command("inspect")
@click.argument("event", type=EVENT)
@click.option("--dlq", is_flag=True, help="Show the dead letters with their last error.")
@face.output_option
@click.pass_obj
def inspect(given: Given, event: str, dlq: bool, output: str) -> None:
    """How many tasks of a command are ready, delayed, in progress and dead."""

    async def look(client: "QueueClient") -> "tuple[QueueView, Sequence[TaskView]]":
        depth = await client.get_queue_stats(event)
        dead = (await client.list_dead(event, limit=_DEAD)).items if dlq else ()
        return depth, dead

    depth, dead = ask(given, look)
    if output == "json":
        seen = msgspec.to_builtins(depth)
        face.emit_json({**seen, "deadLetters": dead} if dlq else seen)
        return
    click.echo(
        f"READY: {depth.ready} | DELAYED: {depth.delayed} | "
        f"IN_PROGRESS: {depth.in_progress} | DLQ: {depth.dlq}"
    )
    if dlq:
        rows = [(item.id, str(item.attempts), first_line(item.error)) for item in dead]
        draw(("ID", "TRIES", "ERROR"), rows, "no dead letters")
        if depth.dlq > len(dead):
            click.echo(f"more: codeq dlq list {event}")


@queue.command("stats")
@click.argument("event", type=EVENT)
@face.output_option
@click.pass_obj
def stats(given: Given, event: str, output: str) -> None:
    """Depths, ages and waiting workers of one queue."""
    show(ask(given, lambda client: client.get_queue_stats(event)), output)


@queue.command("pause")
@click.argument("event", type=EVENT)
@tenant_option
@face.output_option
@click.pass_obj
def pause(given: Given, event: str, tenant: str, output: str) -> None:
    """Nothing more is claimed; creation goes on."""
    held = ask(given, lambda client: client.pause_queue(event, tenant=tenant))
    tell_done(held, output, f"[OK] {event} is paused")


@queue.command("resume")
@click.argument("event", type=EVENT)
@tenant_option
@face.output_option
@click.pass_obj
def resume(given: Given, event: str, tenant: str, output: str) -> None:
    """Its tasks may be claimed again."""
    held = ask(given, lambda client: client.resume_queue(event, tenant=tenant))
    tell_done(held, output, f"[OK] {event} goes on")


@queue.command("policy")
@click.argument("event", type=EVENT)
@click.option("--concurrency", type=click.IntRange(0), help="Tasks in progress; 0: no bound.")
@click.option("--rate", type=click.FloatRange(0), help="Claims a second; 0: no bound.")
@click.option("--burst", type=click.IntRange(1), help="Claims at once within the rate.")
@click.option("--key-concurrency", type=click.IntRange(0), help="As above, of one key.")
@click.option("--key-rate", type=click.FloatRange(0), help="As above, of one key.")
@tenant_option
@face.output_option
@click.pass_obj
def policy(
    given: Given,
    event: str,
    concurrency: int | None,
    rate: float | None,
    burst: int | None,
    key_concurrency: int | None,
    key_rate: float | None,
    tenant: str,
    output: str,
) -> None:
    """Show what bounds a queue, or change what is given."""
    changes = {
        "concurrency": concurrency,
        "rate": rate,
        "burst": burst,
        "key_concurrency": key_concurrency,
        "key_rate": key_rate,
    }
    said = {name: value for name, value in changes.items() if value is not None}

    async def change(client: "QueueClient") -> "PolicyView":
        held = await client.get_policy(event, tenant=tenant)
        if not said:
            return held
        whole = {name: getattr(held, name) for name in ("paused", *changes)}
        return await client.set_policy(event, tenant=tenant, **(whole | said))

    show(ask(given, change), output)


# --- dead letters ----------------------------------------------------------------------------


@click.group("dlq", cls=face.Group)
def dlq() -> None:
    """Dead letters: tasks that used up their tries."""


@dlq.command("list")
@click.argument("event", type=EVENT)
@click.option("--newest", is_flag=True, help="The newest first.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", default="", help="From a former page.")
@face.output_option
@click.pass_obj
def list_dead(given: Given, event: str, newest: bool, limit: int, cursor: str, output: str) -> None:
    """The dead letters of a queue, with the error of their last try."""
    page = ask(
        given,
        lambda client: client.list_dead(event, newest_first=newest, limit=limit, cursor=cursor),
    )
    if output == "json":
        face.emit_json({"data": page.items, "next_cursor": page.next or None})
        return
    draw_tasks(page.items, "no dead letters")
    if page.next:
        click.echo(f"more: --cursor {page.next}")


@dlq.command("redrive")
@click.argument("event", type=EVENT)
@click.option("--status", default="", help="FAILED or CANCELLED instead of dead ones.")
@click.option("--tag", default="", help="Only with this tag.")
@click.option("--key", default="", help="Only those that work on this.")
@click.option("--before", default="", metavar="TIME", help="Created before this RFC 3339 time.")
@click.option("--rate", type=click.FloatRange(min=0), default=0, help="So many a second.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most so many. [all]")
@face.output_option
@click.pass_obj
def redrive(
    given: Given,
    event: str,
    status: str,
    tag: str,
    key: str,
    before: str,
    rate: float,
    limit: int,
    output: str,
) -> None:
    """Dead letters begin again, with a rate one after the other."""
    end = read_time(before, "--before")

    def step(client: "QueueClient", most: int) -> "Awaitable[Count]":
        return client.redrive(
            event,
            status=status,
            tag=tag,
            key=key,
            created_before=end,
            rate_per_second=rate,
            limit=most,
        )

    more = False
    if limit or rate:  # a second call with a rate would run beside the first
        done = ask(given, lambda client: step(client, limit))
        count, more = done.count, done.more
    else:
        count = ask_until_done(given, lambda client: step(client, 0), "redriven")
    left = "; some are left" if more else ""
    text = f"[OK] {event}: {count} tasks begin again{left}"
    tell_done({"redriven": count, "more": more}, output, text)


@dlq.command("purge")
@click.argument("event", type=EVENT)
@click.option("--before", default="", metavar="TIME", help="Dead since before this time. [now]")
@yes_option("Delete these dead letters for good?")
@face.output_option
@click.pass_obj
def purge(given: Given, event: str, before: str, output: str) -> None:
    """Delete the dead letters of a queue."""
    end = read_time(before, "--before")
    count = ask_until_done(
        given, lambda client: client.purge(event, status="DEAD", before=end), "deleted"
    )
    tell_done({"deleted": count}, output, f"[OK] {event}: {count} dead letters deleted")
