"""A token that an app refuses: expired, signed by somebody else, of another issuer or for another
audience, damaged, in an algorithm that is not taken, by a key that nobody knows or that cannot be
fetched. Real servers on real PostgreSQL; the doctor gets the token that was refused."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.apps import Served, serving
from tests.servers.issuer import JwksIssuer
from tests.servers.postgres import PostgresServer

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

SECRET = "a secret of this test, long enough for HS256"
PROGRAM = """
config {
  name: "shop"
  auth: jwt { secret: env("JWT_SECRET", ""), issuer: "backstay", audience: "backstay" }
}
entity Note { id: uuid, primary, auto, text: text, required, access { read: true } }
endpoint GET /notes { auth: optional, returns: paginated(Note) }
"""


def mint(
    secret: str = SECRET, issuer: str = "backstay", audience: str = "backstay", ttl: float = 600.0
) -> str:
    return Issuer(Secret(secret), issuer, audience, SystemClock()).mint("ada", ttl=ttl)


@pytest.fixture
def database(tmp_path: Path, postgres: PostgresServer) -> str:
    name = f"tokens_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    return postgres.url(name)


@pytest.fixture
def served(tmp_path: Path, database: str) -> Iterator[Served]:
    with serving(tmp_path, PROGRAM, database, JWT_SECRET=SECRET) as made:
        yield made


@pytest.mark.seed("C7")
def test_each_way_in_which_a_token_is_refused(served: Served) -> None:
    served.well("--token", mint())
    for token, cause in (
        (mint(ttl=-600.0), "expired-token"),
        (mint(secret="the secret of somebody else, as long"), "wrong-jwt-secret"),
        (mint(issuer="elsewhere"), "foreign-token"),
        (mint(audience="others"), "foreign-token"),
        (mint()[:-40], "wrong-jwt-secret"),
        ("no.token", "damaged-token"),
        (NONE_ALGORITHM, "token-algorithm"),
    ):
        found = served.fault(cause, "--token", token)
        assert token not in str(found)


NONE_ALGORITHM = (
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."
    "eyJzdWIiOiJhZGEiLCJpc3MiOiJiYWNrc3RheSIsImF1ZCI6ImJhY2tzdGF5IiwiZXhwIjo0MTAyNDQ0ODAwfQ.eA"
)


@pytest.mark.seed("C9")
def test_the_keys_of_the_issuer_cannot_be_fetched(tmp_path: Path, database: str) -> None:
    issuer = JwksIssuer()
    try:
        env = {"JWT_JWKS_URL": issuer.jwks_url, "JWT_ISSUER": issuer.name}
        env["JWT_AUDIENCE"] = issuer.audience
        with serving(tmp_path, PROGRAM, database, **env) as served:
            issuer.lie = "500"
            found = served.fault("keys-away", "--token", issuer.mint())
            assert found["fixes"][0]["command"] == "curl -sS $JWT_JWKS_URL"
            issuer.lie = ""
            served.well("--token", issuer.mint())
            issuer.add("unpublished", publish=False)
            served.fault("no-key", "--token", issuer.mint())
    finally:
        issuer.stop()
