"""`codeq periodic`, `subscription`: what is kept beside tasks."""

import click

from backstay.cli import face
from backstay.cli.codeq_face import (
    EVENT,
    Given,
    ask,
    draw,
    event_option,
    moment,
    read_json,
    show,
    tell_done,
    tenant_option,
)

# --- periodic tasks --------------------------------------------------------------------------


@click.group("periodic", cls=face.Group)
def periodic() -> None:
    """Tasks that the calendar creates."""


@periodic.command("list")
@tenant_option
@face.output_option
@click.pass_obj
def list_periodic(given: Given, tenant: str, output: str) -> None:
    """All of them, with the times to come."""
    found = ask(given, lambda client: client.list_periodic(tenant=tenant))
    if output == "json":
        face.emit_json(found)
        return
    rows = [
        (
            each.name,
            each.command,
            each.cron,
            each.timezone,
            moment(each.last_fire) or "never",
            "paused" if each.paused else moment(next(iter(each.next_fires), "")),
        )
        for each in found
    ]
    draw(("NAME", "COMMAND", "CRON", "ZONE", "LAST", "NEXT"), rows, "no periodic tasks")


@periodic.command("get")
@click.argument("name")
@tenant_option
@face.output_option
@click.pass_obj
def get_periodic(given: Given, name: str, tenant: str, output: str) -> None:
    """One of them."""
    show(ask(given, lambda client: client.get_periodic(name, tenant=tenant)), output)


@periodic.command("set")
@click.argument("name")
@event_option(required=True, help="The kind of work.")
@click.option("--cron", required=True, help="Five fields, e.g. '0 7 * * 1-5'.")
@click.option("--timezone", default="UTC", show_default=True, help="A name like Europe/Berlin.")
@click.option("--payload", default="{}", show_default=True, help="JSON; @FILE, or - for stdin.")
@click.option(
    "--priority", type=click.IntRange(0, 9, clamp=True), default=0, help="9 is served first."
)
@click.option("--max-attempts", type=int, default=0, help="[the server's default]")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--key", default="", help="What it works on, for bounds per key.")
@click.option("--webhook", default="", metavar="URL", help="Called with each result.")
@click.option("--paused", is_flag=True, help="Its times pass without a task.")
@tenant_option
@face.output_option
@click.pass_obj
def set_periodic(
    given: Given,
    name: str,
    event: str,
    cron: str,
    timezone: str,
    payload: str,
    priority: int,
    max_attempts: int,
    tags: tuple[str, ...],
    key: str,
    webhook: str,
    paused: bool,
    tenant: str,
    output: str,
) -> None:
    """Create or replace one."""
    body = read_json(payload)
    made = ask(
        given,
        lambda client: client.set_periodic(
            name,
            event,
            cron,
            payload=body,
            timezone=timezone,
            priority=priority,
            max_attempts=max_attempts,
            tags=tags,
            key=key,
            webhook=webhook,
            paused=paused,
            tenant=tenant,
        ),
    )
    times = ", ".join(map(moment, made.next_fires[:3])) or "never"
    tell_done(made, output, f"[OK] {made.name} creates {made.command}: {times}")


@periodic.command("delete")
@click.argument("name")
@tenant_option
@face.output_option
@click.pass_obj
def delete_periodic(given: Given, name: str, tenant: str, output: str) -> None:
    """No more of it; tasks it has made stay."""
    gone = ask(given, lambda client: client.delete_periodic(name, tenant=tenant))
    tell_done(gone, output, f"[OK] {name} is gone")


@periodic.command("pause")
@click.argument("name")
@tenant_option
@face.output_option
@click.pass_obj
def pause_periodic(given: Given, name: str, tenant: str, output: str) -> None:
    """Its times pass without a task."""
    held = ask(given, lambda client: client.pause_periodic(name, tenant=tenant))
    tell_done(held, output, f"[OK] {name} is paused")


@periodic.command("resume")
@click.argument("name")
@tenant_option
@face.output_option
@click.pass_obj
def resume_periodic(given: Given, name: str, tenant: str, output: str) -> None:
    """It goes on with its next time."""
    held = ask(given, lambda client: client.resume_periodic(name, tenant=tenant))
    tell_done(held, output, f"[OK] {name} goes on")


# --- subscriptions ---------------------------------------------------------------------------


@click.group("subscription", cls=face.Group)
def subscription() -> None:
    """Who is called when work is ready."""


@subscription.command("list")
@face.output_option
@click.pass_obj
def list_subscriptions(given: Given, output: str) -> None:
    """All of this tenant."""
    found = ask(given, lambda client: client.list_subscriptions())
    if output == "json":
        face.emit_json(found)
        return
    rows = [
        (
            each.subscription_id,
            each.callback_url,
            ", ".join(each.event_types) or "any",
            moment(each.expires_at),
            moment(each.notified_at) or "never",
        )
        for each in found
    ]
    draw(("ID", "URL", "EVENTS", "UNTIL", "TOLD"), rows, "no subscriptions")


@subscription.command("create")
@click.argument("url")
@click.option(
    "--events", multiple=True, type=EVENT, help="May be repeated. [what the token covers]"
)
@click.option("--ttl-seconds", type=click.FloatRange(min=0), default=0, help="[300]")
@face.output_option
@click.pass_obj
def create_subscription(
    given: Given, url: str, events: tuple[str, ...], ttl_seconds: float, output: str
) -> None:
    """Have URL called when a task becomes ready."""
    made = ask(
        given,
        lambda client: client.create_subscription(url, events, ttl_seconds=ttl_seconds),
    )
    told = f"[OK] Subscription {made.subscription_id} until {moment(made.expires_at)}"
    tell_done(made, output, told)


@subscription.command("delete")
@click.argument("id")
@face.output_option
@click.pass_obj
def delete_subscription(given: Given, id: str, output: str) -> None:
    """No more calls."""
    ask(given, lambda client: client.delete_subscription(id))
    tell_done({"deleted": id}, output, f"[OK] {id} is gone")
