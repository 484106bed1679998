"""Callers with issuers of their own: a real server, keys at a real address, static tokens."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.queue.support import SERVER, Server, clean_env, serving
from tests.servers.issuer import JwksIssuer

EVENTS = ["GENERATE_MASTER", "GENERATE_CREATIVE"]
WORK = "codeq:claim codeq:heartbeat codeq:result"
ALL_WORK = f"{WORK} codeq:abandon codeq:nack codeq:subscribe"
STATIC = {"token": "dev-token", "subject": "dev", "scopes": ["codeq:admin"]}


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


def issuer_env(issuer: JwksIssuer) -> dict[str, str]:
    """Workers by published keys, producers by one static token, as a staging set-up has it."""
    return {
        "ENV": "staging",
        "WORKER_JWKS_URL": issuer.jwks_url,
        "WORKER_ISSUER": issuer.name,
        "PRODUCER_AUTH_PROVIDER": "static",
        "PRODUCER_AUTH_CONFIG": json.dumps(STATIC),
        "WEBHOOK_HMAC_SECRET": "a secret for signatures",
    }


@pytest.fixture(scope="module")
def issuer() -> Iterator[JwksIssuer]:
    made = JwksIssuer()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def house(issuer: JwksIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("issuers") / "data"
    with serving(data, env=issuer_env(issuer)) as server:
        yield server


def claim(server: Server, token: str, **body: Any) -> Any:
    return server.post("/tasks/claim", body, **bearer(token))


@pytest.mark.seed("Q34")
def test_a_wrong_signature_and_an_unknown_key_are_told_apart(house: Server, issuer: JwksIssuer):
    good = issuer.mint(scope=WORK, eventTypes=EVENTS)
    assert claim(house, good).status == 204
    head, body, signature = good.split(".")
    forged = claim(house, f"{head}.{body}.{signature[::-1]}")
    assert (forged.status, forged.json["code"]) == (401, "AUTH001")
    assert "invalid signature" in forged.body.decode()
    foreign = JwksIssuer()
    try:
        unknown = claim(house, foreign.mint(foreign.add("nobodys-key"), scope=WORK))
    finally:
        foreign.stop()
    assert (unknown.status, unknown.json["code"]) == (401, "AUTH001")
    assert "unable to find key" in unknown.body.decode()


@pytest.mark.seed("Q35")
@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"iss": "https://elsewhere.test"}, "AUTH003"),
        ({"iss": None}, "AUTH003"),
        ({"aud": "codeq-producer"}, "AUTH004"),
        ({"aud": None}, "AUTH004"),
        ({"named": "key-of-somebody-else"}, "AUTH001"),
    ],
)
def test_issuer_audience_and_kid_are_enforced(
    house: Server, issuer: JwksIssuer, lie: Mapping[str, Any], code: str
):
    refused = claim(house, issuer.mint(scope=WORK, **lie))
    assert (refused.status, refused.json["code"]) == (401, code)
    assert claim(house, issuer.mint(scope=WORK, aud=["x", "codeq-worker"])).status == 204


@pytest.mark.seed("Q36")
@pytest.mark.parametrize(
    ("times", "status"),
    [
        ({"exp": -55}, 204),
        ({"exp": -62}, 401),
        ({"iat": 55}, 204),
        ({"iat": 64}, 401),
        ({"nbf": 55}, 204),
        ({"nbf": 64}, 401),
    ],
)
def test_clocks_may_differ_by_sixty_seconds(
    house: Server, issuer: JwksIssuer, times: Mapping[str, int], status: int
):
    now = int(time.time())
    moved = {name: now + seconds for name, seconds in times.items()}
    assert claim(house, issuer.mint(scope=WORK, **moved)).status == status


@pytest.mark.seed("Q36")
def test_a_token_that_never_ends_is_refused(house: Server, issuer: JwksIssuer):
    refused = claim(house, issuer.mint(scope=WORK, exp=None))
    assert (refused.status, refused.json["code"]) == (401, "AUTH001")


@pytest.mark.seed("Q33")
def test_an_expired_token_of_an_issuer_is_refused_and_its_successor_works(
    house: Server, issuer: JwksIssuer
):
    expired = claim(house, issuer.mint(scope=WORK, exp=int(time.time()) - 600))
    assert (expired.status, expired.json["code"]) == (401, "AUTH002")
    assert claim(house, issuer.mint(scope=WORK)).status == 204


@pytest.mark.seed("Q37")
def test_a_worker_of_an_issuer_can_do_what_its_token_says_and_no_more(
    house: Server, issuer: JwksIssuer
):
    worker = bearer(issuer.mint(scope=WORK, eventTypes=EVENTS))
    producer = bearer("dev-token")
    for command in (*EVENTS, "OTHER"):
        made = house.post("/tasks", {"command": command, "payload": {}}, **producer)
        assert made.status == 202
    seen = []
    while (answer := house.post("/tasks/claim", {}, **worker)).status == 200:
        task = answer.json
        seen.append(task["command"])
        lease, path = {"leaseToken": task["leaseToken"]}, f"/tasks/{task['id']}"
        assert house.post(f"{path}/heartbeat", lease, **worker).status == 200
        assert house.post(f"{path}/nack", lease, **worker).status == 403
        assert house.post(f"{path}/abandon", lease, **worker).status == 403
        done = {"status": "COMPLETED", "result": {}, **lease}
        assert house.post(f"{path}/result", done, **worker).status == 200
    assert sorted(seen) == sorted(EVENTS)
    assert house.post("/tasks/claim", {"commands": ["OTHER"]}, **worker).status == 403


@pytest.mark.seed("Q9")
def test_each_side_is_kept_to_its_own_routes(house: Server, issuer: JwksIssuer):
    # A worker cannot give itself what belongs to producers, whatever its token says.
    worker = bearer(issuer.mint(scope=f"{ALL_WORK} codeq:produce codeq:admin", roles=["admin"]))
    assert house.post("/tasks", {"command": "A", "payload": 1}, **worker).status == 403
    assert house.get("/admin/queues", **worker).status == 403
    producer = bearer("dev-token")
    assert house.post("/tasks/claim", {}, **producer).status == 403
    assert house.get("/admin/queues", **producer).status == 200
    for wrong in ("dev-tokeN", "", "dev-token2"):
        assert house.get("/tasks", **bearer(wrong)).status == 401


@pytest.mark.parametrize("claims", [{"eventTypes": None}, {"scope": None}, {"eventTypes": "X"}])
def test_a_worker_that_does_not_say_what_it_may_is_refused(
    house: Server, issuer: JwksIssuer, claims: Mapping[str, Any]
):
    refused = claim(house, issuer.mint(**{"scope": WORK, "eventTypes": EVENTS, **claims}))
    assert (refused.status, refused.json["code"]) == (401, "AUTH001")


def test_keys_can_be_exchanged_while_it_runs(tmp_path: Path, jwks_issuer: JwksIssuer):
    with serving(tmp_path / "data", env=issuer_env(jwks_issuer)) as server:
        assert claim(server, jwks_issuer.mint(scope=WORK)).status == 204
        jwks_issuer.add("fresh")
        # Within the cool-down nobody is asked again, and what is unknown is refused.
        assert claim(server, jwks_issuer.mint(scope=WORK)).status == 401
        assert jwks_issuer.asked <= 2


def test_weakness_21_unknown_kids_do_not_make_the_server_fetch_each_time(
    house: Server, issuer: JwksIssuer
):
    claim(house, issuer.mint(scope=WORK))
    asked = issuer.asked
    for n in range(20):
        assert claim(house, issuer.mint(scope=WORK, named=f"made-up-{n}")).status == 401
    assert issuer.asked <= asked + 1


def test_an_issuer_that_cannot_be_reached_lets_nobody_in(tmp_path: Path, jwks_issuer: JwksIssuer):
    token = jwks_issuer.mint(scope=WORK)
    jwks_issuer.lie = "500"
    with serving(tmp_path / "data", env=issuer_env(jwks_issuer)) as server:
        refused = claim(server, token)
        assert (refused.status, refused.json["code"]) == (500, "AUTH009")
        assert server.get("/tasks", **bearer("dev-token")).status == 200


@pytest.mark.parametrize("may", [False, True])
def test_producers_work_only_where_that_is_allowed(tmp_path: Path, may: bool):
    env = {
        "PRODUCER_AUTH_PROVIDER": "static",
        "PRODUCER_AUTH_CONFIG": "dev-token",
        "ALLOW_PRODUCER_AS_WORKER": str(may).lower(),
    }
    with serving(tmp_path / "data", env=env) as server:
        token = bearer("dev-token")
        server.post("/tasks", {"command": "A", "payload": 1}, **token)
        assert server.post("/tasks/claim", {}, **token).status == (200 if may else 403)
        assert server.get("/tasks").status == 401


def test_several_providers_on_a_side_and_one_token_on_both(tmp_path: Path, jwks_issuer: JwksIssuer):
    published = {
        "jwksUrl": jwks_issuer.jwks_url,
        "issuer": jwks_issuer.name,
        "audience": "codeq-worker",
    }
    several = [{"type": "jwks", "config": published}, {"type": "static", "config": "dev-token"}]
    env = {
        "WORKER_AUTH_PROVIDER": "multi",
        "WORKER_AUTH_CONFIG": json.dumps({"providers": several}),
        "PRODUCER_AUTH_PROVIDER": "static",
        "PRODUCER_AUTH_CONFIG": "dev-token",
    }
    with serving(tmp_path / "data", env=env) as server:
        # codeQ's development set-up: one token for both, and here both are one tenant.
        both = bearer("dev-token")
        made = server.post("/tasks", {"command": "A", "payload": 1}, **both)
        claimed = server.post("/tasks/claim", {}, **both)
        assert claimed.json["id"] == made.json["id"]
        able = jwks_issuer.mint(scope=WORK, eventTypes=["A"])
        assert claim(server, able, commands=["A"]).status == 204


@pytest.mark.seed("Q12")
def test_outside_dev_all_that_is_missing_is_named_in_one_error(tmp_path: Path):
    told = start(tmp_path, ENV="production")
    assert told.returncode != 0
    for name in (
        "WORKER_JWKS_URL",
        "WORKER_ISSUER",
        "IDENTITY_JWKS_URL",
        "IDENTITY_ISSUER",
        "WEBHOOK_HMAC_SECRET",
    ):
        assert name in told.stderr
    assert told.stderr.count("error CORE001") == 1
    assert not (tmp_path / "data").exists()
    fewer = start(tmp_path, ENV="production", JWT_SECRET="k" * 32)
    assert "WEBHOOK_HMAC_SECRET" in fewer.stderr
    assert "WORKER_JWKS_URL" not in fewer.stderr


@pytest.mark.seed("Q12")
def test_the_environment_beats_the_file(tmp_path: Path, jwks_issuer: JwksIssuer):
    config = tmp_path / "config.yaml"
    config.write_text(
        "env: staging\nworkerJwksUrl: http://127.0.0.1:9/jwks\n"
        "webhookHmacSecret: from the file\nidentityJwksUrl: http://127.0.0.1:9/jwks\n"
        "identityIssuer: https://identity.test\nworkerIssuer: https://file.test\n"
    )
    env = issuer_env(jwks_issuer)
    with serving(tmp_path / "data", "--config", str(config), env=env) as server:
        assert claim(server, jwks_issuer.mint(scope=WORK)).status == 204
        log = server.log_file.read_text()
    assert env["WEBHOOK_HMAC_SECRET"] not in log
    assert "dev-token" not in log


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"WORKER_AUTH_PROVIDER": "ldap"}, "workerAuthProvider"),
        ({"WORKER_AUTH_PROVIDER": "static"}, "workerAuthConfig"),
        ({"WORKER_AUTH_PROVIDER": "static", "WORKER_AUTH_CONFIG": "{}"}, "workerAuthConfig"),
        (
            {"WORKER_AUTH_PROVIDER": "static", "WORKER_AUTH_CONFIG": '{"token":"x"}'},
            "eventTypes",
        ),
        ({"WORKER_AUTH_CONFIG": "a-token"}, "workerAuthProvider"),
        ({"WORKER_JWKS_URL": "file:///etc/passwd"}, "workerJwksUrl"),
        ({"WORKER_JWKS_URL": "http://127.0.0.1/jwks"}, "workerIssuer"),
        ({"ALLOWED_CLOCK_SKEW_SECONDS": "-1"}, "ALLOWED_CLOCK_SKEW_SECONDS"),
    ],
)
def test_a_configuration_that_would_let_the_wrong_ones_in_does_not_start(
    tmp_path: Path, env: Mapping[str, str], says: str
):
    told = start(tmp_path, **env)
    assert told.returncode == 2
    assert says in told.stderr


def start(tmp_path: Path, **env: str) -> Any:
    """Run a server that is expected to refuse to start."""
    return subprocess.run(
        (*SERVER, "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")),
        env=clean_env() | env,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_configuration_of_the_original_can_be_used_as_it_is(tmp_path: Path):
    config = tmp_path / "scheduler-api.yaml"
    config.write_text(
        "port: 0\nenv: dev\ntimezone: America/Sao_Paulo\nlogLevel: info\nlogFormat: json\n"
        "defaultLeaseSeconds: 300\nrequeueInspectLimit: 200\nmaxAttemptsDefault: 5\n"
        "backoffPolicy: exp_full_jitter\nbackoffBaseSeconds: 5\nbackoffMaxSeconds: 900\n"
        "identityServiceUrl: https://identity.test\nidentityServiceApiKey: a-key-of-theirs\n"
        "workerJwksUrl: https://identity.test/jwks\nworkerIssuer: https://identity.test\n"
        "workerAudience: codeq-worker\nallowedClockSkewSeconds: 60\nallowProducerAsWorker: false\n"
        "webhookHmacSecret: a-secret-of-theirs\nsubscriptionMinIntervalSeconds: 5\n"
        "subscriptionCleanupIntervalSeconds: 60\nresultWebhookMaxAttempts: 5\n"
        "resultWebhookBaseBackoffSeconds: 2\nresultWebhookMaxBackoffSeconds: 60\n"
        "localArtifactsDir: /tmp/codeq-artifacts\npersistenceProvider: ''\n"
        "tracingEnabled: false\nrateLimit:\n  producer: {requestsPerMinute: 0, burstSize: 0}\n"
    )
    with serving(tmp_path / "data", "--config", str(config)) as server:
        assert server.get("/tasks").status == 401
        told = {line["key"] for line in server.log() if line["msg"] == "setting without effect"}
    expected = {"timezone", "requeueInspectLimit", "localArtifactsDir", "identityServiceApiKey"}
    assert told == expected
