"""`signature: hmac { secret: …, header: "X-Signature" }`: a body that its receiver can check,
besides whatever credentials the request has. It is the hex HMAC-SHA256 of the body as it is sent,
with `timestamp: "X-Time"` that of `SECONDS.BODY`, the seconds in that header; `prefix: "sha256="`
stands before it.
"""

import hashlib
import hmac

from backstay.app.outside.credentials import Credentials, Members, members_of
from backstay.app.outside.requests import Outgoing
from backstay.app.outside.values import Environment, keep_secret, text_of
from backstay.core.clock import Clock
from backstay.core.signing import sign
from backstay.lang.program import Integration, Settings

HEADER = "X-Signature"
_MEMBERS: Members = {"hmac": (("secret",), ("header", "prefix", "timestamp"))}


class BodySigned:
    """Credentials of another kind, and then the signature."""

    def __init__(self, inner: Credentials, given: dict[str, str], clock: Clock) -> None:
        self._inner = inner
        self._secret = given["secret"]
        self._header = given.get("header") or HEADER
        self._prefix = given.get("prefix", "")
        self._timestamp = given.get("timestamp", "")
        self._clock = clock

    async def sign(self, request: Outgoing, seconds: float) -> Outgoing:
        more: dict[str, str] = {}
        if self._timestamp:
            stamp = more[self._timestamp] = str(int(self._clock.now()))
            made = sign(self._secret, stamp, request.body)
        else:
            made = hmac.new(self._secret.encode(), request.body, hashlib.sha256).hexdigest()
        more[self._header] = f"{self._prefix}{made}"
        return (await self._inner.sign(request, seconds)).with_headers(more)

    def renew(self) -> bool:
        return self._inner.renew()


def check(declared: Integration) -> None:
    """Raises APP005 for a signature that could never be made."""
    settings = _settings(declared)
    if settings is not None:
        members_of(settings, _where(declared), _MEMBERS)


def with_signature(
    inner: Credentials, declared: Integration, env: Environment, clock: Clock
) -> Credentials:
    """The credentials, and the signature where the integration wants one."""
    settings = _settings(declared)
    if settings is None:
        return inner
    found = members_of(settings, _where(declared), _MEMBERS)
    given = {name: text_of(value, env) for name, value in found.items()}
    keep_secret("", given["secret"])
    return BodySigned(inner, given, clock)


def _settings(declared: Integration) -> Settings | None:
    return dict(declared.settings).get("signature")


def _where(declared: Integration) -> str:
    return f"signature of integration {declared.name}"
