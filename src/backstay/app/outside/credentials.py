"""As whom a service is called: bearer, basic, an API key in a header or in the query, a signature
(ours, AWS's), or OAuth 2 client credentials, whose token is fetched, kept and renewed here.

Every secret is made known to the redactor before it is used.
"""

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import quote_plus, urlencode

import msgspec

from backstay.app.errors import UNFIT
from backstay.app.outside.requests import Outgoing
from backstay.app.outside.sigv4 import Identity, signed
from backstay.app.outside.values import Environment, is_text, keep_secret, text_of
from backstay.core.clock import Clock
from backstay.core.errors import Fault
from backstay.core.http import Client
from backstay.core.signing import sign
from backstay.lang.program import Constant, Integration, Settings

TIMESTAMP, SIGNATURE = "X-Backstay-Timestamp", "X-Backstay-Signature"
_EARLY = 30.0
"""Seconds before its end that a token is fetched anew."""
_USUAL = 300.0
"""Seconds for a token that does not say how long it holds."""


class Refused(Exception):  # noqa: N818 - told as an outcome
    """There are no credentials to call with; the text holds no secret."""


class Credentials(Protocol):
    async def sign(self, request: Outgoing, seconds: float) -> Outgoing:
        """The request with them. Raises Refused, or a CallFailed of the place they come from."""
        ...

    def renew(self) -> bool:
        """They were not accepted; whether others may be."""
        ...


class Fixed:
    """The same headers, or the same parameter, with each request."""

    def __init__(self, headers: Mapping[str, str], query: tuple[str, str] | None = None) -> None:
        self._headers = headers
        self._query = query

    async def sign(self, request: Outgoing, seconds: float) -> Outgoing:  # noqa: ARG002
        signed = request.with_headers(self._headers) if self._headers else request
        return signed.with_query(*self._query) if self._query else signed

    def renew(self) -> bool:
        return False


