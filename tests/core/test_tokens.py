"""Tokens are verified or refused by name (C8); nothing in doubt gets in."""

import base64
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from backstay.core import faults, validators
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer, SharedSecret, fingerprint
from backstay.core.validators import Jwt
from backstay.core.virtual import VirtualClock

SECRET = Secret("a-shared-secret-of-32-characters!")


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def issuer(clock):
    return Issuer(SECRET, "backstay", "backstay", clock)


@pytest.fixture
def validator(clock):
    return Jwt(SharedSecret(SECRET), "backstay", "backstay", clock)


def signed(clock, secret=SECRET, header=None, **claims):
    base = {
        "iss": "backstay",
        "aud": "backstay",
        "sub": "x",
        "exp": int(clock.now()) + 600,
    } | claims
    clean = {name: value for name, value in base.items() if value is not None}
    return jwt.encode(header or {"alg": "HS256"}, clean, OctKey.import_key(secret.reveal()))


async def refused(validator, token):
    with pytest.raises(Fault) as caught:
        await validator.validate(token)
    return caught.value.entry.code


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_what_is_minted_is_understood(issuer, validator):
    token = issuer.mint("alice", ["codeq:claim", "b"], ["staff"], "acme", 60, kind="worker")
    principal = await validator.validate(token)
    assert (principal.kind, principal.sub, principal.tenant) == ("worker", "alice", "acme")
    assert principal.may("codeq:claim")
    assert principal.roles == {"staff"}


def test_the_header_names_the_key_and_the_payload_has_a_numeric_exp(issuer, clock):
    head, payload, _ = issuer.mint("alice", ttl=60).split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["kid"] == fingerprint(SECRET)
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["exp"] == int(clock.now()) + 60


def test_the_fingerprint_tells_secrets_apart_and_does_not_hold_them():
    assert fingerprint(SECRET) != fingerprint(Secret("another"))
    assert len(fingerprint(SECRET)) == 8


async def test_expiry_follows_the_clock_and_the_skew_also_for_a_known_token(
    issuer, validator, clock
):
    token = issuer.mint("alice", ttl=100)
    await validator.validate(token)
    clock.advance_now(160)
    await validator.validate(token)
    clock.advance_now(1)
    assert await refused(validator, token) == "AUTH002"
    assert await refused(validator, token) == "AUTH002"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "other"}, "AUTH003"),
        ({"iss": None}, "AUTH003"),
        ({"aud": "other"}, "AUTH004"),
        ({"aud": ["a", "b"]}, "AUTH004"),
        ({"aud": None}, "AUTH004"),
        ({"exp": None}, "AUTH001"),
        ({"exp": "soon"}, "AUTH001"),
        ({"exp": True}, "AUTH001"),
        ({"exp": 1}, "AUTH002"),
        ({"nbf": 9_999_999_999}, "AUTH001"),
        ({"iat": 9_999_999_999}, "AUTH001"),
        ({"tenantId": "a", "tenant_id": "b"}, "AUTH001"),
    ],
)
async def test_claims_that_do_not_fit_are_refused_by_name(validator, clock, claims, code):
    assert await refused(validator, signed(clock, **claims)) == code


async def test_another_secret_is_an_invalid_token(validator, clock):
    assert await refused(validator, signed(clock, Secret("b" * 32))) == "AUTH001"


async def test_a_changed_payload_is_an_invalid_token(validator, issuer):
    head, _, signature = issuer.mint("alice").split(".")
    forged = part({"iss": "backstay", "aud": "backstay", "sub": "root", "exp": 9_999_999_999})
    assert await refused(validator, f"{head}.{forged}.{signature}") == "AUTH001"


@pytest.mark.parametrize("algorithm", ["none", "None", "RS256", "HS512", 1])
async def test_other_algorithms_are_refused_also_unsigned(validator, algorithm):
    payload = part({"iss": "backstay", "aud": "backstay", "exp": 9_999_999_999})
    assert await refused(validator, f"{part({'alg': algorithm})}.{payload}.") == "AUTH007"


async def test_without_a_secret_nothing_is_verified(clock, issuer):
    empty = Jwt(SharedSecret(Secret("")), "backstay", "backstay", clock)
    assert await refused(empty, issuer.mint("alice")) == "AUTH008"
    with pytest.raises(Fault, match="AUTH008"):
        Issuer(Secret(""), "backstay", "backstay", clock)


@given(st.text(max_size=200) | st.binary(max_size=60).map(lambda raw: part(list(raw)) * 3))
async def test_any_text_is_refused_and_breaks_nothing(text):
    validator = Jwt(SharedSecret(SECRET), "backstay", "backstay", VirtualClock())
    assert (await refused(validator, text)).startswith("AUTH")


async def test_hostile_nesting_is_refused(validator):
    deep = base64.urlsafe_b64encode(b"[" * 9000).rstrip(b"=").decode()
    assert await refused(validator, f"{deep}.e30.x") == "AUTH001"
    assert await refused(validator, f"{part({'alg': 'HS256'})}.{deep}.x") == "AUTH001"


@pytest.mark.parametrize("kind", ["local", "system", "anonymous", 7, None])
async def test_no_token_makes_its_bearer_local_or_system(validator, clock, kind):
    principal = await validator.validate(signed(clock, kind=kind))
    assert principal.kind == "user"


@pytest.mark.parametrize(
    ("claims", "tenant"),
    [
        ({}, "default"),
        ({"tenantId": "a"}, "a"),
        ({"tenant_id": "b"}, "b"),
        ({"organizationId": "c"}, "c"),
        ({"organization_id": "d", "tid": "d"}, "d"),
    ],
)
async def test_the_tenant_comes_from_the_known_claims(validator, clock, claims, tenant):
    assert (await validator.validate(signed(clock, **claims))).tenant == tenant


async def test_the_cache_is_bounded(validator, issuer, monkeypatch):
    monkeypatch.setattr(validators, "CACHE_LIMIT", 3)
    for number in range(10):
        await validator.validate(issuer.mint(f"user-{number}"))
    assert len(validator._known) == 3


def test_the_nine_errors_are_those_of_the_seed():
    assert [(entry.code, entry.message, entry.status) for entry in faults.AUTH] == [
        ("AUTH001", "invalid token", 401),
        ("AUTH002", "token has expired", 401),
        ("AUTH003", "invalid token issuer", 401),
        ("AUTH004", "invalid token audience", 401),
        ("AUTH005", "missing authentication token", 401),
        ("AUTH006", "signing key not found", 500),
        ("AUTH007", "unsupported signing algorithm", 400),
        ("AUTH008", "no secret configured for symmetric algorithm", 500),
        ("AUTH009", "failed to fetch JWKS", 500),
    ]


@pytest.mark.parametrize(("secret", "said"), [("", 0), ("x" * 31, 1), ("x" * 32, 0)])
def test_a_secret_that_can_be_guessed_is_told_once_and_without_itself(secret, said):
    with structlog.testing.capture_logs() as logs:
        SharedSecret(Secret(secret))
    assert len(logs) == said
    assert "xxxx" not in str(logs)
