"""How senders sign what they send. One function for each: headers and body in, marks out.

The marks of a delivery are its id and its signature. Where a timestamp is signed, a call is taken
within `core.signing.FRESH` seconds of it; GitHub signs none, so there the marks alone keep a replay
out.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay.core.signing import FRESH, verify

Headers = Mapping[str, str]
Marks = Sequence[str]


class Refused(Exception):  # noqa: N818 - told as a Fault
    """Why it is not taken; nothing in it tells a forger more than he knows."""


def backstay(secret: str, headers: Headers, body: bytes, now: float) -> Marks:
    """Another Backstay's webhook."""
    stamp = _needed(headers, "x-backstay-timestamp")
    signature = _needed(headers, "x-backstay-signature").strip().lower()
    if not verify(secret, stamp, body, signature, now):
        raise _why(stamp, now)
    return f"id:{_needed(headers, 'x-backstay-delivery')}", f"sig:{signature}"


def github(secret: str, headers: Headers, body: bytes, now: float) -> Marks:  # noqa: ARG001
    """`X-Hub-Signature-256: sha256=HEX` over the body."""
    given = _needed(headers, "x-hub-signature-256").strip().lower().removeprefix("sha256=")
    if not _same(_hex(secret.encode(), body), given):
        raise Refused("the signature does not fit")
    return f"id:{_needed(headers, 'x-github-delivery')}", f"sig:{given}"


def stripe(secret: str, headers: Headers, body: bytes, now: float) -> Marks:
    """`Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]` over `SECONDS.BODY`; the id is the event's."""
    parts = [
        part.strip().partition("=") for part in _needed(headers, "stripe-signature").split(",")
    ]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    signed = _hex(secret.encode(), stamp.encode() + b"." + body)
    if not any(name == "v1" and _same(signed, value) for name, _, value in parts):
        raise Refused("the signature does not fit")
    _fresh(stamp, now)
    try:
        return f"id:{msgspec.json.decode(body, type=_Event).id}", f"sig:{signed}"
    except msgspec.MsgspecError as bad:
        raise Refused(f"the body has no id: {bad}") from bad


def standard(secret: str, headers: Headers, body: bytes, now: float) -> Marks:
    """Standard Webhooks: `v1,BASE64` over `ID.SECONDS.BODY`, the secret perhaps `whsec_BASE64`."""
    delivery, stamp = _needed(headers, "webhook-id"), _needed(headers, "webhook-timestamp")
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except BadBase64:
        key = secret.encode()
    text = f"{delivery}.{stamp}.".encode() + body
    signed = b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    given = [each.partition(",") for each in _needed(headers, "webhook-signature").split()]
    if not any(version == "v1" and _same(signed, value) for version, _, value in given):
        raise Refused("the signature does not fit")
    _fresh(stamp, now)
    return f"id:{delivery}", f"sig:{signed}"


class _Event(msgspec.Struct):
    id: str


SCHEMES: Mapping[str, Callable[[str, Headers, bytes, float], Marks]] = {
    "backstay": backstay,
    "github": github,
    "standard": standard,
    "stripe": stripe,
}


def _needed(headers: Headers, name: str) -> str:
    value = headers.get(name, "")
    if not value or len(value) > 1000:
        raise Refused(f"the header {name} is missing")
    return value


def _hex(secret: bytes, text: bytes) -> str:
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


def _same(known: str, given: str) -> bool:
    return given.isascii() and hmac.compare_digest(known, given)


def _fresh(stamp: str, now: float) -> None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        raise Refused("its timestamp is no number")
    if abs(now - float(stamp)) > FRESH:
        raise Refused(f"it was signed more than {FRESH:g} s ago, or ahead of our clock")


def _why(stamp: str, now: float) -> Refused:
    try:
        _fresh(stamp, now)
    except Refused as stale:
        return stale
    return Refused("the signature does not fit")
