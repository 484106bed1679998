"""From the arguments of a call to the request that is sent."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from backstay.lang.program import Operation


class Outgoing(msgspec.Struct, frozen=True):
    """One request, complete but for its credentials."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    def with_headers(self, more: Mapping[str, str]) -> "Outgoing":
        return msgspec.structs.replace(self, headers={**self.headers, **more})

    def with_query(self, name: str, value: str) -> "Outgoing":
        sign = "&" if "?" in self.url else "?"
        return msgspec.structs.replace(self, url=f"{self.url}{sign}{urlencode({name: value})}")


def outgoing(
    base: str, operation: Operation, args: Mapping[str, Any], more: Mapping[str, str]
) -> Outgoing:
    """`{arg}` holes of the path are filled; what the operation lists under `query` goes there; of
    the rest a GET makes its query, and everything else a JSON body."""
    url, body = address(base, operation, args)
    headers = {"Accept": "application/json", **more}
    if body:
        headers["Content-Type"] = "application/json"
    return Outgoing(operation.method, url, headers, body)


def address(base: str, operation: Operation, args: Mapping[str, Any]) -> tuple[str, bytes]:
    """The URL, and the body."""
    path, rest = operation.path, dict(args)
    for name, value in args.items():
        hole = "{" + name + "}"
        if hole in path:
            path = path.replace(hole, quote(_plain(value), safe=""))
            del rest[name]
    asked = {name: rest.pop(name) for name in _named(operation, "query") if name in rest}
    if operation.method == "GET":
        asked, rest = {**asked, **rest}, {}
    query = urlencode({name: _plain(v) for name, v in asked.items() if v is not None})
    url = f"{base}{path}" + (f"?{query}" if query else "")
    return url, b"" if operation.method == "GET" else msgspec.json.encode(rest)


def leads_elsewhere(operation: Operation, args: Mapping[str, Any]) -> str:
    """The argument whose value would make another path of the operation's, "" for none: `..` means
    the folder above to every server, and nothing at all means the list instead of its entry."""
    for name, value in args.items():
        if "{" + name + "}" in operation.path and _plain(value) in ("", ".", ".."):
            return name
    return ""


def _named(operation: Operation, part: str) -> tuple[str, ...]:
    settings = dict(operation.settings).get(part)
    return tuple(name for name, _ in settings.values if name) if settings is not None else ()


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
