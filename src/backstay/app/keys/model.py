"""A key, what may be asked for one, and how its text becomes what is stored."""

import hashlib
import secrets
from typing import Annotated

import msgspec

from backstay.core.context import Principal

PREFIX = "bsk_"
"""How every key begins: it tells a key from a token, and lets scanners find one in a text."""
_BYTES = 32
_SHOWN = 12

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new key is for. `sub` is who its holder is to access rules, `key:NAME` unless given;
    `expires_in` is a duration such as `90d` in hours, minutes or seconds: "" for none."""

    name: Name
    roles: tuple[Name, ...] = ()
    scopes: tuple[Name, ...] = ()
    sub: str = ""
    tenant: str = "default"
    expires_in: str = ""


class Key(msgspec.Struct, frozen=True):
    """As it is stored; times are UTC microseconds. `prefix` are the first letters of its text."""

    id: str
    name: str
    prefix: str
    sub: str
    tenant: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created_by: str
    created_at: int
    ends_at: int | None = None
    revoked_at: int | None = None
    used_at: int | None = None
    replaces: str | None = None

    def principal(self) -> Principal:
        """Who holds it."""
        return Principal(
            "user",
            sub=self.sub,
            tenant=self.tenant,
            scopes=frozenset(self.scopes),
            roles=frozenset(self.roles),
            claims={"key": self.id},
        )

    def status(self, now: int) -> str:
        """`active`, `revoked` or `expired`."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "expired" if self.ends_at is not None and self.ends_at <= now else "active"


def new_text() -> str:
    """The text of a new key: 256 bits of chance, so that one round of SHA-256 hides it."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def shown(text: str) -> str:
    """So much of a key that a person can tell it from another."""
    return text[:_SHOWN]


def hashed(text: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
