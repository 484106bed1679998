"""Statements of the app's list against `codeai server` as a process of its own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.conformance.proofs.support import (
    BIN,
    HERE,
    PATIENCE,
    SECRET,
    Later,
    Serving,
    Target,
    UnderWay,
    app_server,
    clean_env,
    held,
    shell,
)
from tests.e2e.stack import Json, running, until
from tests.servers.issuer import JwksIssuer

from backstay.core.clock import SystemClock
from backstay.core.duration import format_duration
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

ISSUER = Issuer(Secret(SECRET), "backstay", "backstay", SystemClock())


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, target: Target) -> Iterator[Serving]:
    """Strict, with JSON logs at info."""
    with app_server(tmp_path_factory.mktemp("c"), target.url, JWT_SECRET=SECRET) as serving:
        yield serving


@pytest.fixture
def free(tmp_path: Path, target: Target) -> Iterator[Serving]:
    """Without any authentication, with logs as text; a new one for each test."""
    target.statuses.clear()
    target.hits.clear()
    with app_server(tmp_path / "c", target.url, LOG_FORMAT="text") as serving:
        yield serving


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


ADMIN = bearer(ISSUER.mint("ops", ["admin"], ttl=3600))


# --- authentication ------------------------------------------------------------------------------


@pytest.mark.seed("C6")
def test_refused_credentials_are_a_401_and_a_line_with_authentication_failed(
    app: Serving,
) -> None:
    other = Issuer(
        Secret("another secret of thirty-two bytes!"), "backstay", "backstay", SystemClock()
    )
    cases = {
        "missing": {},
        "scheme": {"Authorization": "Basic YTpi"},
        "garbage": bearer("nonsense"),
        "expired": bearer(ISSUER.mint("ada", ttl=-3600)),
        "signature": bearer(other.mint("ada")),
    }
    for name, headers in cases.items():
        answer = app.ask("GET", "/api/v1/secrets", X_Request_ID=f"c6-{name}", **headers)
        assert answer.status == 401, name
        assert "json" in answer.headers["content-type"]
        assert answer.json["code"].startswith("AUTH")
        app.line_of(f"c6-{name}")
        found = shell(f"grep authentication {app.out} | grep failed | grep c6-{name}")
        assert found.stdout.count("\n") == 1, name
        assert answer.json["code"] in found.stdout
    answer = app.ask("GET", "/api/v1/secrets", X_Request_ID="c6-good", **bearer(ISSUER.mint("ada")))
    assert answer.status == 200
    app.line_of("c6-good")
    assert not [
        line for line in app.lines()
        if line.get("request_id") == "c6-good" and "failed" in line["msg"]
    ]  # fmt: skip


@pytest.mark.seed("C7")
def test_rs256_with_keys_from_an_address_and_hs256_with_the_secret(
    tmp_path: Path, target: Target, jwks_issuer: JwksIssuer
) -> None:
    jwks_issuer.name = jwks_issuer.audience = "backstay"
    keys = {"JWT_SECRET": SECRET, "JWT_JWKS_URL": jwks_issuer.jwks_url}
    with app_server(tmp_path / "c", target.url, **keys) as app:

        def status(token: str) -> int:
            return app.ask("GET", "/api/v1/secrets", **bearer(token)).status

        assert status(jwks_issuer.mint(sub="ada")) == 200
        assert status(ISSUER.mint("ada")) == 200
        assert status(jwks_issuer.mint(exp=1)) == 401
        assert status(jwks_issuer.mint(iss="another")) == 401
        assert status(jwks_issuer.mint(aud="another")) == 401
        assert status(jwks_issuer.mint(named="another")) == 500
    # The seed's recipe prints `exp`, a number of epoch seconds.
    told = shell(
        "echo $TOKEN | cut -d. -f2 | base64 -d | jq .exp", TOKEN=ISSUER.mint("ada", ttl=60)
    )
    assert abs(int(told.stdout) - time.time()) < 3600


@pytest.mark.seed("C8")
def test_the_nine_refusals_with_code_message_and_status_in_the_answer_and_in_the_log(
    tmp_path: Path, target: Target, jwks_issuer: JwksIssuer
) -> None:
    jwks_issuer.name = jwks_issuer.audience = "backstay"
    keys = {"JWT_JWKS_URL": jwks_issuer.jwks_url}
    with app_server(tmp_path / "c", target.url, **keys) as app:

        def expect(code: str, message: str, status: int, **headers: str) -> None:
            request = f"c8-{code}"
            answer = app.ask("GET", "/api/v1/secrets", X_Request_ID=request, **headers)
            assert (answer.json["code"], answer.json["error"]) == (code, message)
            assert (answer.status, answer.json["status"]) == (status, status)
            line = app.line_of(request, "authentication failed")
            assert (line["code"], line["error"]) == (code, message)

        mint = jwks_issuer.mint
        jwks_issuer.lie = "500"
        expect("AUTH009", "failed to fetch JWKS", 500, **bearer(mint()))
        jwks_issuer.lie = ""
        until(
            lambda: app.ask("GET", "/api/v1/secrets", **bearer(mint())).status == 200,
            PATIENCE,
            lambda: "the keys are never had",
        )
        expect("AUTH001", "invalid token", 401, **bearer(f"{mint()[:-8]}AAAAAAAA"))
        expect("AUTH002", "token has expired", 401, **bearer(mint(exp=1)))
        expect("AUTH003", "invalid token issuer", 401, **bearer(mint(iss="another")))
        expect("AUTH004", "invalid token audience", 401, **bearer(mint(aud="another")))
        expect("AUTH005", "missing authentication token", 401)
        expect("AUTH006", "signing key not found", 500, **bearer(mint(named="another")))
        algorithm = "unsupported signing algorithm"
        expect("AUTH007", algorithm, 400, **bearer(mint(algorithm="RS512")))
        secret = "no secret configured for symmetric algorithm"
        expect("AUTH008", secret, 500, **bearer(ISSUER.mint("ada")))


# --- circuit breaker -----------------------------------------------------------------------------


def call(app: Serving, name: str) -> Json:
    """One execution that calls the integration once; given back when it has ended."""
    path = f"/api/v1/executions/{begin(app, name)}"
    seen: list[Json] = []

    def ended() -> bool:
        seen[:] = [app.ask("GET", path).json]
        return seen[0]["status"] in ("completed", "failed")

    until(ended, PATIENCE, lambda: str(seen))
    return seen[0]


def begin(app: Serving, name: str) -> str:
    answer = app.ask("POST", f"/api/v1/{name}", {})
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


def breaker(app: Serving, name: str) -> Json:
    views: list[Json] = app.control("/breakers")
    (view,) = [view for view in views if view["target"] == f"integration:{name}"]
    return view


def becomes(app: Serving, name: str, state: str) -> None:
    until(lambda: breaker(app, name)["state"] == state, PATIENCE, lambda: str(breaker(app, name)))


@pytest.mark.seed("C16")
def test_the_breaker_of_an_integration_opens_probes_closes_and_is_reset(
    free: Serving, target: Target
) -> None:
    # Defaults: the fifth failure in a row opens it, for 60 s.
    target.statuses = {"/usual": 500, "/quick": 500, "/odd": 500}
    for failures in range(1, 6):
        assert breaker(free, "Usual")["state"] == "closed", failures
        assert call(free, "usual")["status"] == "failed"
    view = breaker(free, "Usual")
    assert (view["state"], target.hits["/usual"]) == ("open", 5)
    assert _seconds(view["next_probe_at"]) - _seconds(view["opened_at"]) == pytest.approx(
        60, abs=0.01
    )
    refused = call(free, "usual")
    assert "circuit breaker is open" in refused["error"]
    assert target.hits["/usual"] == 5
    # A reset closes it at once.
    target.statuses = {}
    free.control("POST /breakers/integration:Usual/reset")
    assert breaker(free, "Usual")["state"] == "closed"
    assert call(free, "usual")["status"] == "completed"
    assert target.hits["/usual"] == 6

    # Failures that are not in a row do not open it.
    target.statuses = {"/quick": 500}
    for _ in range(4):
        call(free, "quick")
    target.statuses = {}
    call(free, "quick")
    target.statuses = {"/quick": 500}
    for _ in range(4):
        call(free, "quick")
    assert breaker(free, "Quick")["state"] == "closed"
    call(free, "quick")
    # Its Timeout is configured to 1 s; a probe that fails opens it again.
    becomes(free, "Quick", "half-open")
    seen = target.hits["/quick"]
    call(free, "quick")
    assert (breaker(free, "Quick")["state"], target.hits["/quick"]) == ("open", seen + 1)
    # Half-open, three are let through and the others refused; three successes close it.
    target.statuses = {}
    becomes(free, "Quick", "half-open")
    target.gate.clear()
    for _ in range(5):
        begin(free, "quick")
    until(lambda: target.hits["/quick"] == seen + 4, PATIENCE, lambda: str(target.hits))
    until(lambda: breaker(free, "Quick")["rejected"] == 2, PATIENCE, lambda: "not refused")
    assert breaker(free, "Quick")["state"] == "half-open"
    target.gate.set()
    becomes(free, "Quick", "closed")
    assert target.hits["/quick"] == seen + 4

    # Threshold and half-open requests are configured, too.
    target.statuses = {"/odd": 500}
    call(free, "odd")
    assert breaker(free, "Odd")["state"] == "closed"
    call(free, "odd")
    assert breaker(free, "Odd")["state"] == "open"
    target.statuses = {}
    becomes(free, "Odd", "half-open")
    call(free, "odd")
    assert breaker(free, "Odd")["state"] == "closed"


@pytest.mark.seed("C17")
def test_each_change_of_a_breaker_is_a_line_and_health_shows_it(
    free: Serving, app: Serving, target: Target
) -> None:
    target.statuses = {"/odd": 500, "/usual": 500}
    for _ in range(2):
        call(free, "odd")
    target.statuses = {"/usual": 500}
    becomes(free, "Odd", "half-open")
    call(free, "odd")
    for change in ("closed to=open", "open to=half-open", "half-open to=closed"):
        found = shell(f"grep -F 'circuit breaker state changed from={change}' {free.out}")
        assert "integration:Odd" in found.stdout, free.out.read_text()
    for _ in range(5):
        call(free, "usual")

    def shown() -> Json:
        return free.ask("GET", "/health").json

    until(lambda: shown()["status"] == "degraded", PATIENCE, lambda: str(shown()))
    check = json.loads(
        free.seed("""curl -s http://localhost:8080/health | jq '.checks["integration:Usual"]'""")
    )
    assert (check["status"], check["details"]["state"]) == ("degraded", "open")
    # The same as JSON.
    target.statuses = {"/odd": 500}
    for _ in range(2):
        assert app.ask("POST", "/api/v1/odd", {}).status == 202
    until(lambda: len(_changes(app)) >= 1, PATIENCE, lambda: "no change in the JSON log")
    first = _changes(app)[0]
    assert (first["from"], first["to"]) == ("closed", "open")


