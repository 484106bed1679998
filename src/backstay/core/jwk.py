"""One published key, and whether it may be believed (RFC 7517, RFC 8725)."""

import base64
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from joserfc.jwk import Key

ALGORITHMS = ("RS256", "PS256", "ES256")
_FAMILY: Mapping[str, str] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
_MEMBERS: Mapping[str, tuple[str, ...]] = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}
_LEAST_BITS, _MOST_BITS = 2048, 8192
# Comparing two sets takes the square of it, in the loop that serves.
_MOST_KEYS = 500
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)


class PublishedKey:
    """A public RSA or P-256 key of a set. Two are equal when their members are."""

    def __init__(self, kid: str, members: Mapping[str, Any]) -> None:
        self.kid = kid
        self._members = members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublishedKey) and other._members == self._members

    def __hash__(self) -> int:
        return hash(self.kid)

    def fits(self, algorithm: str) -> bool:
        """Whether it is there to verify signatures of this algorithm, and can."""
        members = self._members
        return (
            members.get("kty") == _FAMILY.get(algorithm)
            and members.get("alg", algorithm) == algorithm
            and self._key is not None
        )

    def imported(self) -> "Key":
        """The key for joserfc. Only of one that `fits`."""
        if self._key is None:
            raise ValueError(f"key {self.kid!r} cannot be used")
        return self._key

    @cached_property
    def _key(self) -> "Key | None":
        """Imported on its first use: a set may hold a thousand, and few are asked for."""
        from joserfc.errors import JoseError
        from joserfc.jwk import JWKRegistry

        members = self._members
        try:
            if members["kty"] == "RSA" and not _LEAST_BITS <= _bits(members["n"]) <= _MOST_BITS:
                return None
            if members["kty"] == "EC" and members["crv"] != "P-256":
                return None
            # Nothing but what makes a public key: whatever else was published has no say.
            bare = {name: members[name] for name in _MEMBERS[members["kty"]]}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return JWKRegistry.import_key(bare)
        except (JoseError, *_MALFORMED):
            return None


class _Set(msgspec.Struct):
    keys: list[Any]


def read_set(body: bytes) -> Sequence[PublishedKey]:
    """The keys of a JSON Web Key Set that are meant for verifying: never a symmetric one (whoever
    reads the set could sign with it), never one that was published with its private part.

    Raises ValueError when `body` is no such set.
    """
    try:
        given = msgspec.json.decode(body, type=_Set).keys
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as bad:
        raise ValueError("the answer is not a JSON Web Key Set") from bad
    if len(given) > _MOST_KEYS:
        raise ValueError(f"the set has {len(given)} keys, more than {_MOST_KEYS}")
    return [
        PublishedKey(kid if isinstance(kid := key.get("kid"), str) else "", key)
        for key in given
        if isinstance(key, dict) and _for_verifying(key)
    ]


def _for_verifying(key: Mapping[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") in ("RSA", "EC")
        and "d" not in key
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _bits(modulus: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(f"{modulus}==")).bit_length()
