"""Keys beside tokens: in `Authorization: Bearer`, or in `X-API-Key`.

A token that is given wins over a key. What does not begin like one of our keys is none: a program
may want an X-API-Key of its own.
"""

from collections.abc import Mapping

import structlog

from backstay.app.keys.service import Keys, is_key
from backstay.core.asgi import Judge
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.faults import AUTH_NO_SECRET
from backstay.core.validators import Validator

HEADER = "x-api-key"
_log = structlog.get_logger("app.keys")


class Bearers:
    """A Validator of keys and of tokens, where there is one of these."""

    def __init__(self, keys: Validator, tokens: Validator | None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def validate(self, token: str) -> Principal:
        if is_key(token):
            return await self._keys.validate(token)
        if self._tokens is None:
            raise Fault(AUTH_NO_SECRET, algorithm="HS256")
        return await self._tokens.validate(token)


class KeyJudge:
    """On an address of our own: a key in X-API-Key is judged as if it were a bearer's."""

    def __init__(self, inner: Judge) -> None:
        self._inner = inner

    async def judge(self, peer: str, method: str, headers: Mapping[str, str]) -> Principal:
        key = headers.get(HEADER, "")
        if key and is_key(key) and "authorization" not in headers:
            headers = {**headers, "authorization": f"Bearer {key}"}
        return await self._inner.judge(peer, method, headers)


class KeyBehindGateway:
    """On a socket: the gateway knows tokens and no keys, so a caller that is nobody to it may be
    somebody by a key."""

    def __init__(self, inner: Judge, keys: Keys) -> None:
        self._inner = inner
        self._keys = keys

    async def judge(self, peer: str, method: str, headers: Mapping[str, str]) -> Principal:
        who = await self._inner.judge(peer, method, headers)
        key = headers.get(HEADER, "")
        if not is_key(key) or who.kind not in ("anonymous", "local"):
            return who
        try:
            return await self._keys.validate(key)
        except Fault as fault:
            _log.warning(
                "authentication failed",
                code=fault.entry.code,
                error=fault.message,
                cause=fault.cause,
                peer=peer,
            )
            raise