def _changes(app: Serving) -> list[Json]:
    return [line for line in app.lines() if line["msg"] == "circuit breaker state changed"]


def _seconds(stamp: str) -> float:
    head, _, fraction = stamp.removesuffix("Z").partition(".")
    return time.mktime(time.strptime(head, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


# --- logs ----------------------------------------------------------------------------------------

LEVELS = ("debug", "info", "warn", "error")


@pytest.mark.seed("C18")
@pytest.mark.parametrize(
    ("level", "form", "output", "source"),
    [
        ("", "", "", ""),
        ("debug", "text", "stderr", "true"),
        ("info", "json", "stdout", "false"),
        ("warn", "text", "{}/app.log", "true"),
        ("error", "json", "{}/app.log", "true"),
    ],
)
def test_the_four_variables_of_the_log(
    tmp_path: Path, target: Target, level: str, form: str, output: str, source: str
) -> None:
    given = {
        "LOG_LEVEL": level,
        "LOG_FORMAT": form,
        "LOG_OUTPUT": output.format(tmp_path),
        "LOG_ADD_SOURCE": source,
    }
    env = {name: value for name, value in given.items() if value}
    with app_server(tmp_path / "c", target.url, **env) as app:
        assert app.ask("GET", "/api/v1/secrets").status == 401
        assert app.ask("POST", "/api/v1/jobs/failing/run").status == 202
        files = {"stdout": app.out, "stderr": app.err, "": app.out}
        log = files.get(output, tmp_path / "app.log")
        until(lambda: "job failed" in log.read_text(), PATIENCE, log.read_text)
        assert app.stop() == 0
        text = log.read_text()
        others = [file for file in (app.out, app.err) if file != log]
    assert [file.read_text() for file in others if file.read_text()] == []
    lines = text.splitlines()
    if form == "text":
        seen = {line.split()[1] for line in lines}
        assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in lines)
        sourced = [bool(re.search(r" source=\w+\.py:\d+", line)) for line in lines]
    else:
        records = [json.loads(line) for line in lines]
        seen = {record["level"] for record in records}
        sourced = [bool(re.match(r"\w+\.py:\d+$", record.get("source", ""))) for record in records]
    assert seen == set(LEVELS[LEVELS.index(level or "info") :])
    assert set(sourced) == {source == "true"}


@pytest.mark.seed("C19")
def test_json_lines_can_be_asked_for_level_duration_and_user(app: Serving) -> None:
    token = bearer(ISSUER.mint("ada", ttl=600))
    app.ask("GET", "/api/v1/notes", X_Request_ID="c19-quick", **token)
    slow = UnderWay(app, "/api/v1/notes", {"text": "x"}, X_Request_ID="c19-slow", **ADMIN)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.1, PATIENCE, lambda: "")
    assert slow.finish().status == 201
    app.ask("GET", "/api/v1/notes", X_Request_ID="c19-nobody")
    app.ask("POST", "/api/v1/jobs/failing/run", X_Request_ID="c19-job", **ADMIN)
    quick, late = app.line_of("c19-quick"), app.line_of("c19-slow")
    assert {"request_id", "method", "path", "status", "duration", "user_id"} <= quick.keys()
    assert (quick["method"], quick["path"]) == ("GET", "/api/v1/notes")
    assert (quick["status"], quick["user_id"], quick["level"]) == (200, "ada", "info")
    assert 0 < quick["duration"] < late["duration"]
    assert late["duration"] > 1000
    assert "user_id" not in app.line_of("c19-nobody")
    found = app.seed(
        f"cat {app.out} | jq -c 'select(.duration > 1000) | {{path, duration, method}}'"
    )
    # On a busy machine others take a second, too.
    shown = [json.loads(line) for line in found.splitlines()]
    assert "/api/v1/notes" in [line["path"] for line in shown]
    assert all(line["duration"] > 1000 for line in shown)

    def errors() -> str:
        return app.seed(f"jq -c 'select(.level == \"error\")' {app.out}")

    until(lambda: "job failed" in errors(), PATIENCE, errors)
    assert "c19-quick" not in errors()


