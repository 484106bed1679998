"""C9 and C29: which routes want a token, and lists whose cost does not grow with their rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.standing import standing
from tests.conformance.proofs.support import PATIENCE, SECRET, Serving, Target, app_server
from tests.e2e.stack import until
from tests.servers.postgres import PostgresServer

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

STATUS = "-o /dev/null -w '%{http_code}'"
OPEN = ("/health", "/health/live", "/health/ready", "/metrics", "/api/v1/workflows")
GUARDED = (
    "/debug/pprof/heap",
    "/debug/pprof/goroutine?debug=2",
    "/debug/pprof/profile?seconds=1",
    "/api/v1/admin/jobs?status=pending",
)


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


def curl(app: Serving, path: str, *words: str) -> str:
    """The status that the seed's command, typed with these words before the address, is given."""
    return app.seed(f"curl -s {STATUS} {' '.join(words)} http://localhost:8080{path}")


def ended(app: Serving) -> str:
    """The id of an execution that failed, asked for without any token."""
    execution = str(app.ask("POST", "/api/v1/odd").json["id"])

    def failed() -> bool:
        found = app.ask("GET", f"/api/v1/executions/{execution}").json
        return bool(found["status"] == "failed")

    until(failed, PATIENCE, lambda: f"{execution} did not end")
    return execution


@pytest.mark.seed("C9")
def test_without_auth_the_seeds_commands_need_no_token_and_with_it_administration_does(
    tmp_path: Path, target: Target
) -> None:
    target.statuses["/odd"] = 500
    with app_server(tmp_path / "free", target.url) as free:
        assert {path: curl(free, path) for path in (*OPEN, *GUARDED)} == dict.fromkeys(
            (*OPEN, *GUARDED), "200"
        )
        execution = ended(free)
        retried = f"/api/v1/executions/{execution}/retry"
        assert curl(free, retried, "-X POST") == "202"
        target.statuses.clear()
        done = str(free.ask("POST", "/api/v1/quick").json["id"])
        until(
            lambda: free.ask("GET", f"/api/v1/executions/{done}").json["status"] == "completed",
            PATIENCE,
            lambda: f"{done} did not complete",
        )
        assert curl(free, f"/api/v1/executions/{done}/compensate", "-X POST") == "202"
        assert curl(free, "/api/v1/admin/jobs/purge?status=failed", "-X POST") == "200"
    with app_server(tmp_path / "strict", target.url, JWT_SECRET=SECRET) as strict:
        issuer = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())
        admin = f"-H 'Authorization: Bearer {issuer.mint('ops', ['admin'])}'"
        person = f"-H 'Authorization: Bearer {issuer.mint('ada')}'"
        for path in GUARDED:
            assert curl(strict, path) == "401", path
            assert curl(strict, path, person) == "403", path
            assert curl(strict, path, admin) == "200", path
        for act in ("retry", "compensate"):
            path = f"/api/v1/executions/{execution}/{act}"
            assert curl(strict, path, "-X POST") == "401"
            assert curl(strict, path, "-X POST", person) == "403"
            assert curl(strict, path, "-X POST", admin) == "404"
        for path in OPEN:
            assert curl(strict, path) == "200", path


SHELVES = """
config { name: "shelves" version: "1.0.0" }
entity Case {
  id: int, primary
  name: string, required
  books: list(Book)
}
entity Book {
  id: int, primary
  title: string, required
  shelf: ref(Case), required
}
endpoint GET /cases { returns: paginated(Case), include: [books], page_limit: 200 }
endpoint GET /books { returns: paginated(Book), include: [shelf], page_limit: 200 }
"""


_OURS = "(query LIKE '%FROM \"cases\"%' OR query LIKE '%FROM \"books\"%')"


def asked(postgres: PostgresServer) -> int:
    """How many statements about the two tables were run in the database, by its own count."""
    text = (
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        f" WHERE d.datname = 'shelves' AND {_OURS} AND query NOT LIKE '%pg_stat%'"
    )
    return int(postgres.sql(text, "shelves"))


@pytest.mark.seed("C29")
def test_a_list_with_related_rows_takes_as_many_statements_for_a_hundred_as_for_two(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    postgres.sql("CREATE DATABASE shelves")
    postgres.sql("CREATE EXTENSION pg_stat_statements", "shelves")
    with standing(tmp_path, SHELVES, postgres.url("shelves")) as app:
        postgres.sql(
            "INSERT INTO cases SELECT n, 'shelf ' || n FROM generate_series(1, 102) n;"
            "INSERT INTO books SELECT n, 'book ' || n, n FROM generate_series(1, 102) n",
            "shelves",
        )
        counts = {}
        for path, related in (("cases", "books"), ("books", "shelf")):
            for limit in (2, 100):
                before = asked(postgres)
                answer = app.ask("GET", f"/api/v1/{path}?limit={limit}").json
                counts[path, limit] = asked(postgres) - before
                assert len(answer["data"]) == limit
                assert answer["pagination"]["has_next"]
                assert all(row[related] for row in answer["data"])
    assert counts == dict.fromkeys(counts, 1)
    indexed = postgres.sql(
        "SELECT tablename || ' ' || indexdef FROM pg_indexes WHERE schemaname = 'public'", "shelves"
    ).splitlines()
    for table, column in (
        ("workflows", "status"),
        ("executions", "workflow_id, created_at"),
        ("job_runs", "status"),
    ):
        assert any(line.startswith(f"{table} ") and f"({column}" in line for line in indexed), (
            indexed
        )
