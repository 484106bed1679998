"""`codeai seed`: first rows for a running server, taken whole or not at all, and once."""

import hashlib
from typing import BinaryIO

import click

from backstay.cli.flow_face import Given, ask, given_options, say


@click.command("seed")
@click.argument("lines", metavar="FILE.jsonl|-", type=click.File("rb"))
@click.option("--id", "name", default="", help="The seed's name  [default: the hash of its bytes]")
@given_options
def seed(lines: BinaryIO, name: str, base_url: str, token: str, output: str) -> int:
    """Store rows: a line for each, {"entity": "Product", "values": {"name": "lamp"}}.

    All in one transaction, past the access rules, in the order of the lines; a line may refer to
    those above it. The same seed is taken once. Needs the admin scope.
    """
    body = lines.read()
    name = name or hashlib.sha256(body).hexdigest()
    given = Given(base_url, token, output)
    found = ask(given, "POST", "/admin/seed", body, headers={"X-Seed-Id": name})
    taken = "these rows are there already" if found.get("already") else "{seeded} rows stored"
    return say(given, found, taken)
