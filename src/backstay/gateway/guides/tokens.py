"""A token is refused: signed with another secret, expired, or not a token at all.

Keys are compared by their fingerprint (`kid`), never by themselves.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from backstay.core.clock import SystemClock, rfc3339
from backstay.core.dev_issuer import read_dev_issuer
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import fetch, lone_servers, look_inside, seen
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer, fingerprint

_SKEW = 60.0
"""Seconds by which clocks may differ; a gateway grants as much."""
_SHAPE = "token.shape"
_KEY = "token.key"
_ANSWER = "token.answer"
_OWN = "token.own"
_REFUSALS: Mapping[str, str] = {
    "AUTH001": "invalid",
    "AUTH002": "expired",
    "AUTH003": "foreign",
    "AUTH004": "foreign",
    "AUTH006": "unverifiable",
    "AUTH007": "algorithm",
    "AUTH008": "unverifiable",
    "AUTH009": "keys-away",
}


async def _look_at_shape(target: Target) -> Evidence:
    if not target.token:
        return seen(_SHAPE, "no-token", "skip")
    header, claims = _part(target.token, 0), _part(target.token, 1)
    if not header or not claims or target.token.count(".") != 2:
        return seen(_SHAPE, "malformed", "fail", length=len(target.token))
    now = SystemClock().now()
    expires = claims.get("exp")
    facts: dict[str, Plain] = {
        "kid": str(header.get("kid", "")),
        "algorithm": str(header.get("alg", "")),
        "sub": str(claims.get("sub", "")),
        "issuer": str(claims.get("iss", "")),
        "audience": str(claims.get("aud", "")),
    }
    if not isinstance(expires, (int, float)) or isinstance(expires, bool):
        return seen(_SHAPE, "malformed", "fail", **facts)
    facts["expired"] = rfc3339(expires)
    facts["expired_seconds_ago"] = round(now - expires)
    if now >= expires + _SKEW:
        return seen(_SHAPE, "expired", "fail", **facts)
    return seen(_SHAPE, "in-time", "pass", **facts)


async def _look_at_key(target: Target) -> Evidence:
    """Is the token's key one that this machine knows, and the one the gateway uses?"""
    header = _part(target.token, 0) if target.token else {}
    kid = str(header.get("kid", ""))
    if not kid or lone_servers(target):
        return seen(_KEY, "no-kid", "skip")  # without a gateway there is no key of its own
    known = _known_keys(target)
    used = await _gateway_key(target, known)
    facts: dict[str, Plain] = {
        "kid": kid,
        "gateway_kid": used,
        "known_kids": dict(known),
        "data": str(target.data),
    }
    if used:
        same = kid == used
        return seen(_KEY, "same" if same else "other", "pass" if same else "fail", **facts)
    if kid in known.values():
        return seen(_KEY, "known", "pass", **facts)
    return seen(_KEY, "foreign", "warn", **facts)


async def _look_at_answer(target: Target) -> Evidence:
    if not target.token:
        return seen(_ANSWER, "no-token", "skip")
    return await _try(_ANSWER, target, target.token)


async def _look_at_own(target: Target) -> Evidence:
    """Would the gateway take a token that `backstay token` makes in this shell? Asked only where
    that is meant to work: with JWT_SECRET set here, or a gateway on the development issuer."""
    if "app" in lone_servers(target):
        return seen(_OWN, "not-asked", "skip")  # its program says whose tokens it takes
    given = os.environ.get("JWT_SECRET")
    if not given and await _gateway_source(target) != "default":
        return seen(_OWN, "not-asked", "skip")
    secret = Secret(given) if given else read_dev_issuer(target.data)
    if secret is None:
        return seen(_OWN, "not-asked", "skip")
    token = Issuer(secret, "backstay", "backstay", SystemClock()).mint("doctor", ttl=60)
    found = await _try(_OWN, target, token)
    where = "JWT_SECRET of this shell" if given else "the development issuer"
    facts: dict[str, Plain] = {**found.facts, "secret_of": where, "kid": fingerprint(secret)}
    return msgspec.structs.replace(found, facts=facts)


async def _try(probe: str, target: Target, token: str) -> Evidence:
    # An app that serves by itself has no page at its root; this route is in every app.
    path = "/api/v1/workflows" if "app" in lone_servers(target) else "/"
    try:
        reply = await fetch(f"{target.base_url}{path}", 0.8, {"Authorization": f"Bearer {token}"})
    except OSError as failure:
        # Who cannot be asked refuses nothing; other guides know why nobody answers.
        return seen(probe, "not-asked", "skip", reason=str(failure))
    problem = reply.json()
    code = str(problem.get("code", ""))
    facts: dict[str, Plain] = {
        "status": reply.status,
        "code": code,
        "error": str(problem.get("error", "")),
        "url": target.base_url,
        "data": str(target.data),
    }
    if reply.status < 400 or reply.status == HTTPStatus.FORBIDDEN:  # let in, and not everywhere
        return seen(probe, "accepted", "pass", reply.body, **facts)
    if code in _REFUSALS:
        return seen(probe, _REFUSALS[code], "fail", reply.body, **facts)
    return seen(probe, "not-asked", "skip", reply.body, **facts)


async def _gateway_source(target: Target) -> str:
    """Where the gateway's secret comes from: `env`, `file`, `default` (development issuer), ""."""
    settings = await look_inside(_OWN, target, "gateway", "/settings")
    if isinstance(settings, Evidence):
        return ""
    entries = [one for one in settings if one.get("name") == "jwt_secret"]
    return str(entries[0].get("source", "")) if entries else ""