@pytest.mark.seed("C20")
def test_the_request_id_is_in_every_line_of_the_request_and_in_the_answer(
    app: Serving,
) -> None:
    before = len(app.lines())
    head = app.seed(
        'curl -si -H "X-Request-ID: trace-123" -H "X-Debug: true" -H "Authorization: Bearer x"'
        " http://localhost:8080/api/v1/secrets"
    )
    assert "\nx-request-id: trace-123" in head.lower().replace("\r", "")
    app.line_of("trace-123")
    mine = [line for line in app.lines()[before:] if _of_requests(line)]
    assert {line["request_id"] for line in mine} == {"trace-123"}
    assert {line["msg"] for line in mine} == {"authentication failed", "http request"}
    assert app.seed(f'grep "trace-123" {app.folder}/*.log').count("\n") == len(mine)

    before = len(app.lines())
    made = app.ask("GET", "/api/v1/workflows", X_Debug="true").headers["x-request-id"]
    assert len(made) > 16
    app.line_of(made)
    mine = [line for line in app.lines()[before:] if _of_requests(line)]
    assert {line["request_id"] for line in mine} == {made}
    assert len(mine) == 2
    assert app.ask("GET", "/api/v1/workflows").headers["x-request-id"] != made


def _of_requests(line: Json) -> bool:
    """Not of the loops, which work for nobody in particular."""
    return line["logger"] in ("http", "core.trust")


