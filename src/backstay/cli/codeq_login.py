"""`codeq auth login` at somebody else's identity provider: e-mail and password become a token, and
that one, where wanted, another by exchange. The steps and field names are those of codeQ.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click
import msgspec

from backstay.cli.codeq_face import Given, read_json

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--email", default="", help="Who you are there."),
    click.option("--password", default="", envvar="CODEQ_PASSWORD", help="[asked for]"),
    click.option("--login-url", default="", metavar="URL", help="Where it is given."),
    click.option(
        "--iam-base-url",
        default="",
        metavar="URL",
        help="Instead of both addresses: URL/signInWithPassword, URL/token/exchange.",
    ),
    click.option("--iam-api-key", default="", help="Its ?key="),
    click.option("--method", default="POST", show_default=True),
    click.option("--content-type", default="application/json", show_default=True),
    click.option("--payload-file", default="", metavar="FILE", help="As --payload @FILE."),
    click.option("--exchange-method", default="POST", show_default=True),
    click.option("--exchange-content-type", default="application/json", show_default=True),
    click.option("--payload", default="", help="JSON instead of {email, password}; @FILE."),
    click.option("--header", "headers", multiple=True, metavar="'K: V'", help="May be repeated."),
    click.option("--token-path", default="idToken", show_default=True, help="Where, with dots."),
    click.option("--exchange-url", default="", metavar="URL", help="Where it is exchanged."),
    click.option("--exchange-header", "exchange_headers", multiple=True, metavar="'K: V'"),
    click.option("--exchange-token-path", default="accessToken", show_default=True),
    click.option("--no-exchange", is_flag=True, help="The first token is the one."),
    click.option("--audience", default="", help="[codeq-producer, or codeq-worker for that role]"),
    click.option("--tenant-id", default=""),
    click.option("--scope", "scopes", multiple=True, help="May be repeated."),
    click.option(
        "--role",
        type=click.Choice(["producer", "worker", "admin"]),
        default="producer",
        show_default=True,
        help="What the token is stored for.",
    ),
    click.option("--save/--no-save", default=True, help="Or print it.  [default: save]"),
    click.option("--no-prompt", is_flag=True, help="Ask nothing."),
)


def provider_options(command: F) -> F:
    """The flags of a login at an identity provider."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def login(given: Given, said: Mapping[str, Any]) -> dict[str, str]:
    """The token by the profile's field name; empty when no provider was named.

    Raises QUEUE040, QUEUE041, QUEUE043, or QUEUE052 for an answer without a token.
    """
    iam, api_key = _provider(given, said)
    key = f"?key={quote(api_key)}" if api_key else ""
    url = said["login_url"] or (f"{iam}/signInWithPassword{key}" if iam else "")
    if not url:
        return {}
    exchange = said["exchange_url"] or (f"{iam}/token/exchange{key}" if iam else "")
    call = _Call(said["method"], url, said["content_type"], said["headers"])
    token = _asked(given, call, _credentials(said), said["token_path"])
    if exchange and not said["no_exchange"]:
        body = {
            "idToken": token,
            "audience": said["audience"] or _audience(said["role"]),
            "tenantId": said["tenant_id"],
            "scopes": [*said["scopes"]],
        }
        wanted = {name: value for name, value in body.items() if value}
        path = said["exchange_token_path"]
        kind, more = said["exchange_content_type"], said["exchange_headers"]
        token = _asked(given, _Call(said["exchange_method"], exchange, kind, more), wanted, path)
    return {f"{said['role']}_token": token}


class _Call(msgspec.Struct, frozen=True):
    method: str
    url: str
    content_type: str
    headers: Sequence[str]

    def body(self, fields: object) -> bytes:
        """JSON, or a form where the provider wants one."""
        if self.content_type.startswith("application/x-www-form-urlencoded"):
            pairs = fields if isinstance(fields, dict) else {}
            return urlencode(pairs, doseq=True).encode()
        return msgspec.json.encode(fields)


def _provider(given: Given, said: Mapping[str, Any]) -> tuple[str, str]:
    """Address and key: the command's, else those before it or in the environment, else the
    profile's. The profile's key goes to no other
    address, and a token of another login's address to no exchange of the profile."""
    from backstay.queue.profile import Profiles

    kept = Profiles(os.environ).read(given.profile)
    base = said["iam_base_url"] or given.iam_base_url
    key = said["iam_api_key"] or given.iam_api_key
    if not said["login_url"] and base in ("", kept.iam_base_url):
        base, key = kept.iam_base_url, key or kept.iam_api_key.reveal()
    return str(base).rstrip("/"), str(key)


def _audience(role: str) -> str:
    """What codeQ's servers expect in the tokens of each side."""
    return "codeq-worker" if role == "worker" else "codeq-producer"


def _credentials(said: Mapping[str, Any]) -> object:
    if said["payload_file"]:
        return read_json(f"@{said['payload_file']}", "--payload-file")
    if said["payload"]:
        return read_json(said["payload"])
    email, password = said["email"], said["password"]
    if not said["no_prompt"]:
        email = email or click.prompt("E-mail")
        password = password or click.prompt("Password", hide_input=True)
    if not email or not password:
        raise click.UsageError("give --email and --password, or --payload")
    return {"email": email, "password": password}


def _asked(given: Given, call: _Call, fields: object, path: str) -> str:
    import asyncio

    from backstay.core.clock import SystemClock
    from backstay.core.egress import EgressRules
    from backstay.core.errors import Fault
    from backstay.core.http import Answer, Client
    from backstay.core.http_errors import CallFailed, TotalTimeoutError
    from backstay.queue.client import Refused
    from backstay.queue.errors import BAD_ARGUMENT, SERVER_SILENT, SERVER_UNREACHABLE

    address = call.url.partition("?")[0]  # the key in the query is a secret

    async def ask() -> Answer:
        client = Client(SystemClock(), EgressRules(allow=("loopback", "private")))
        try:
            whole = {"Content-Type": call.content_type, **dict(map(_header, call.headers))}
            raw = call.body(fields)
            return await client.request(call.method, call.url, whole, raw, given.timeout)
        except TotalTimeoutError as late:
            raise Fault(SERVER_SILENT, address=address, seconds=given.timeout) from late
        except CallFailed as failed:
            raise Fault(SERVER_UNREACHABLE, address=address, reason=failed.reason) from failed
        finally:
            await client.close()

    answer = asyncio.run(ask())
    if answer.status >= 400:
        said = answer.body[:300].decode(errors="replace")
        raise Refused(address, answer.status, "", said)
    found = _at(answer.body, path)
    if not found:
        reason = f"the answer of {address} has no text there"
        raise Fault(BAD_ARGUMENT, name=f"token path {path}", reason=reason)
    return found


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"a header is written 'Name: value', not {text!r}")
    return name.strip(), value.strip()


def _at(body: bytes, path: str) -> str:
    """The text at a dotted path, empty when there is none."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
