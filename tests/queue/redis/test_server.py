"""Real servers on a real store: addresses, passwords, outages, the pool, what people look at."""

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.queue.redis.conftest import empty, engine_on
from tests.queue.redis.served import complete, redis_cli
from tests.queue.support import SERVER, Server, clean_env, serving, until
from tests.servers.valkey import RedisNodes, RedisServer, system_binary

from backstay.core.errors import Exit
from backstay.up.ports import free_port


def starts(tmp_path: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """A server that is expected to give up at once."""
    address = f"127.0.0.1:{free_port()}"
    return subprocess.run(
        (*SERVER, "--listen", address, "--data", str(tmp_path / "data")),
        env=clean_env() | env,
        capture_output=True,
        text=True,
        timeout=30,
    )


# --- reaching it -----------------------------------------------------------------------------


@pytest.mark.seed("Q14")
def test_redis_cli_gets_its_answers_from_the_store(server: Server, store: RedisServer):
    server.create("PACK")
    assert redis_cli(store, "PING") == ["PONG"]
    assert int(redis_cli(store, "DBSIZE")[0]) > 5
    for mode in ("--latency", "--latency-history"):
        command = ["redis-cli", "-h", store.host, "-p", str(store.port), mode, "-i", "1"]
        sampled = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert sampled.stdout is not None
        try:
            # Without a terminal it samples for the given second and prints a line of numbers.
            seen = sampled.stdout.readline()
        finally:
            sampled.send_signal(signal.SIGINT)
            sampled.communicate(timeout=10)
        assert re.search(r"\d", seen), (mode, seen)


@pytest.mark.seed("Q29")
def test_a_wrong_address_ends_the_start_and_is_named(tmp_path: Path):
    address = f"localhost:{free_port()}"
    ended = starts(tmp_path, REDIS_ADDR=address)
    assert ended.returncode == Exit.UNREACHABLE
    assert f"cannot connect to the store at {address}" in ended.stderr
    assert "QUEUE031" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("address", ["redis.internal:port", "http://x:1", ":0", ","])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str):
    ended = starts(tmp_path, REDIS_ADDR=address)
    assert ended.returncode == Exit.USAGE
    assert "REDIS_ADDR cannot be used" in ended.stderr


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RedisServer]:
    binary = system_binary()
    assert binary is not None
    store = RedisServer(binary, tmp_path / "locked", "--requirepass", "open-sesame")
    yield store
    store.stop()


@pytest.mark.seed("Q29")
@pytest.mark.parametrize("name", ["REDIS_PASSWORD", "KVROCKS_PASSWORD"])
def test_the_password_opens_and_a_wrong_one_is_reported(
    tmp_path: Path, locked: RedisServer, name: str
):
    # Without one, too, but once is enough.
    for wrong in ({}, {name: "close-sesame"})[name.startswith("KVROCKS") :]:
        ended = starts(tmp_path, REDIS_ADDR=locked.address, **wrong)
        assert ended.returncode == Exit.AUTH
        assert f"the store at {locked.address} refuses the password" in ended.stderr
        assert "close-sesame" not in ended.stderr
    right = {"REDIS_ADDR": locked.address, name: "open-sesame"}
    with serving(tmp_path / "data", env=right) as server:
        complete(server, "PACK")
        assert "open-sesame" not in server.log_file.read_text()


def test_a_url_may_hold_the_password_and_shows_none(tmp_path: Path, locked: RedisServer):
    url = f"redis://:open-sesame@{locked.address}"
    with serving(tmp_path / "data", env={"REDIS_ADDR": url}) as server:
        complete(server, "PACK")
        assert "open-sesame" not in server.log_file.read_text()
    ended = starts(tmp_path, REDIS_ADDR=f"redis://:close-sesame@{locked.address}")
    assert "close-sesame" not in ended.stderr


@pytest.mark.seed("Q10")
def test_a_store_that_goes_away_is_named_and_comes_back(tmp_path: Path, mortal: RedisServer):
    with serving(tmp_path / "data", env={"REDIS_ADDR": mortal.address}) as server:
        kept = server.create("PACK")
        mortal.kill()
        health = until(lambda: (found := server.get("/healthz", prefix="")).status == 503 and found)
        assert mortal.address in health.json["error"]
        refused = server.post("/tasks", {"command": "PACK", "payload": {}})
        assert (refused.status, refused.json["code"]) == (503, "QUEUE031")
        assert refused.json["retryable"] is True
        assert mortal.address in refused.json["error"]
        scraped = server.get("/metrics", prefix="")
        assert scraped.status == 200
        assert "codeq_store_up 0" in scraped.body.decode()
        assert 'codeq_task_created_total{command="PACK"} 1' in scraped.body.decode()
        mortal.restart()
        until(lambda: server.get("/healthz", prefix="").status == 200)
        until(lambda: "codeq_store_up 1" in server.get("/metrics", prefix="").body.decode())
        assert server.task(kept["id"])["status"] == "PENDING"
        claimed = server.claim("PACK")
        assert claimed is not None
        assert claimed["id"] == kept["id"]


def test_a_store_that_can_be_read_but_takes_no_writes_is_not_up(
    tmp_path: Path, mortal: RedisServer
):
    with serving(tmp_path / "data", env={"REDIS_ADDR": mortal.address}) as server:
        kept = server.create("PACK")
        mortal.ask("CONFIG", "SET", "maxmemory", "1")
        until(lambda: b"codeq_store_up 0" in server.get("/metrics", prefix="").body, 20)
        assert server.task(kept["id"])["status"] == "PENDING"
        mortal.ask("CONFIG", "SET", "maxmemory", "0")
        until(lambda: b"codeq_store_up 1" in server.get("/metrics", prefix="").body, 20)