@pytest.mark.seed("C21")
def test_debug_is_turned_on_for_one_request_alone(app: Serving) -> None:
    kinds = {"debug": {"X_Debug": "true"}, "plain": {}}
    under_way = [
        UnderWay(
            app, "/api/v1/notes", {"text": "x"}, X_Request_ID=f"c21-{kind}-{n}", **more, **ADMIN
        )
        for n in range(6)
        for kind, more in kinds.items()
    ]
    until(lambda: _count(app, "c21-debug") == 6, PATIENCE, lambda: str(app.lines()[-12:]))
    assert _count(app, "c21-plain") == 0
    assert [request.finish().status for request in under_way] == [201] * 12
    for n in range(6):
        app.line_of(f"c21-debug-{n}")
        app.line_of(f"c21-plain-{n}")
    debug = {line["request_id"] for line in app.lines() if line["level"] == "debug"}
    assert {name for name in debug if name.startswith("c21")} == {
        f"c21-debug-{n}" for n in range(6)
    }


def _count(app: Serving, prefix: str) -> int:
    return sum(line.get("request_id", "").startswith(prefix) for line in app.lines())


@pytest.mark.seed("C32")
def test_the_log_file_is_appended_to_across_restarts(tmp_path: Path, target: Target) -> None:
    log = tmp_path / "var" / "log" / "codeai" / "app.log"
    log.parent.mkdir(parents=True)
    with app_server(tmp_path / "c", target.url, LOG_OUTPUT=str(log)) as app:
        _fail(app, log, 1)
        with subprocess.Popen(
            ["bash", "-c", f"tail -f {log} | grep -i --line-buffered error"],
            stdout=(tmp_path / "tail.out").open("wb"),
            process_group=0,
        ) as tail:
            try:
                assert app.stop() == 0
                first = log.read_bytes()
                app.start(TARGET_URL=target.url, LOG_OUTPUT=str(log))
                _fail(app, log, 2)
                seen = tmp_path / "tail.out"
                until(lambda: seen.read_text().count("job failed") == 2, PATIENCE, seen.read_text)
            finally:
                subprocess.run(["kill", "--", f"-{tail.pid}"], check=False)
        assert app.out.read_text() == ""
    whole = log.read_bytes()
    assert whole.startswith(first)
    assert whole.endswith(b"\n")
    assert all(json.loads(line)["msg"] for line in whole.splitlines())