class Signed:
    """Signed as our webhooks are (core.signing)."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    async def sign(self, request: Outgoing, seconds: float) -> Outgoing:  # noqa: ARG002
        timestamp = str(int(self._clock.now()))
        signature = sign(self._secret, timestamp, request.body)
        return request.with_headers({TIMESTAMP: timestamp, SIGNATURE: signature})

    def renew(self) -> bool:
        return False


class AwsSigned:
    """Signed as AWS wants it (sigv4). The idempotency key, and what else a service of Amazon does
    not look at, is sent and left unsigned."""

    def __init__(self, who: Identity, clock: Clock) -> None:
        self._who = who
        self._clock = clock

    async def sign(self, request: Outgoing, seconds: float) -> Outgoing:  # noqa: ARG002
        kept = {name: text for name, text in request.headers.items() if _is_amazons(name)}
        now = self._clock.now()
        url, more = signed(self._who, request.method, request.url, kept, request.body, now)
        return msgspec.structs.replace(request, url=url).with_headers(more)

    def renew(self) -> bool:
        return False


def _is_amazons(name: str) -> bool:
    return name.lower() == "content-type" or name.lower().startswith("x-amz-")


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float | None = None


class ClientCredentials:
    """OAuth 2 client credentials (RFC 6749, 4.4). One fetch at a time, however many calls wait."""

    def __init__(self, url: str, id: str, secret: str, scope: str, http: Client, clock: Clock):
        self._url, self._scope = url, scope
        pair = f"{quote_plus(id)}:{quote_plus(secret)}"
        self._basic = b64encode(pair.encode()).decode()
        self._http, self._clock = http, clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def sign(self, request: Outgoing, seconds: float) -> Outgoing:
        async with self._lock:
            if not self._token or self._clock.tick() >= self._until:
                await self._fetch(seconds)
        return request.with_headers({"Authorization": f"Bearer {self._token}"})

    def renew(self) -> bool:
        had, self._token = self._token, ""
        return bool(had)

    async def _fetch(self, seconds: float) -> None:
        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        headers = {
            "Authorization": f"Basic {self._basic}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        body = urlencode(form).encode()
        answer = await self._http.request("POST", self._url, headers, body, seconds)
        if answer.status != 200:
            raise Refused(f"{self._url} answered {answer.status} when it was asked for a token")
        try:
            token = msgspec.json.decode(answer.body, type=_Token)
        except msgspec.MsgspecError as bad:
            raise Refused(f"{self._url} gave no token: {bad}") from bad
        keep_secret("", token.access_token)
        self._token = token.access_token
        self._until = self._clock.tick() + max(1.0, (token.expires_in or _USUAL) - _EARLY)


Members = Mapping[str, tuple[Sequence[str], Sequence[str]]]
_MEMBERS: Members = {
    "bearer": (("token",), ()),
    "basic": (("username", "password"), ()),
    "api_key": (("value",), ("header", "query")),
    "apikey": (("value",), ("header", "query")),
    "hmac": (("secret",), ()),
    "oauth2": (("token_url", "client_id", "client_secret"), ("scope",)),
    "aws_signature_v4": (("access_key", "secret_key", "region", "service"), ("session_token",)),
}
"""What each kind needs, and what it may have besides; in a call without names, in this order."""


def check(declared: Integration) -> None:
    """Raises APP005 for an auth that could never work."""
    if declared.auth is not None and declared.auth.label:
        members_of(declared.auth, f"auth of integration {declared.name}", _MEMBERS)


def credentials_of(
    declared: Integration, env: Environment, http: Client, clock: Clock
) -> Credentials:
    """Of one integration. Raises APP005."""
    if declared.token is not None:
        token = text_of(declared.token, env)
        keep_secret("", token)
        return Fixed({"Authorization": f"Bearer {token}"} if token else {})
    if declared.auth is None or not declared.auth.label:
        return Fixed({})
    kind = declared.auth.label
    found = members_of(declared.auth, f"auth of integration {declared.name}", _MEMBERS)
    given = {name: text_of(value, env) for name, value in found.items()}
    match kind:
        case "basic":
            pair = f"{given['username']}:{given['password']}"
            keep_secret("", given["password"], pair)
            return Fixed({"Authorization": f"Basic {b64encode(pair.encode()).decode()}"})
        case "hmac":
            keep_secret("", given["secret"])
            return Signed(given["secret"], clock)
        case "oauth2":
            keep_secret("", given["client_secret"])
            return ClientCredentials(
                given["token_url"],
                given["client_id"],
                given["client_secret"],
                given.get("scope", ""),
                http,
                clock,
            )
        case "aws_signature_v4":
            keep_secret("", given["secret_key"], given.get("session_token", ""))
            return AwsSigned(Identity(**given), clock)
    value = given.get("value", given.get("token", ""))
    keep_secret("", value)
    if kind == "bearer":
        return Fixed({"Authorization": f"Bearer {value}"})
    if "query" in given:
        return Fixed({}, (given["query"], value))
    return Fixed({given.get("header") or "X-API-Key": value})


def members_of(auth: Settings, where: str, kinds: Members) -> dict[str, Constant]:
    """By name, those that a call gives by their place included. Raises APP005."""
    needed, more = kinds.get(auth.label, ((), ()))
    names = (*needed, *more)
    found = {
        names[int(name)] if name.isdigit() and int(name) < len(names) else name: value
        for name, value in auth.values
    }
    problem = ""
    if auth.label not in kinds:
        problem = f"{auth.label} is not supported yet"
    elif missing := [name for name in needed if name not in found]:
        problem = f"it has no {missing[0]}"
    elif unknown := [name for name in found if name not in names]:
        problem = f"it has no use for '{unknown[0]}'"
    elif loose := [name for name, value in found.items() if not is_text(value)]:
        problem = f"{loose[0]} is no text"
    if problem:
        known = ", ".join(names) or ", ".join(kinds)
        raise Fault(UNFIT, where=where, problem=problem, instead=f"it takes {known}")
    return found  # type: ignore[return-value]
