"""`codeai event`: events from the command line, through the server."""

from typing import Any

import click
import msgspec

from backstay.cli import face
from backstay.cli.flow_face import Given, ask, given_options, json_option, say, show_list
from backstay.core.errors import Exit


@click.group(cls=face.Group)
def event() -> None:
    """Look at events and where they went; publish one, or deliver it again."""


@event.command("list")
@click.option("--event", "name", default="", help="Only those of this name.")
@click.option("--state", default="", help="With a delivery that is pending, running, done, failed.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--page", type=click.IntRange(1), default=1)
@given_options
def list_events(
    name: str, state: str, limit: int, page: int, base_url: str, token: str, output: str
) -> int:
    """Events, the newest first."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", "/events", event=name, state=state, limit=limit, page=page)

    def row(item: dict[str, Any]) -> list[str]:
        counts = ", ".join(f"{count} {state}" for state, count in item["deliveries"].items())
        return [item["id"], item["event"], item["created_at"], counts]

    return show_list(given, body, ("ID", "EVENT", "AT", "DELIVERIES"), row)


@event.command("show")
@click.argument("id")
@given_options
def show(id: str, base_url: str, token: str, output: str) -> int:
    """One event: its payload, where it went, and each try."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", f"/events/{id}")
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    face.tell(f"{body['id']}  {body['event']}  {body['created_at']}")
    face.tell(f"  {msgspec.json.encode(body['payload']).decode()}")
    for each in body["deliveries"]:
        made = each.get("execution") or each.get("event") or ""
        face.tell(f"  {each['target']:<28} {each['state']}  {made}".rstrip())
        if each["error"]:
            face.tell(f"    {each['error']}")
        for tried in each["attempts"]:
            if tried["error"]:
                face.tell(f"    {tried['attempt']}. {tried['outcome']}: {tried['error']}")
    return Exit.OK


@event.command("emit")
@click.argument("name")
@click.argument("payload", default="{}")
@given_options
def emit(name: str, payload: str, base_url: str, token: str, output: str) -> int:
    """Publish an event as if the program had; PAYLOAD is a JSON object."""
    given = Given(base_url, token, output)
    value = msgspec.Raw(json_option(payload, "the payload"))
    body = msgspec.json.encode({"event": name, "payload": value})
    return say(given, ask(given, "POST", "/events", body), "{event}: published as {id}")


@event.command("replay")
@click.argument("id")
@click.option("--target", default="", help="One of its targets  [all that are outside]")
@given_options
def replay(id: str, target: str, base_url: str, token: str, output: str) -> int:
    """Deliver an event again."""
    given = Given(base_url, token, output)
    body = ask(given, "POST", f"/events/{id}/replay", target=target)
    targets = ", ".join(body["targets"]) or "nothing outside"
    return say(given, body | {"again": targets}, "{id}: goes again to {again}")