def _fail(app: Serving, log: Path, times: int) -> None:
    assert app.ask("POST", "/api/v1/jobs/failing/run").status == 202
    count = f"grep -i error {log} | grep -c 'job failed'"
    until(lambda: shell(count).stdout.strip() == str(times), PATIENCE, log.read_text)


# --- health and metrics --------------------------------------------------------------------------


@pytest.mark.seed("C24")
def test_health_has_its_shape_and_readiness_means_critical_dependencies(
    free: Serving, target: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("c24")) as stack:
        for port in (stack.port, free.port):
            shown = shell(f"curl -s http://127.0.0.1:{port}/health | jq .")
            report = json.loads(shown.stdout)
            assert list(report) == ["status", "timestamp", "version", "uptime", "checks"]
            assert report["status"] == "healthy"
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", report["timestamp"])
            assert re.match(r"\d+\.\d+\.\d+", report["version"])
            assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", report["uptime"])
            for name, check in report["checks"].items():
                picked = shell(f"curl -s http://127.0.0.1:{port}/health | jq '.checks[\"{name}\"]'")
                assert json.loads(picked.stdout)["status"] == check["status"]
                assert re.fullmatch(r"[\d.]+(ns|µs|ms|s)", check["duration"]), check
            for probe in ("live", "ready"):
                done = shell(f"curl -sf http://127.0.0.1:{port}/health/{probe}")
                assert done.returncode == 0
        both = shell(
            f"curl -s http://127.0.0.1:{stack.port}/health | jq '.checks | .database, .cache'"
        )
        assert both.stdout.count('"status"') >= 2
        # A system that is not critical and does not answer: seen in health, and still ready.
        queue = stack.pid("queue")
        os.kill(queue, signal.SIGSTOP)
        try:
            part = f"curl -s http://127.0.0.1:{stack.port}/health | jq -r .checks.queue.status"
            until(lambda: shell(part).stdout.strip() == "unhealthy", PATIENCE, lambda: "healthy")
            done = shell(f"curl -sf http://127.0.0.1:{stack.port}/health/ready")
            assert done.returncode == 0
        finally:
            os.kill(queue, signal.SIGCONT)
    assert format_duration(86_730.0) == "24h5m30s"
    # Not critical: degraded, and still ready.
    target.statuses = {"/odd": 500, "/usual": 500}
    for _ in range(5):
        call(free, "usual")
    until(lambda: _health(free) == (200, "degraded"), PATIENCE, lambda: str(_health(free)))
    assert free.ask("GET", "/health/ready").status == 200
    # Critical: unhealthy and not ready, but alive.
    with held(free.folder / "app.db"):
        until(lambda: _health(free) == (503, "unhealthy"), PATIENCE, lambda: str(_health(free)))
        assert free.ask("GET", "/health/ready").status == 503
        assert free.ask("GET", "/health/live").status == 200
    until(lambda: free.ask("GET", "/health/ready").status == 200, PATIENCE, lambda: "not ready")


