"""`codeq admin`: look after the store and the result callbacks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli import face
from backstay.cli.codeq_face import (
    Given,
    ask,
    draw,
    event_option,
    first_line,
    moment,
    progress,
    read_time,
    tell_done,
)

if TYPE_CHECKING:
    from backstay.queue.api.wire import Cleaned
    from backstay.queue.client import QueueClient


@click.group("admin", cls=face.Group)
def admin() -> None:
    """Keep the store tidy and safe."""


@admin.command("cleanup")
@event_option(required=True, help="The kind of work.")
@click.option("--before", default="", metavar="TIME", help="Ended before this time. [now]")
@face.output_option
@click.pass_obj
def cleanup(given: Given, event: str, before: str, output: str) -> None:
    """Delete ended tasks of a command with their results, and mend wrong entries."""
    end = read_time(before, "--before")

    async def clean(client: "QueueClient") -> "tuple[Cleaned, int, int]":
        deleted = repaired = 0
        while True:
            done = await client.cleanup_expired(event, end)
            deleted, repaired = deleted + done.deleted, repaired + done.repaired
            if done.deleted < done.limit:
                progress("")
                return done, deleted, repaired
            progress(f"deleted {deleted:,} so far")

    done, deleted, repaired = ask(given, clean)
    if output == "json":
        whole = {"command": event, "before": done.before}
        face.emit_json({**whole, "deleted": deleted, "repaired": repaired})
    else:
        click.echo(
            f"[OK] {event}: {deleted} ended tasks deleted, {repaired} wrong entries repaired"
        )


@admin.command("audit")
@event_option()
@click.option("--repair", is_flag=True, help="Mend what is found.")
@face.output_option
@click.pass_obj
def audit(given: Given, event: str, repair: bool, output: str) -> int:
    """What contradicts itself in the store; exit code 1 when something is left to mend."""
    found = ask(given, lambda client: client.audit(repair=repair, command=event))
    left = len(found.inconsistencies) - found.repaired
    if output == "json":
        face.emit_json(found)
    else:
        rows = [
            (each.kind, each.id, each.says, "mended" if each.repaired else "")
            for each in found.inconsistencies
        ]
        draw(("KIND", "ID", "WHAT", ""), rows, "nothing contradicts itself")
        if left:
            click.echo("mend it: codeq admin audit --repair")
    return 1 if left else 0


@admin.command("backup")
@face.output_option
@click.pass_obj
def backup(given: Given, output: str) -> None:
    """A consistent copy of the store, in the server's data folder."""
    made = ask(given, lambda client: client.backup())
    tell_done(
        made, output, f"[OK] {made.bytes:,} bytes copied to {made.file} in the server's data folder"
    )


@admin.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@face.data_option
@face.output_option
def restore(file: Path, data: str, output: str) -> None:
    """Put a backup in place of the store of a stopped server.

    What stood there stays beside it as queue.db.before-restore.
    """
    from backstay.core.lock import Lock
    from backstay.core.runtime import make_folder
    from backstay.core.sqlite.restoring import admit
    from backstay.core.sqlite.restoring import restore as put_back
    from backstay.queue.store.sqlite import SCHEMA

    admit(file, SCHEMA)  # before anything is made
    folder = Path(data)
    make_folder(folder)
    # The folder's lock is a supervisor's, which would start the queue in between; that of the store
    # itself, a lone server's, is taken by the restore.
    with Lock(folder):
        put_back(file, folder / "queue.db", SCHEMA)
    tell_done(
        {"file": str(file), "store": str(folder / "queue.db")},
        output,
        f"[OK] restored {folder / 'queue.db'} from {file}",
    )


@admin.command("deliveries")
@click.option("--given-up", is_flag=True, help="Those that are not tried any more.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@face.output_option
@click.pass_obj
def deliveries(given: Given, given_up: bool, limit: int, output: str) -> None:
    """Result callbacks that wait for their next try, or were given up."""
    found = ask(given, lambda client: client.list_deliveries(given_up=given_up, limit=limit))
    if output == "json":
        face.emit_json(found)
        return
    rows = [
        (
            each.delivery_id,
            each.task_id,
            each.url,
            str(each.attempts),
            moment(each.next_try),
            first_line(each.error),
        )
        for each in found
    ]
    draw(("ID", "TASK", "URL", "TRIES", "NEXT", "ERROR"), rows, "no callbacks")


@admin.command("retry-delivery")
@click.argument("id")
@click.pass_obj
def retry_delivery(given: Given, id: str) -> None:
    """Make a result callback once more, now."""
    ask(given, lambda client: client.retry_delivery(id))
    click.echo(f"[OK] {id} is made again")
