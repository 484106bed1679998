"""AWS Signature Version 4: what a request to a service of Amazon, or to one that understands its
signatures, carries instead of a token.

Signed is what is sent: the address is read by the library that sends it. Source of the rules: AWS
General Reference, "Signature Version 4 signing process".
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote

import msgspec
from yarl import URL

from backstay.core.clock import rfc3339

_ALGORITHM = "AWS4-HMAC-SHA256"
_PLAIN = "-_.~"
"""What stays as it is in an address, besides letters and digits."""


class Identity(msgspec.Struct, frozen=True):
    """Who calls, and what: the region and the service are part of the key."""

    access_key: str
    secret_key: str
    region: str
    service: str
    session_token: str = ""


def signed(
    who: Identity, method: str, url: str, headers: Mapping[str, str], body: bytes, now: float
) -> tuple[str, dict[str, str]]:
    """The address as it is to be sent, and the headers to add. All of `headers`, and the host, are
    signed; `now` is epoch seconds."""
    parts = URL(url)
    stamp = rfc3339(now)[:19].replace("-", "").replace(":", "") + "Z"
    digest = hashlib.sha256(body).hexdigest()
    more = {"X-Amz-Date": stamp}
    if who.session_token:
        more["X-Amz-Security-Token"] = who.session_token
    if who.service == "s3":
        more["X-Amz-Content-Sha256"] = digest
    all_of_them = {**headers, **more, "Host": _host(parts)}
    kept = {name.lower(): " ".join(text.split()) for name, text in all_of_them.items()}
    names = ";".join(sorted(kept))
    lines = "".join(f"{name}:{kept[name]}\n" for name in sorted(kept))
    query = _query(parts.raw_query_string)
    asked = "\n".join((method, _path(parts.raw_path, who.service), query, lines, names, digest))
    scope = f"{stamp[:8]}/{who.region}/{who.service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(asked.encode()).hexdigest()))
    signature = hmac.new(_key(who, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={who.access_key}/{scope}"
    more["Authorization"] = (
        f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
    )
    return (f"{url.partition('?')[0]}?{query}" if query else url), more


def _key(who: Identity, day: str) -> bytes:
    key = f"AWS4{who.secret_key}".encode()
    for part in (day, who.region, who.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _host(parts: URL) -> str:
    host = parts.host_subcomponent or ""
    return host if parts.is_default_port() else f"{host}:{parts.port}"


def _path(path: str, service: str) -> str:
    """Encoded once more than it is sent; for S3 it is the key, whose slashes are its own."""
    return quote(unquote(path) if service == "s3" else path, safe=f"/{_PLAIN}")


def _query(text: str) -> str:
    pairs = parse_qsl(text, keep_blank_values=True)
    encoded = sorted((quote(name, safe=_PLAIN), quote(value, safe=_PLAIN)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)