def _health(app: Serving) -> tuple[int, str]:
    answer = app.ask("GET", "/health")
    return answer.status, answer.json["status"]


@pytest.mark.seed("C25")
def test_every_named_metric_moves_with_its_cause(free: Serving, target: Target) -> None:
    text = free.seed("curl -s http://localhost:8080/metrics")
    for name in (
        "http_requests_total",
        "http_request_duration_seconds",
        "db_connections_in_use",
        "circuit_breaker_state",
        "workflow_executions_total",
    ):
        assert f"\n# TYPE {name} " in f"\n{text}", name
    route = {"method": "GET", "path": "/api/v1/notes"}
    assert free.metric("http_requests_total", **route) == 0
    for _ in range(3):
        free.ask("GET", "/api/v1/notes")
    assert free.metric("http_requests_total", status="200", **route) == 3
    assert free.metric("http_request_duration_seconds_count", **route) == 3
    assert free.metric("http_request_duration_seconds_bucket", le="+Inf", **route) == 3

    with held(free.folder / "app.db"):
        waiting = Later(free, "POST", "/api/v1/notes", {"text": "x"})
        until(lambda: free.metric("db_connections_in_use") >= 1, PATIENCE, lambda: "none in use")
    waiting.answer()
    until(lambda: free.metric("db_connections_in_use") == 0, PATIENCE, lambda: "still in use")

    assert free.metric("circuit_breaker_state", target="integration:Odd") == 0
    target.statuses = {"/odd": 500}
    call(free, "odd")
    call(free, "odd")
    assert free.metric("circuit_breaker_state", target="integration:Odd") == 2
    ended = {"workflow": "call_odd", "status": "failed"}
    assert free.metric("workflow_executions_total", **ended) == 2
    target.statuses = {}
    assert call(free, "usual")["status"] == "completed"
    assert free.metric("workflow_executions_total", workflow="call_usual", status="completed") == 1


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.seed("C28")
def test_runs_of_jobs_are_listed_cancelled_for_good_and_purged_by_age(
    free: Serving, target: Target
) -> None:
    # Five failed runs; three of them lie two days back.
    for _ in range(5):
        assert free.ask("POST", "/api/v1/jobs/failing/run").status == 202
    until(lambda: len(_runs(free, "failed")) == 5, PATIENCE, lambda: str(_runs(free, "failed")))
    assert free.stop() == 0
    with sqlite3.connect(free.folder / "app.db") as store:
        store.execute(
            "UPDATE job_runs SET fire_at = fire_at - 172800, ended_at = ended_at - 172800"
            " WHERE id IN (SELECT id FROM job_runs WHERE status = 'failed' ORDER BY id LIMIT 3)"
        )
        # Nobody waits until four in the morning: both are due soon after the server is there again.
        store.execute(
            "UPDATE job_runs SET fire_at = ? WHERE status = 'pending'", (time.time() + 20,)
        )
    store.close()
    free.start(TARGET_URL=target.url, LOG_FORMAT="text")
    listed = json.loads(free.seed("curl -s http://localhost:8080/api/v1/admin/jobs?status=pending"))
    soon = sorted(listed["data"], key=lambda run: run["fire_at"])[:2]
    assert {run["job"] for run in soon} == {"daily", "failing"}
    (doomed,) = [run["id"] for run in soon if run["job"] == "daily"]
    free.seed(f"curl -sf -X DELETE http://localhost:8080/api/v1/admin/jobs/{doomed}")
    # The other one fires at the same time: then the cancelled one would have.
    until(lambda: len(_runs(free, "failed")) == 6, PATIENCE, lambda: str(_runs(free, "failed")))
    assert [run["id"] for run in _runs(free, "cancelled")] == [doomed]
    assert free.ask("GET", "/api/v1/notes").json["data"] == []

    purge = "curl -s -X POST http://localhost:8080/api/v1/admin/jobs/purge?status=failed"
    # As in the seed, unquoted: the shell cuts the address at `&`.
    first = json.loads(free.seed(f"{purge}&older_than=24h; wait"))
    assert (first["purged"], first["older_than"]) == (3, "24h0m0s")
    assert len(_runs(free, "failed")) == 3
    second = json.loads(free.seed(f"{purge}\\&older_than=24h"))
    assert second["purged"] == 0
    assert json.loads(free.seed(f"{purge}\\&older_than=0s"))["purged"] == 3
    assert _runs(free, "failed") == []


