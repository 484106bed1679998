"""How often one caller may ask, and how long an answer may take, of a real server."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.app.standing import database_url, standing
from tests.conformance.proofs.support import PATIENCE, Serving
from tests.e2e.stack import until
from tests.servers.postgres import PostgresServer

from backstay.app.bounds import Limiter
from backstay.core.clock import SystemClock
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.limits import CALLERS
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer
from backstay.core.virtual import VirtualClock
from backstay.lang.program import Rate

SECRET = "a-secret-of-at-least-thirty-two-bytes"
ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
TEXT = """
config { name: "b" version: "1.0.0" auth: jwt { secret: env("JWT_SECRET") } }
entity Alpha {
  id: int, primary
  access { read: true, create: true }
}
entity Beta {
  id: int, primary
  access { read: true }
}
middleware few { type rate_limiting config { requests: 2 window: "1h" strategy: token_bucket } }
endpoint GET /one { auth: optional middleware few returns: list(Alpha) }
endpoint GET /two { auth: optional middleware few returns: list(Beta) }
endpoint GET /seldom { auth: optional rate_limit: 2 per 1h returns: list(Alpha) }
endpoint GET /cached { auth: optional rate_limit: 2 per 1h cache: 5m returns: list(Alpha) }
endpoint POST /slow { auth: public timeout: 300ms body { id: int, required } do { let a = create Alpha { id: body.id } return a } }
endpoint GET /slow { auth: public timeout: 300ms returns: list(Alpha) }
endpoint GET /other { auth: public returns: list(Beta) }
endpoint GET /a { auth: public timeout: 30s returns: list(Alpha) }
"""


def asked(app: Serving, path: str, sub: str = "") -> int:
    headers = {"Authorization": f"Bearer {ISSUER.mint(sub)}"} if sub else {}
    return app.ask("GET", f"/api/v1/{path}", **headers).status


TABLE = "alphas"
UNLOCK = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"


@pytest.mark.parametrize("path", ["seldom", "cached"])
def test_each_caller_is_counted_alone_whatever_token_it_has(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, path: str
) -> None:
    with standing(tmp_path, TEXT, database_url(kind, request), JWT_SECRET=SECRET) as app:
        assert [asked(app, path, "ada") for _ in range(3)] == [200, 200, 429]
        assert [asked(app, path, "bob") for _ in range(2)] == [200, 200]
        assert [asked(app, path) for _ in range(3)] == [200, 200, 429]
        refused = app.ask("GET", f"/api/v1/{path}")
        assert refused.json["code"] == "APP065"
        assert 0 < int(refused.headers["retry-after"]) <= 1800
        assert asked(app, "a", "ada") == 200


def test_what_shares_a_middleware_is_counted_together(tmp_path: Path) -> None:
    with standing(tmp_path, TEXT, JWT_SECRET=SECRET) as app:
        assert [asked(app, path, "ada") for path in ("one", "two", "one", "two")] == [
            200,
            200,
            429,
            429,
        ]
        assert asked(app, "two", "bob") == 200


def test_a_write_that_takes_too_long_is_told_as_such_and_goes_on(
    tmp_path: Path, postgres: PostgresServer, new_url: Callable[[], str]
) -> None:
    url = new_url()
    with standing(tmp_path, TEXT, url, JWT_SECRET=SECRET) as app, locked(postgres, url):
        late = app.ask("POST", "/api/v1/slow", {"id": 7}, X_Request_ID="late")
        assert (late.status, late.json["code"]) == (504, "APP066")
        read = app.ask("GET", "/api/v1/slow")
        assert (read.status, read.json["code"]) == (504, "APP066")
        assert app.ask("GET", "/api/v1/other").json == []
        postgres.sql(UNLOCK, url.rpartition("/")[2])
        until(
            lambda: app.ask("GET", "/api/v1/a").json == [{"id": 7}],
            PATIENCE,
            lambda: "the write was lost",
        )
        assert app.line_of("late", "late request done")["path"] == "/api/v1/slow"


@contextmanager
def locked(postgres: PostgresServer, url: str) -> Iterator[None]:
    """Hold the table until UNLOCK, or for as long as a test may take."""
    text = f"BEGIN; LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60); COMMIT"
    psql = [str(postgres.binaries / "psql"), "-Xq", "-c", text, url]
    holder = subprocess.Popen(psql, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    name = url.rpartition("/")[2]
    held = f"SELECT count(*) FROM pg_locks WHERE relation = '{TABLE}'::regclass AND granted"
    try:
        until(lambda: postgres.sql(held, name).strip() != "0", PATIENCE, lambda: "no lock")
        yield
    finally:
        holder.kill()
        holder.wait()


def test_a_body_is_taken_up_to_the_size_that_the_settings_say(tmp_path: Path) -> None:
    with standing(tmp_path, TEXT, JWT_SECRET=SECRET, MAX_BODY="1024") as app:
        body = {"id": 1, "text": "x" * 1024}
        large = app.ask("POST", "/api/v1/slow", body)
        assert (large.status, large.json["code"]) == (413, "CORE103")
        assert app.ask("POST", "/api/v1/slow", {"id": 1}).status == 200


def test_tokens_come_back_with_time_and_newcomers_reset_nobody() -> None:
    clock = VirtualClock()
    limiter = Limiter(Rate(2, 10.0), clock)
    waits: list[object] = []

    def admitted(sub: str) -> bool:
        try:
            limiter.admit(Principal("user", sub=sub))
        except Fault as refused:
            waits.append(refused.values["retry_after"])
            return False
        return True

    assert [admitted("ada") for _ in range(3)] == [True, True, False]
    clock.advance_now(5.0)
    assert [admitted("ada") for _ in range(2)] == [True, False]
    assert waits == [5, 5]
    for number in range(CALLERS - 1):
        assert admitted(f"other {number}")
    # All places are taken by callers who asked just now: newcomers share one, and ada is not reset.
    assert [admitted(f"late {number}") for number in range(3)] == [True, True, False]
    assert not admitted("ada")
