"""Bearer tokens: minted by the development issuer, verified everywhere (seeds C7, C8; decision 14).

HS256 with one shared secret. Where a key comes from is a `KeySource`, so that a JWKS can stand in
its place. The cryptography is joserfc's; what is judged here is algorithm, issuer, audience,
times and what the claims say about the bearer. Whatever is in doubt is refused.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from backstay.core import faults
from backstay.core.clock import Clock, rfc3339
from backstay.core.context import Kind, Principal
from backstay.core.errors import Fault
from backstay.core.settings import Secret

if TYPE_CHECKING:
    from json import JSONEncoder

    from joserfc.jwk import Key

HS256 = "HS256"
CACHE_LIMIT = 10_000
EVERY_TENANT = "*"
"""How systems write "all tenants": a token that names it so would be let in everywhere."""
_TOKEN_LIMIT = 16_384
# What parsing a hostile text can raise; deep nesting ends in a RecursionError.
_MALFORMED = (ValueError, TypeError, AttributeError, RecursionError)
_TENANT_CLAIMS = ("tid", "tenantId", "tenant_id", "organizationId", "organization_id")
# `local` and `system` hold every scope: no token may claim to be them.
_CLAIMABLE: Mapping[str, Kind] = {"worker": "worker", "producer": "producer", "user": "user"}


class KeySource(Protocol):
    """Where keys come from: a shared secret now, a JWKS address in its time."""

    algorithms: tuple[str, ...]

    async def key(self, kid: str, algorithm: str) -> "Key":
        """The key to verify with. Raises Fault AUTH006, AUTH008 or AUTH009."""
        ...


class SharedSecret:
    """A KeySource of one symmetric secret; every `kid` means it."""

    algorithms: tuple[str, ...] = (HS256,)

    def __init__(self, secret: Secret) -> None:
        self.kid = fingerprint(secret)
        self._key = _import(secret) if secret else None

    async def key(self, kid: str, algorithm: str) -> "Key":  # noqa: ARG002 - one key for all
        if self._key is None:
            raise Fault(faults.AUTH_NO_SECRET, algorithm=algorithm)
        return self._key


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
        kind: Literal["user", "worker", "producer"] = "user",
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


class Verifier:
    """Turns a token into a Principal or refuses with AUTH001 to AUTH009. `skew` is in seconds."""

    def __init__(
        self, secret: Secret, issuer: str, audience: str, clock: Clock, skew: float = 60.0
    ) -> None:
        self.keys: KeySource = SharedSecret(secret)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._skew = skew
        self._known: dict[bytes, tuple[float, Principal]] = {}

    async def verify(self, token: str) -> Principal:
        """Who the bearer is. A token seen before is judged by its times alone."""
        seal = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(seal)
        if known is not None:
            if self._clock.now() < known[0] + self._skew:
                return known[1]
            del self._known[seal]
        claims = await self._signed_claims(token)
        expires = self._judge(claims)
        principal = principal_of(claims)
        if len(self._known) >= CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[seal] = (expires, principal)
        return principal

    async def _signed_claims(self, token: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError

        header = _header(token)
        algorithm = str(header.get("alg", "none"))
        if algorithm not in self.keys.algorithms:
            supported = ", ".join(self.keys.algorithms)
            raise Fault(faults.AUTH_ALGORITHM, algorithm=algorithm, supported=supported)
        key = await self.keys.key(str(header.get("kid", "")), algorithm)
        try:
            claims = jwt.decode(token, key, algorithms=list(self.keys.algorithms)).claims
            # Handed on as JSON later: half a surrogate pair would fail there, far from its cause.
            msgspec.json.encode(claims)
            return claims
        except (JoseError, *_MALFORMED) as bad:
            reason = str(getattr(bad, "error", "")) or "it does not decode"
            raise Fault(faults.AUTH_INVALID, reason=reason.replace("_", " ")) from bad

    def _judge(self, claims: Mapping[str, Any]) -> float:
        """Issuer, audience and times. Gives `exp` in epoch seconds."""
        now = self._clock.now()
        expires = _time(claims, "exp")
        if expires is None:
            raise Fault(faults.AUTH_INVALID, reason="it has no exp")
        if now >= expires + self._skew:
            raise Fault(faults.AUTH_EXPIRED, expired=rfc3339(expires))
        for name in ("nbf", "iat"):
            begins = _time(claims, name)
            if begins is not None and now < begins - self._skew:
                raise Fault(faults.AUTH_INVALID, reason=f"its {name} is {rfc3339(begins)}")
        issuer = claims.get("iss")
        if issuer != self._issuer:
            raise Fault(faults.AUTH_ISSUER, found=str(issuer), expected=self._issuer)
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Fault(faults.AUTH_AUDIENCE, found=str(audience), expected=self._audience)
        return expires


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


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e11:
        raise Fault(faults.AUTH_INVALID, reason=f"its {name} is not a time in epoch seconds")
    return float(value)


def _header(token: str) -> dict[str, Any]:
    """The unverified header: it only chooses the refusal, or the key to verify with."""
    from joserfc.errors import JoseError
    from joserfc.jws import extract_compact

    if len(token) > _TOKEN_LIMIT:
        raise Fault(faults.AUTH_INVALID, reason=f"it is longer than {_TOKEN_LIMIT} bytes")
    try:
        return dict(extract_compact(token.encode("ascii")).headers())
    except (JoseError, *_MALFORMED) as bad:
        raise Fault(faults.AUTH_INVALID, reason="it is not a JSON Web Token") from bad


def _import(secret: Secret) -> "Key":
    from joserfc.jwk import OctKey

    with warnings.catch_warnings():
        # A short secret is the operator's choice; the doctor says so, not a stack of warnings.
        warnings.simplefilter("ignore")
        return OctKey.import_key(secret.reveal())
