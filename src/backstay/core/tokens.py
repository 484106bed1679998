"""What bearer tokens are made of: keys and claims, and the development issuer that mints them.

`core.validators` judges tokens with these. Where a key comes from is a `KeySource`: one shared
secret here, an issuer's published set in `core.jwks`. The cryptography is joserfc's.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from backstay.core import faults
from backstay.core.clock import Clock
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.settings import Secret

if TYPE_CHECKING:
    from json import JSONEncoder

    from joserfc.jwk import Key

HS256 = "HS256"
LEAST_BYTES = 32
"""A secret for HS256 should have as many (RFC 7518, 3.2): a shorter one can be guessed from any
token, and whoever has it signs as anybody."""
BearerKind = Literal["user", "worker", "producer"]
"""What a token may make of its bearer: `local` and `system` hold every scope."""
EVERY_TENANT = "*"
"""How systems write "all tenants": a token that names it so would be let in everywhere."""
_TENANT_CLAIMS = ("tid", "tenantId", "tenant_id", "organizationId", "organization_id")
_CLAIMABLE: Mapping[str, BearerKind] = {"worker": "worker", "producer": "producer", "user": "user"}


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    algorithms: tuple[str, ...]

    async def key(self, kid: str, algorithm: str) -> "Key":
        """The key to verify with; `kid` is "" for a token that names none.

        Raises Fault AUTH006, AUTH008 or AUTH009.
        """
        ...

    def version(self) -> int:
        """Another number than before when what was verified with earlier keys must be verified
        again. Cheap, no I/O: asked for every token."""
        ...


class SharedSecret:
    """A KeySource of one symmetric secret; every `kid` means it."""

    algorithms: tuple[str, ...] = (HS256,)

    def __init__(self, secret: Secret) -> None:
        size = len(secret.reveal().encode())
        if 0 < size < LEAST_BYTES:
            import structlog  # not for commands that only sign

            log = structlog.get_logger("core.tokens")
            log.warning("the secret of tokens is short", bytes=size, least=LEAST_BYTES)
        self.kid = fingerprint(secret)
        self._key = _import(secret) if secret else None

    async def key(self, kid: str, algorithm: str) -> "Key":  # noqa: ARG002 - one key for all
        if self._key is None:
            raise Fault(faults.AUTH_NO_SECRET, algorithm=algorithm)
        return self._key

    def version(self) -> int:
        return 0


class ByAlgorithm:
    """A KeySource of several: the algorithm of a token decides which one is asked. Raises
    ValueError when two take the same one: a key must never serve another algorithm than its own."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = tuple(sources)
        self.algorithms: tuple[str, ...] = tuple(
            algorithm for source in sources for algorithm in source.algorithms
        )
        if len(set(self.algorithms)) < len(self.algorithms):
            raise ValueError(f"an algorithm stands twice: {', '.join(self.algorithms)}")

    async def key(self, kid: str, algorithm: str) -> "Key":
        source = next(one for one in self._sources if algorithm in one.algorithms)
        return await source.key(kid, algorithm)

    def version(self) -> int:
        return sum(source.version() for source in self._sources)


def fingerprint(secret: Secret) -> str:
    """Eight hex digits by which two sides can see whether they hold the same secret."""
    return hashlib.sha256(b"backstay-kid:" + secret.reveal().encode()).hexdigest()[:8]


class Issuer:
    """Mints tokens for people at this machine, for tests and for workers of one installation."""

    def __init__(self, secret: Secret, issuer: str, audience: str, clock: Clock) -> None:
        if not secret:
            raise Fault(faults.AUTH_NO_SECRET, algorithm=HS256)
        self._key = _import(secret)
        self._header = {"alg": HS256, "kid": fingerprint(secret)}
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    def mint(
        self,
        sub: str,
        scopes: Sequence[str] = (),
        roles: Sequence[str] = (),
        tenant: str = "default",
        ttl: float = 3600.0,
        *,
        kind: BearerKind = "user",
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A signed token that ends `ttl` seconds from now. `claims` come on top, e.g.
        `{"eventTypes": ["PACK_ORDER"]}`; they cannot replace what is stated here."""
        from joserfc import jwt

        now = int(self._clock.now())
        stated = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": sub,
            "iat": now,
            "exp": int(now + ttl),
            "tenantId": tenant,
            "kind": kind,
            "scope": " ".join(scopes),
            "roles": list(roles),
        }
        return jwt.encode(
            self._header, {**(claims or {}), **stated}, self._key, encoder_cls=_shell_safe()
        )


def _shell_safe() -> "type[JSONEncoder]":
    """Of all ASCII only `>`, `?`, `~` and DEL can become a `-` or `_` of base64url; escaped, a
    payload is also plain base64 and `base64 -d | jq .exp` prints its claims (Q8)."""
    from json import JSONEncoder

    class Encoder(JSONEncoder):
        def encode(self, o: object) -> str:
            text = super().encode(o)
            for byte in ">?~\x7f":
                text = text.replace(byte, f"\\u{ord(byte):04x}")
            return text

    return Encoder


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """What verified claims say about the bearer. Raises AUTH001 when they contradict themselves."""
    return Principal(
        kind=_CLAIMABLE.get(str(claims.get("kind")), "user"),
        sub=str(claims.get("sub", "")),
        tenant=_tenant(claims),
        scopes=frozenset(_words(claims.get("scope"))),
        roles=frozenset(_words(claims.get("roles"))),
        claims=claims,
    )


def _tenant(claims: Mapping[str, Any]) -> str:
    named = {str(claims[name]) for name in _TENANT_CLAIMS if claims.get(name)}
    if len(named) > 1:
        raise Fault(faults.AUTH_INVALID, reason="its tenant claims contradict each other")
    tenant = named.pop() if named else "default"
    if tenant == EVERY_TENANT:
        raise Fault(faults.AUTH_INVALID, reason="its tenant is *, which is nobody's name")
    return tenant


def _words(claim: object) -> list[str]:
    if isinstance(claim, str):
        return claim.split()
    return [str(part) for part in claim] if isinstance(claim, list) else []


def _import(secret: Secret) -> "Key":
    from joserfc.jwk import OctKey

    with warnings.catch_warnings():
        # A short secret is the operator's choice; `SharedSecret` says so once, in our own words.
        warnings.simplefilter("ignore")
        return OctKey.import_key(secret.reveal())