def _runs(app: Serving, status: str) -> list[Json]:
    rows: list[Json] = app.ask("GET", f"/api/v1/admin/jobs?status={status}").json["data"]
    return rows


# --- the process ---------------------------------------------------------------------------------


@pytest.mark.seed("C30")
def test_the_process_is_found_drains_on_sigterm_and_has_its_default_port(
    free: Serving, tmp_path: Path
) -> None:
    assert str(free.pid) in shell("pgrep -f codeai").stdout.split()
    named = {"X_Request_ID": "c30-under-way", "X_Debug": "true"}
    under_way = UnderWay(free, "/api/v1/notes", {"text": "kept"}, **named)
    until(lambda: "c30-under-way" in free.out.read_text(), PATIENCE, free.out.read_text)
    assert free.process is not None
    free.process.send_signal(signal.SIGTERM)
    until(lambda: not _accepts(free.port), PATIENCE, lambda: "it still accepts")
    assert free.process.poll() is None
    assert under_way.finish().status == 201
    assert free.process.wait(30) == 0
    free.start(TARGET_URL="http://127.0.0.1:1", LOG_FORMAT="text")
    assert [note["text"] for note in free.ask("GET", "/api/v1/notes").json["data"]] == ["kept"]
    assert _wants_8080(tmp_path)


def _wants_8080(folder: Path) -> bool:
    """Whether a server that was told no address takes port 8080, or is refused it as others
    (we, where it was free) have it."""
    said = folder / "default.txt"
    words = [BIN / "codeai", "server", HERE / "app.cai", "--data", folder / "default"]
    env = clean_env(TARGET_URL="http://127.0.0.1:1", JWT_SECRET="")
    with socket.socket() as holder, said.open("wb") as out:
        with suppress(OSError):
            holder.bind(("127.0.0.1", 8080))
            holder.listen()
        server = subprocess.Popen(words, stdout=out, stderr=out, env=env, cwd=folder)
        try:

            def known() -> bool:
                asked = "curl -s -m 1 -H 'X-Request-ID: c30-default' http://127.0.0.1:8080/health"
                return server.poll() is not None or (
                    '"ready"' in said.read_text()
                    and shell(asked).returncode == 0
                    and "c30-default" in said.read_text()
                )

            until(known, PATIENCE, said.read_text)
        finally:
            server.kill()
            code = server.wait()
    return "c30-default" in said.read_text() or (code != 0 and ":8080" in said.read_text())


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
