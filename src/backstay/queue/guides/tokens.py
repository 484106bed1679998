"""The queue refuses a token: it asks the server itself with the token, and reads its answer."""

import re
from collections.abc import Mapping, Sequence
from http.client import HTTPException

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import Reply, error_code, fetch, read_state, seen
from backstay.queue.guides.looking import NOTHING

_CODES: Mapping[str, str] = {
    "AUTH001": "invalid",
    "AUTH002": "expired",
    "AUTH003": "issuer",
    "AUTH004": "audience",
    "AUTH005": "missing",
    "AUTH006": "unknown-key",
    "AUTH007": "algorithm",
    "AUTH008": "algorithm",
    "AUTH009": "keys-away",
    "QUEUE008": "event-type",
    "QUEUE009": "scope",
}
_WORDS: Sequence[tuple[str, str]] = (
    (r"invalid signature", "signature"),
    (r"unable to find key", "unknown-key"),
    (r"signed with \S+, not with", "algorithm"),
    (r"missing exp|without exp|no exp\b", "no-expiry"),
)

_RIGHTS = ("scope", "event-type")


def classify(text: str) -> str:
    """The reading of an answer or of the user's words; `none` when they are about no token."""
    for words, reading in _WORDS:
        if re.search(words, text, re.IGNORECASE):
            return reading
    return _CODES.get(error_code(text), NOTHING)


def token_probe(ident: str, asks: str, readings: Sequence[str]) -> Probe:
    """Asks only where the user names a token (or a message about one), and speaks only of what
    its guide knows. Behind a gateway it is the gateway that judges tokens."""

    async def run(target: Target) -> Evidence:
        facts: dict[str, Plain] = {"address": target.base_url}
        told = target.text
        gateway = bool(read_state(target))
        if not gateway and (target.token or classify(told) in readings):
            reply = await _judged(target)
            if reply is not None and _speaks(reply, target, told):
                told = _words(reply) if reply.status >= 400 else ""
                facts |= {"status": reply.status, "said": told[:300]}
        reading = classify(told)
        if reading not in readings or (gateway and error_code(told).startswith("AUTH")):
            return seen(ident, NOTHING, "skip")
        scope = re.search(r"missing scope (\S+)|event type not allowed: (\S+)", told)
        facts["wanted"] = (scope[1] or scope[2]).rstrip(".,;\"'") if scope else ""
        return seen(ident, reading, "fail", told, **facts)

    return Probe(ident, asks, "outside", (NOTHING, *readings), run, deadline=4.5, cost=0.1)


async def _judged(target: Target) -> Reply | None:
    """What the queue answers to who has this token, or none; None where nobody answers."""
    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    try:
        return await fetch(f"{target.base_url}/v1/codeq/tasks?limit=1", 2.0, headers)
    except (OSError, HTTPException):
        if target.token:
            raise
        return None


def _speaks(reply: Reply, target: Target, told: str) -> bool:
    """Whether the answer is nearer to the truth than the user's words: it is about the token, or
    shows that this queue asks nobody for one. A token that may list may still lack a right."""
    if reply.status < 400:
        return classify(told) not in _RIGHTS or not target.token
    return bool(target.token)


def _words(reply: Reply) -> str:
    body = reply.json()
    values = body.get("values") or {}
    return " ".join(str(word) for word in (body.get("code"), body.get("detail"), *values.values()))


def _causes(probe: str, told: Sequence[tuple[str, str, str, str]]) -> tuple[Cause, ...]:
    return tuple(
        Cause(name, says, 0.05, {probe: {reading: 0.97}}, (fix,))
        for name, reading, says, fix in told
    )


_NEW = Fix("new-token", "Get a new token", "codeq auth login", "none")
_SHOW = Fix("show", "See what is stored, and until when it is good", "codeq auth show", "none")