async def _gateway_key(target: Target, known: Mapping[str, str]) -> str:
    """The fingerprint of the gateway's key, where it can be known from outside."""
    if await _gateway_source(target) == "default":
        return known.get("development issuer", "")
    return ""


def _known_keys(target: Target) -> dict[str, str]:
    known = {}
    development = read_dev_issuer(target.data)
    if development:
        known["development issuer"] = fingerprint(development)
    given = os.environ.get("JWT_SECRET")
    if given:
        known["JWT_SECRET of this shell"] = fingerprint(Secret(given))
    return known


def _part(token: str, number: int) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) <= number:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[number] + "=" * (-len(parts[number]) % 4))
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        return {}


_ANSWERS = (
    *("accepted", "invalid", "expired", "foreign", "unverifiable", "keys-away", "algorithm"),
    *("no-token", "not-asked"),
)
SHAPE = Probe(
    _SHAPE,
    "what the token says of itself",
    "outside",
    ("in-time", "expired", "malformed", "no-token"),
    _look_at_shape,
)
KEY = Probe(
    _KEY,
    "whose key the token was signed with",
    "inside",
    ("same", "other", "known", "foreign", "no-kid"),
    _look_at_key,
)
ANSWER = Probe(_ANSWER, "what the gateway says to the token", "outside", _ANSWERS, _look_at_answer)
OWN = Probe(
    _OWN, "does the gateway take a token made in this shell", "outside", _ANSWERS, _look_at_own, 1.8
)

WRONG_SECRET = Guide(
    id="wrong-jwt-secret",
    title="Valid-looking tokens are refused",
    seed="codeai: Authentication (C7, C8)",
    symptoms=(
        Symptom("text", r"AUTH001|invalid token(?! (issuer|audience))|bad.?signature", "refused"),
        Symptom("text", r"AUTH00[3-8]|signing key not found|no secret configured", "refused"),
    ),
    probes=(SHAPE, KEY, ANSWER, OWN),
    causes=(
        Cause(
            "wrong-jwt-secret",
            "the token is signed with another secret[[ (kid {kid})]] than the gateway checks with",
            0.05,
            {
                _ANSWER: {"invalid": 0.97},
                _OWN: {"invalid": 0.5, "accepted": 0.45},
                _KEY: {"other": 0.5, "foreign": 0.3, "known": 0.15},
                _SHAPE: {"in-time": 0.85, "expired": 0.1},
                "symptom.wrong-jwt-secret": {"named": 0.9},
            },
            ("same-secret", "new-token"),
        ),
        Cause(
            "damaged-token",
            "the token was damaged on its way: it is not one this installation signed",
            0.02,
            {
                _ANSWER: {"invalid": 0.97},
                _OWN: {"accepted": 0.95},
                _KEY: {"same": 0.6, "known": 0.3},
                _SHAPE: {"malformed": 0.6, "in-time": 0.35},
            },
            ("new-token",),
        ),
        Cause(
            "foreign-token",
            "the token is from {issuer} for {audience}, which the gateway does not trust",
            0.02,
            {
                _ANSWER: {"foreign": 0.97},
                _OWN: {"accepted": 0.9},
            },
            ("new-token",),
        ),
        Cause(
            "no-key",
            "the gateway has no key to check the token with[[ ({algorithm})]][[: {error}]]",
            0.02,
            {_ANSWER: {"unverifiable": 0.97}},
            ("same-secret", "see-keys"),
        ),
        Cause(
            "keys-away",
            "the issuer's keys cannot be fetched, so no token of it can be checked[[: {error}]]",
            0.03,
            {_ANSWER: {"keys-away": 0.97}},
            ("see-keys",),
        ),
        Cause(
            "token-algorithm",
            "the token is signed in a way[[ ({algorithm})]] that is not accepted: HS256 and RS256"
            " are",
            0.02,
            {_ANSWER: {"algorithm": 0.97}},
            ("new-token",),
        ),
    ),
    fixes=(
        Fix(
            "same-secret",
            "Start the gateway with the secret that the token's issuer signs with",
            "JWT_SECRET=… backstay up --data {data}",
            "restart",
        ),
        Fix(
            "see-keys",
            "See whether the issuer's keys can be had from here, and which they are",
            "curl -sS $JWT_JWKS_URL",
            "none",
        ),
        Fix(
            "new-token",
            "Or take a token of this installation",
            "backstay token --data {data}",
            "none",
        ),
    ),
    escalation="both sides must show the same `kid`; see: backstay config show",
)

EXPIRED_TOKEN = Guide(
    id="expired-token",
    title="A token is refused because its time is over",
    seed="codeai: Authentication (C7, C8)",
    symptoms=(
        Symptom("text", r"AUTH002|token (has|is) expired|jwt expired|expired token", "expired"),
    ),
    probes=(SHAPE, ANSWER),
    causes=(
        Cause(
            "expired-token",
            "the token expired[[ at {expired}]]",
            0.05,
            {
                _SHAPE: {"expired": 0.97},
                _ANSWER: {"expired": 0.9, "invalid": 0.08},
                "symptom.expired-token": {"named": 0.9},
            },
            ("new-token",),
        ),
        Cause(
            "clock-wrong",
            "the gateway calls the token expired, and by this clock it is valid until {expired}",
            0.01,
            {
                _SHAPE: {"in-time": 0.97},
                _ANSWER: {"expired": 0.97},
                "symptom.expired-token": {"named": 0.9},
            },
            ("set-clock",),
        ),
    ),
    fixes=(
        Fix("new-token", "Take a new one", "backstay token --data {data}", "none"),
        Fix("set-clock", "Compare the clocks of both machines", "date -u", "none"),
    ),
    escalation="a longer life: backstay token --ttl 24h",
)
