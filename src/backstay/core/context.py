"""Who asks, and under which request. A face makes it; services take it as their first argument."""

import base64
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

PRINCIPAL_HEADER = "x-backstay-principal"
NARROW_HEADER = "x-backstay-narrow"
"""On an answer: it speaks of this request alone, and its system is well (`ErrorEntry.narrow`)."""
"""How the outermost listener hands its judgement on; believed on a Unix socket of mode 0600."""

Kind = Literal["local", "user", "worker", "producer", "system", "anonymous"]


class Principal(msgspec.Struct, frozen=True):
    """Who a request speaks for, as judged once at the outermost listener.

    `local` is the person at this machine while no validator is configured: it has every scope.
    `anonymous` presented no credentials where some were possible: it has none.
    """

    kind: Kind
    sub: str = ""
    tenant: str = "default"
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = {}

    def may(self, scope: str) -> bool:
        """Whether the scope is held; `local` and `system` hold all."""
        return self.kind in ("local", "system") or scope in self.scopes


LOCAL = Principal("local", sub="local")
SYSTEM = Principal("system", sub="backstay")
ANONYMOUS = Principal("anonymous")


class RequestContext(msgspec.Struct, frozen=True):
    """`deadline` is a `Clock.tick` value; `debug` turns debug logs on for this request alone."""

    request_id: str
    principal: Principal
    traceparent: str = ""
    deadline: float = float("inf")
    debug: bool = False


def encode_principal(principal: Principal) -> str:
    """The value of `PRINCIPAL_HEADER`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(principal)).decode()


def decode_principal(text: str) -> Principal:
    """Raises ValueError when the header is not one of ours."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=Principal)
    except (ValueError, msgspec.MsgspecError) as bad:
        raise ValueError(f"{PRINCIPAL_HEADER} does not decode: {bad}") from bad
