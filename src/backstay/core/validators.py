"""Bearer tokens are judged here: who bears them, or which of AUTH001 to AUTH009 refuses (C7, C8).

A listener is given one `Validator`; several are composed by `FirstOf`. Signatures are joserfc's
work; what is judged here is algorithm, key, issuer, audience, times and what the claims say.
Whatever is in doubt is refused.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from backstay.core import faults
from backstay.core.clock import Clock, rfc3339
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.core.tokens import BearerKind, KeySource, principal_of

if TYPE_CHECKING:
    from joserfc.jwk import Key

CACHE_LIMIT = 10_000
_TOKEN_LIMIT = 16_384
_SHOWN = 100
_NOT_STATIC = "it is none of the configured tokens"
# What parsing a hostile text can raise; deep nesting ends in a RecursionError.
_MALFORMED = (ValueError, TypeError, AttributeError, RecursionError)


class Validator(Protocol):
    """Decides who the bearer of a token is."""

    async def validate(self, token: str) -> Principal:
        """The bearer, or a Fault AUTH001 to AUTH009. Never anybody for a token in doubt."""
        ...


class Jwt:
    """Signed tokens of one issuer for one audience. `skew` is in seconds: a token counts until
    that long after its `exp`, and that long before its `nbf` and `iat` (Q36).

    `kind` is what its bearers are, whatever the token says; without it the claim `kind` tells.
    An unknown key and an unsupported algorithm are AUTH006 (500) and AUTH007 (400) as C8 has them;
    with `blame_bearer` they are AUTH001 (401), as the queue promises for every bad token (Q9, Q34).
    """

    def __init__(
        self,
        keys: KeySource,
        issuer: str,
        audience: str,
        clock: Clock,
        skew: float = 60.0,
        *,
        kind: BearerKind | None = None,
        blame_bearer: bool = False,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._skew = skew
        self._kind = kind
        self._blame_bearer = blame_bearer
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._version = keys.version()

    async def validate(self, token: str) -> Principal:
        """Who the bearer is. A token seen before is judged by its times alone (decision 14), as
        long as the keys that it was verified with are in force."""
        version = self._keys.version()
        if version != self._version:
            self._version = version
            self._known.clear()
        seal = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(seal)
        if known is not None:
            if self._clock.now() <= known[0] + self._skew:
                return known[1]
            del self._known[seal]
        claims = await self._signed_claims(token)
        expires = self._judge(claims)
        principal = principal_of(claims)
        if self._kind is not None:
            principal = msgspec.structs.replace(principal, kind=self._kind)
        if len(self._known) >= CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[seal] = (expires, principal)
        return principal

    async def _signed_claims(self, token: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, JoseError

        header = _header(token)
        algorithm = str(header.get("alg", "none"))[:_SHOWN]
        if algorithm not in self._keys.algorithms:
            raise self._unsupported(algorithm)
        kid = header.get("kid", "")
        if not isinstance(kid, str):
            raise Fault(faults.AUTH_INVALID, reason="its kid is not a text")
        key = await self._key(kid, algorithm)
        try:
            claims = jwt.decode(token, key, algorithms=[algorithm]).claims
            # Handed on as JSON later: half a surrogate pair would fail there, far from its cause.
            msgspec.json.encode(claims)
            return claims
        except BadSignatureError as bad:
            raise Fault(faults.AUTH_INVALID, reason="invalid signature") from bad
        except (JoseError, *_MALFORMED) as bad:
            reason = str(getattr(bad, "error", "")) or "it does not decode"
            raise Fault(faults.AUTH_INVALID, reason=reason.replace("_", " ")) from bad

    def _unsupported(self, algorithm: str) -> Fault:
        supported = ", ".join(self._keys.algorithms)
        refusal = Fault(faults.AUTH_ALGORITHM, algorithm=algorithm, supported=supported)
        if not self._blame_bearer:
            return refusal
        blaming = Fault(
            faults.AUTH_INVALID, reason=f"signed with {algorithm}, not with one of: {supported}"
        )
        blaming.__cause__ = refusal
        return blaming

    async def _key(self, kid: str, algorithm: str) -> "Key":
        try:
            return await self._keys.key(kid, algorithm)
        except Fault as fault:
            if self._blame_bearer and fault.entry is faults.AUTH_KEY:
                raise Fault(faults.AUTH_INVALID, reason=fault.cause) from fault
            raise

    def _judge(self, claims: Mapping[str, Any]) -> float:
        """Issuer, audience and times. Gives `exp` in epoch seconds."""
        now = self._clock.now()
        expires = _time(claims, "exp")
        if expires is None:
            raise Fault(faults.AUTH_INVALID, reason="it has no exp")
        if now > expires + self._skew:
            raise Fault(faults.AUTH_EXPIRED, expired=rfc3339(expires))
        for name in ("nbf", "iat"):
            begins = _time(claims, name)
            if begins is not None and now < begins - self._skew:
                raise Fault(faults.AUTH_INVALID, reason=f"its {name} is {rfc3339(begins)}")
        issuer = claims.get("iss")
        if issuer != self._issuer:
            found = str(issuer)[:_SHOWN]
            raise Fault(faults.AUTH_ISSUER, found=found, expected=self._issuer)
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            found = str(audience)[:_SHOWN]
            raise Fault(faults.AUTH_AUDIENCE, found=found, expected=self._audience)
        return expires


class Static:
    """Fixed tokens with the claims of their bearers, e.g. of a development set-up. They do not
    expire. An empty token is nobody's."""

    def __init__(
        self, tokens: Mapping[Secret, Mapping[str, Any]], *, kind: BearerKind | None = None
    ) -> None:
        self._bearers: list[tuple[bytes, Principal]] = []
        for token, claims in tokens.items():
            bearer = principal_of(claims)
            if kind is not None:
                bearer = msgspec.structs.replace(bearer, kind=kind)
            if token:
                self._bearers.append((_digest(token.reveal()), bearer))

    async def validate(self, token: str) -> Principal:
        """Takes the same time for every token: all are compared, each in constant time."""
        given = _digest(token)
        found: Principal | None = None
        for digest, bearer in self._bearers:
            if hmac.compare_digest(digest, given):
                found = bearer
        if found is None:
            raise Fault(faults.AUTH_INVALID, reason=_NOT_STATIC)
        return found


