"""Tokens that a real server refuses; the doctor asks it with the token and names why."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.consulting import assert_named, assert_silent
from tests.queue.support import Server, serving
from tests.servers.issuer import JwksIssuer


@pytest.fixture
def strict(tmp_path: Path, jwks_issuer: JwksIssuer) -> Iterator[Server]:
    """Workers of `jwks_issuer`, and no skew that would forgive a late token."""
    env = {
        "WORKER_JWKS_URL": jwks_issuer.jwks_url,
        "WORKER_ISSUER": jwks_issuer.name,
        "ALLOWED_CLOCK_SKEW_SECONDS": "0",
    }
    with serving(tmp_path / "data", env=env) as server:
        yield server


def named(server: Server, cause: str, token: str, guide: str = "queue-token") -> dict[str, Any]:
    return assert_named(server, cause, "--only", guide, "--token", token)


def test_a_token_that_may_do_this_is_left_in_peace(strict: Server, jwks_issuer: JwksIssuer) -> None:
    good = jwks_issuer.mint(scope="codeq:claim codeq:subscribe", eventTypes=["*"])
    assert_silent(strict, "--token", good)


def test_a_token_has_expired(strict: Server, jwks_issuer: JwksIssuer) -> None:
    now = int(time.time())
    named(strict, "token-expired", jwks_issuer.mint(iat=now - 900, exp=now - 300))


def test_a_token_of_another_issuer(strict: Server, jwks_issuer: JwksIssuer) -> None:
    found = named(strict, "token-issuer", jwks_issuer.mint(iss="https://elsewhere.test"))
    assert "elsewhere.test" in found["says"]


def test_a_token_for_somebody_else(strict: Server, jwks_issuer: JwksIssuer) -> None:
    named(strict, "token-audience", jwks_issuer.mint(aud="another-queue"))


def test_a_token_that_is_none(strict: Server) -> None:
    named(strict, "token-broken", "not-a-token")


def test_a_token_that_never_expires(strict: Server, jwks_issuer: JwksIssuer) -> None:
    found = named(strict, "token-without-expiry", jwks_issuer.mint(exp=None))
    assert "no exp" in found["evidence"][0]["facts"]["said"]
    assert found["fixes"][0]["command"] == "codeq auth login"
    assert_silent(strict, "--only", "queue-token", "--token", jwks_issuer.mint())


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_an_algorithm_that_is_not_taken(
    strict: Server, jwks_issuer: JwksIssuer, algorithm: str
) -> None:
    _, body, _ = jwks_issuer.mint().split(".")
    head = base64url(json.dumps({"alg": algorithm, "kid": "key-1"}).encode())
    # The attack: what everybody knows of the key, taken for a shared secret.
    known = jwks_issuer.public_pem("key-1")
    seal = hmac.digest(known, f"{head}.{body}".encode(), "sha256") if algorithm != "none" else b""
    token = f"{head}.{body}.{base64url(seal)}"
    found = named(strict, "bad-algorithm", token, "queue-keys")
    assert f"signed with {algorithm}" in found["evidence"][0]["facts"]["said"]
    # It is this guide's, and no other's.
    assert_named(strict, "bad-algorithm", "--token", token)
    assert_silent(strict, "--only", "queue-keys", "--token", jwks_issuer.mint())


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_signature_that_does_not_fit(strict: Server, jwks_issuer: JwksIssuer) -> None:
    head, body, signature = jwks_issuer.mint().split(".")
    turned = ("B" if signature[0] != "B" else "C") + signature[1:]
    named(strict, "bad-signature", f"{head}.{body}.{turned}", "queue-keys")


def test_a_key_that_is_not_published(strict: Server, jwks_issuer: JwksIssuer) -> None:
    jwks_issuer.add("hidden", publish=False)
    named(strict, "unknown-key", jwks_issuer.mint("hidden"), "queue-keys")


def test_keys_that_cannot_be_had(strict: Server, jwks_issuer: JwksIssuer) -> None:
    token = jwks_issuer.mint()
    jwks_issuer.stop()
    named(strict, "keys-unreachable", token, "queue-keys")


def test_a_scope_that_is_missing(strict: Server, jwks_issuer: JwksIssuer) -> None:
    token = jwks_issuer.mint(scope="codeq:result")
    refused = strict.post(
        "/tasks/claim", {"commands": ["RENDER"]}, headers={"Authorization": f"Bearer {token}"}
    )
    assert refused.status == 403
    body = refused.json
    found = assert_named(strict, "scope-missing", f"{body['code']} {body['detail']}")
    assert "codeq:claim" in found["says"]


def test_an_event_type_that_is_missing(strict: Server, jwks_issuer: JwksIssuer) -> None:
    token = jwks_issuer.mint(scope="codeq:claim codeq:subscribe", eventTypes=["SHIP"])
    refused = strict.post(
        "/tasks/claim", {"commands": ["PRINT"]}, headers={"Authorization": f"Bearer {token}"}
    )
    assert refused.status == 403
    body = refused.json
    found = assert_named(strict, "event-type-missing", f"{body['code']} {body['detail']}")
    assert "PRINT" in found["says"]


def test_no_token_at_all(strict: Server) -> None:
    refused = strict.get("/tasks")
    assert refused.status == 401
    found = assert_named(strict, "token-missing", f"error (401): {refused.json['code']}")
    assert found["fixes"][0]["command"].startswith("codeq auth set")
