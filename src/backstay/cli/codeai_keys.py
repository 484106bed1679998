"""`codeai keys` and `codeai audit`: credentials of programs, and who changed what, through the
server."""

from typing import Any

import click
import msgspec

from backstay.cli import face
from backstay.cli.flow_face import Given, ask, given_options, say, show_list
from backstay.core.errors import Exit


@click.group(cls=face.Group)
def keys() -> None:
    """API keys: for programs and scripts that have no issuer of tokens."""


@keys.command("create")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="A role that its holder has; repeatable.")
@click.option("--scope", "scopes", multiple=True, help="A scope that its holder has; repeatable.")
@click.option("--sub", default="", help="Who its holder is to access rules.  [key:NAME]")
@click.option("--tenant", default="default", show_default=True)
@click.option("--expires-in", default="", metavar="DURATION", help="720h, say.  [never]")
@given_options
def create(
    name: str,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    sub: str,
    tenant: str,
    expires_in: str,
    base_url: str,
    token: str,
    output: str,
) -> int:
    """Make a key. Its text is printed now and never again."""
    given = Given(base_url, token, output)
    wanted = {
        "name": name,
        "roles": roles,
        "scopes": scopes,
        "sub": sub,
        "tenant": tenant,
        "expires_in": expires_in,
    }
    return _made(given, ask(given, "POST", "/admin/keys", msgspec.json.encode(wanted)))


@keys.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--page", type=click.IntRange(1), default=1)
@given_options
def list_keys(limit: int, page: int, base_url: str, token: str, output: str) -> int:
    """Keys, the newest first."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", "/admin/keys", limit=limit, page=page)

    def row(item: dict[str, Any]) -> list[str]:
        rights = ",".join([*item["roles"], *item["scopes"]]) or "-"
        used = item["last_used_at"] or "-"
        return [item["id"], item["name"], item["prefix"], item["status"], rights, used]

    return show_list(given, body, ("KEY", "NAME", "BEGINS", "STATUS", "MAY", "LAST USED"), row)


@keys.command("rotate")
@click.argument("key", metavar="ID")
@click.option("--grace", default="", metavar="DURATION", help="So long the old one still counts.")
@given_options
def rotate(key: str, grace: str, base_url: str, token: str, output: str) -> int:
    """Make another key with the same rights; the old one ends."""
    given = Given(base_url, token, output)
    return _made(given, ask(given, "POST", f"/admin/keys/{key}/rotate", grace=grace))


@keys.command("revoke")
@click.argument("key", metavar="ID")
@given_options
def revoke(key: str, base_url: str, token: str, output: str) -> int:
    """The key does not count any more."""
    given = Given(base_url, token, output)
    return say(given, ask(given, "DELETE", f"/admin/keys/{key}"), "{name}: key {id} is {status}")


def _made(given: Given, body: dict[str, Any]) -> int:
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    click.echo(body["key"])
    click.echo(f"key {body['id']} of {body['name']}; it is not shown again", err=True)
    return Exit.OK


@click.command("audit")
@click.option("--sub", default="", help="Only what this one did.")
@click.option("--path", default="", help="Only what was done to this path.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--page", type=click.IntRange(1), default=1)
@given_options
def audit(
    sub: str, path: str, limit: int, page: int, base_url: str, token: str, output: str
) -> int:
    """Who changed what, the latest first."""
    given = Given(base_url, token, output)
    body = ask(given, "GET", "/admin/audit", sub=sub, path=path, limit=limit, page=page)
    if given.output == "json":
        face.emit_json(body)
        return Exit.OK
    for item in body["data"]:
        who, status = item["who"], "?" if item["status"] is None else item["status"]
        did = ", ".join(_did(each) for each in item["changes"])
        said = (item["at"], f"{who['kind']}:{who['sub']}", item["method"], item["path"])
        face.tell("  ".join([*said, str(status), did]).rstrip())
    return Exit.OK


def _did(change: dict[str, Any]) -> str:
    if "more" in change:
        return f"and {change['more']} more"
    key = f" {change['key']}" if change["key"] is not None else ""
    return f"{change['do']} {change['rows']} {change['entity']}{key}"