class FirstOf:
    """Asks one validator after the other; the first that knows the bearer decides.

    When all refuse, the refusal that says most is given: what a token lacks that was signed by a
    trusted key, then that a judge could not do its work, then the rest; of equals the last.
    """

    def __init__(self, validators: Sequence[Validator]) -> None:
        if not validators:
            raise ValueError("FirstOf needs a validator")
        self._validators = tuple(validators)

    async def validate(self, token: str) -> Principal:
        refusals: list[Fault] = []
        for validator in self._validators:
            try:
                return await validator.validate(token)
            except Fault as refusal:
                refusals.append(refusal)
        raise most_telling(refusals)


def most_telling(refusals: Sequence[Fault]) -> Fault:
    """Of several validators' refusals of one token the one that says most; of equals the last."""
    return min(reversed(refusals), key=_telling)


# Only a token with a good signature gets as far as these; after them, what may be our own fault.
_TELLING = (
    faults.AUTH_EXPIRED,
    faults.AUTH_AUDIENCE,
    faults.AUTH_ISSUER,
    faults.AUTH_JWKS,
    faults.AUTH_INVALID,
    faults.AUTH_KEY,
    faults.AUTH_ALGORITHM,
    faults.AUTH_NO_SECRET,
)


def _telling(refusal: Fault) -> int:
    if refusal.values.get("reason") == _NOT_STATIC:
        return len(_TELLING)  # true of every token that was meant for somebody else
    # Blaming the bearer does not make an unknown key say more than a wrong signature.
    cause = refusal.__cause__
    entry = cause.entry if isinstance(cause, Fault) else refusal.entry
    return _TELLING.index(entry) if entry in _TELLING else 0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


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