TOKENS = Guide(
    id="queue-token",
    title="The queue does not accept a token",
    seed="codeq: Authentication Errors; JWT Token Expired",
    symptoms=(
        Symptom("text", r"AUTH00[1-5]|token (has|is) expired|invalid token", "a refused token"),
        Symptom("text", r"\b401\b|unauthori[sz]ed", "the answer 401"),
    ),
    probes=(
        token_probe(
            "queue.token",
            "what does the queue say of the token",
            ("missing", "expired", "invalid", "no-expiry", "issuer", "audience"),
        ),
    ),
    causes=_causes(
        "queue.token",
        (
            ("token-missing", "missing", "no token was sent to {address}", "set"),
            ("token-expired", "expired", "the token has expired", "new-token"),
            ("token-broken", "invalid", "the token is no valid one here[[: {said}]]", "show"),
            ("token-without-expiry", "no-expiry", "the token has no exp", "new-token"),
            ("token-issuer", "issuer", "the token is of another issuer[[: {said}]]", "issuer"),
            ("token-audience", "audience", "the token is for somebody else[[: {said}]]", "issuer"),
        ),
    ),
    fixes=(
        _NEW,
        _SHOW,
        Fix(
            "set",
            "Store tokens",
            "codeq auth set --producer-token TOKEN --worker-token JWT",
            "none",
        ),
        Fix(
            "issuer",
            "Compare iss and aud with workerIssuer, workerAudience (or identityIssuer, …)",
            "codeq auth show",
            "none",
        ),
    ),
    escalation="compare the clocks: allowedClockSkewSeconds bridges one minute by default",
)

KEYS = Guide(
    id="queue-keys",
    title="The signature of a token cannot be verified",
    seed="codeq: JWKS Validation Failure",
    symptoms=(Symptom("text", r"AUTH00[6-9]|invalid signature|unable to find key|JWKS", "keys"),),
    probes=(
        token_probe(
            "queue.keys",
            "what does the queue say of the token's signature",
            ("signature", "unknown-key", "keys-away", "algorithm"),
        ),
    ),
    causes=_causes(
        "queue.keys",
        (
            ("bad-signature", "signature", "the signature does not fit the key it names", "new"),
            ("unknown-key", "unknown-key", "no published key has the token's kid", "look"),
            (
                "keys-unreachable",
                "keys-away",
                "the issuer's keys cannot be had[[: {said}]]",
                "look",
            ),
            ("bad-algorithm", "algorithm", "the algorithm is not one that is taken here", "new"),
        ),
    ),
    fixes=(
        Fix("look", "Look at the keys and their kid", "curl JWKS_URL", "none"),
        Fix("new", "Get a token of the right issuer", "codeq auth login", "none"),
    ),
    escalation="workerJwksUrl and identityJwksUrl name the keys; a new key counts within 30 s",
)

SCOPES = Guide(
    id="queue-scopes",
    title="A valid token may not do this",
    seed="codeq: Missing Scopes; Worker Not Claiming Tasks: Verify worker authentication",
    symptoms=(
        Symptom("text", r"QUEUE00[89]|missing scope|event type not allowed", "not allowed"),
        Symptom("text", r"\b403\b|forbidden", "the answer 403"),
    ),
    probes=(token_probe("queue.scopes", "what may the token not do", ("scope", "event-type")),),
    causes=_causes(
        "queue.scopes",
        (
            ("scope-missing", "scope", "the token lacks the scope[[ {wanted}]]", "ask"),
            (
                "event-type-missing",
                "event-type",
                "the token's eventTypes lack the command[[ {wanted}]]",
                "ask",
            ),
        ),
    ),
    fixes=(
        Fix(
            "ask",
            "Ask the issuer for a token that has it: scope holds codeq:claim codeq:heartbeat "
            "codeq:result, eventTypes the commands",
            "codeq auth show",
            "none",
        ),
    ),
    escalation="codeq auth show prints the claims of the stored token",
)