# --- the pool --------------------------------------------------------------------------------


@pytest.mark.seed("Q44")
def test_the_store_never_sees_more_connections_than_the_pool_and_requests_wait(
    tmp_path: Path, store: RedisServer
):
    pool = 3
    env = {"REDIS_ADDR": store.address, "REDIS_POOL_SIZE": str(pool)}
    most, refused = 0, []
    with serving(tmp_path / "data", env=env) as server:

        def work(number: int) -> None:
            for _ in range(8):
                body = {"command": f"KIND{number}", "payload": {}}
                answers = [server.post("/tasks", body), server.get(f"/tasks?command=KIND{number}")]
                refused.extend(answer.body for answer in answers if answer.status not in (200, 202))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            # Who asks is there, too, and may be there still from the question before.
            seen = store.bulk("CLIENT", "LIST").splitlines()
            most = max(most, sum("cmd=client" not in each for each in seen))
        for thread in threads:
            thread.join()
    assert refused == []
    assert 1 < most <= pool


# --- several servers, a cluster --------------------------------------------------------------


def test_a_long_poll_on_one_server_is_woken_by_a_task_on_another(
    tmp_path: Path, store: RedisServer
):
    env = {"REDIS_ADDR": store.address}
    with serving(tmp_path / "a", env=env) as one, serving(tmp_path / "b", env=env) as other:
        found: list[object] = []
        poll = threading.Thread(target=lambda: found.append(one.claim("PACK", waitSeconds=20)))
        poll.start()
        until(lambda: "waiting" in one.get("/metrics", prefix="").body.decode())
        made = other.create("PACK")
        poll.join(15)
        assert isinstance(found[0], dict)
        assert found[0]["id"] == made["id"]
        waited = threading.Thread(
            target=lambda: found.append(other.get(f"/tasks/{made['id']}/result?waitSeconds=20"))
        )
        waited.start()
        body = {"status": "COMPLETED", "result": {}, "leaseToken": found[0]["leaseToken"]}
        assert one.post(f"/tasks/{made['id']}/result", body).status == 200
        waited.join(15)
        assert found[1].status == 200  # type: ignore[attr-defined]


def test_a_server_runs_on_a_cluster(tmp_path: Path, redis_cluster: RedisNodes):
    empty(redis_cluster)
    with serving(tmp_path / "data", env={"REDIS_ADDR": redis_cluster.address}) as server:
        ids = {name: complete(server, name) for name in ("PACK", "SHIP", "BILL", "MAIL")}
        for name, id_ in ids.items():
            assert server.get(f"/tasks/{id_}/result").status == 200
            assert server.get(f"/admin/queues/{name}").json["inProgress"] == 0
        assert len(server.get("/tasks?limit=100").json["data"]) == 4


# --- loud doubts -----------------------------------------------------------------------------


@pytest.mark.seed("Q46")
def test_a_store_that_may_lose_tasks_is_warned_of(tmp_path: Path):
    binary = system_binary()
    assert binary is not None
    loose = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    store = RedisServer(binary, tmp_path / "loose", *loose)
    try:
        with serving(tmp_path / "data", env={"REDIS_ADDR": store.address}) as server:
            said = [line["why"] for line in server.log() if line["level"] == "warn"]
            assert any(why.startswith("appendonly is no, not yes") for why in said), said
            assert any(why.startswith("maxmemory-policy is allkeys-lru") for why in said), said
            assert server.get("/healthz", prefix="").status == 200
    finally:
        store.stop()


async def test_a_store_is_doubted_by_what_it_is_set_to_now(store: RedisServer):
    engine = engine_on(store)
    await engine.open()
    try:
        assert engine.doubts() == ()
        store.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await engine.touch()
        [doubt] = engine.doubts()
        assert doubt.startswith("maxmemory-policy is allkeys-lru")
        store.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await engine.touch()
        assert engine.doubts() == ()
    finally:
        store.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await engine.close()


def test_a_safe_store_is_not_warned_of(server: Server):
    assert [line for line in server.log() if line["level"] == "warn"] == []


def test_a_full_store_is_told_as_such_and_goes_on_when_there_is_room(
    server: Server, store: RedisServer
):
    kept = server.create("PACK")
    assert store.ask("CONFIG", "SET", "maxmemory", "1mb") == "+OK"
    try:
        refused = server.post("/tasks", {"command": "PACK", "payload": {}})
        assert (refused.status, refused.json["code"]) == (503, "QUEUE033")
    finally:
        store.ask("CONFIG", "SET", "maxmemory", "0")
    assert server.claim("PACK", waitSeconds=1)["id"] == kept["id"]  # type: ignore[index]


# --- TLS -------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "store.crt", tmp_path / "store.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(files[0]), str(files[1])


def test_over_tls_only_a_certificate_that_is_trusted_will_do(
    tmp_path: Path, certificate: tuple[str, str]
):
    binary, port = system_binary(), free_port()
    assert binary is not None
    crt, key = certificate
    tls = ("--tls-port", str(port), "--tls-cert-file", crt, "--tls-key-file", key)
    store = RedisServer(binary, tmp_path / "tls", *tls, "--tls-auth-clients", "no")
    url = f"rediss://127.0.0.1:{port}"
    try:
        ended = starts(tmp_path, REDIS_ADDR=url)
        assert ended.returncode == Exit.UNREACHABLE
        assert "certificate" in ended.stderr.lower()
        with serving(tmp_path / "data", env={"REDIS_ADDR": url, "SSL_CERT_FILE": crt}) as server:
            complete(server, "PACK")
    finally:
        store.stop()
