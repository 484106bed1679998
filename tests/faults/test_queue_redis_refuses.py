"""A Redis that answers a running queue, and says no: each no has a cause and a fix of its own."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.faults.consulting import apply, assert_mended, assert_named, assert_silent
from tests.queue.support import Server, serving, until
from tests.servers.require import absent
from tests.servers.valkey import RedisNodes, RedisServer, system_binary

from backstay.queue.store.redis_layout import SCHEMA, SCHEMA_VERSION


@pytest.fixture
def binary() -> str:
    found = system_binary()
    if found is None or shutil.which("redis-cli") is None:
        absent("redis-server, redis-cli", "Debian: sudo apt-get install redis-server redis-tools")
    return found


@pytest.fixture
def redis(tmp_path: Path, binary: str) -> Iterator[RedisServer]:
    """One of this test's own: it comes to harm."""
    server = RedisServer(binary, tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def queue(tmp_path: Path, redis: RedisServer) -> Iterator[Server]:
    with serving(tmp_path / "data", env={"REDIS_ADDR": redis.address}) as server:
        assert_silent(server)
        yield server


def refused(queue: Server) -> str:
    """The code that a producer is told."""
    answer = queue.post("/tasks", {"command": "PRINT", "payload": {}})
    assert answer.status == 503, answer.body
    return str(answer.json["code"])


@contextmanager
def admin(redis: RedisServer) -> Iterator["Admin"]:
    """A connection that stays, whatever is forbidden to others."""
    with socket.create_connection((redis.host, redis.port), timeout=5) as link:
        yield Admin(link)


class Admin:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._answers = link.makefile("rb")

    def say(self, line: str) -> str:
        self._link.sendall(f"{line}\r\n".encode())
        return self._answers.readline().decode().rstrip()

    def cut(self) -> None:
        """The connections of everybody else."""
        assert self.say("CLIENT KILL TYPE normal SKIPME yes").startswith(":")
        assert self.say("CLIENT KILL TYPE pubsub").startswith(":")


def test_the_password_was_changed_under_a_running_queue(queue: Server, redis: RedisServer) -> None:
    with admin(redis) as operator:
        assert operator.say("CONFIG SET requirepass hush") == "+OK"
        assert_silent(queue, "--only", "queue-redis")  # who is in stays in
        operator.cut()
        found = assert_named(queue, "redis-wants-password")
        assert found["evidence"][0]["facts"]["store"] == redis.address
        assert found["fixes"][0]["command"] == "REDIS_PASSWORD=… codeq-server"
        queue.stop()
        queue.env["REDIS_PASSWORD"] = "hush"
        queue.start()
        assert_mended(queue)


@pytest.mark.parametrize("lost", ["-@write", "-eval -evalsha", "resetkeys ~other:*"])
def test_the_user_of_the_queue_lost_a_right(queue: Server, redis: RedisServer, lost: str) -> None:
    kept = queue.create("PRINT", delaySeconds=600)
    assert redis.ask("ACL", "SETUSER", "default", *lost.split()) == "+OK"
    assert refused(queue) == "QUEUE033"
    found = assert_named(queue, "redis-forbids")
    assert redis.address in found["says"]
    assert found["fixes"][0]["id"] == "allow"
    apply(found, "allow")
    assert_mended(queue)
    assert queue.task(kept["id"])["status"] == "PENDING"


def test_redis_cannot_save_what_it_has(queue: Server, redis: RedisServer, tmp_path: Path) -> None:
    assert redis.ask("CONFIG", "SET", "save", "3600 1") == "+OK"
    in_the_way = tmp_path / "redis" / "dump.rdb"
    in_the_way.mkdir()
    redis.ask("BGSAVE")
    until(lambda: "rdb_last_bgsave_status:err" in redis.bulk("INFO", "persistence"), 10.0)
    found = assert_named(queue, "redis-refuses")
    assert "MISCONF" in found["says"]
    assert "rdb_last_bgsave_status:err" in apply(found, "info")
    in_the_way.rmdir()
    redis.ask("BGSAVE")
    assert_mended(queue)


def test_others_have_all_connections(queue: Server, redis: RedisServer) -> None:
    with ExitStack() as held:
        operator = held.enter_context(admin(redis))
        # As many as an operator leaves to it: one, which is his.
        assert operator.say("CONFIG SET maxclients 1") == "+OK"
        operator.cut()
        until(lambda: refused(queue) == "QUEUE033", 10.0)
        found = assert_named(queue, "redis-crowded")
        assert found["fixes"][0]["command"] == f"lsof -nP -i TCP:{redis.port}"
        assert operator.say("CONFIG SET maxclients 10000") == "+OK"
        assert_mended(queue)


def test_redis_still_reads_its_file(queue: Server, redis: RedisServer) -> None:
    with admin(redis) as operator:
        for number in range(3000):
            assert operator.say(f"SET ballast:{number} {'x' * 1100}") == "+OK"
    redis.ask("BGREWRITEAOF")  # the form that is read key by key
    # Not before it has ended: it may only be about to begin.
    until(lambda: "aof_last_rewrite_time_sec:-1" not in redis.bulk("INFO", "persistence"), 10.0)
    redis.kill()
    redis.restart_slowly(0.02)
    found = assert_named(queue, "redis-loads")
    assert "loading:1" in apply(found, "loading")
    assert redis.ask("CONFIG", "SET", "key-load-delay", "0") == "+OK"
    assert_mended(queue)


def test_redis_became_a_replica(queue: Server, redis: RedisServer) -> None:
    kept = queue.create("PRINT", delaySeconds=600)
    assert redis.ask("REPLICAOF", "127.0.0.1", "1") == "+OK"
    found = assert_named(queue, "redis-replica")
    assert "role:slave" in apply(found, "role")
    assert redis.ask("REPLICAOF", "NO", "ONE") == "+OK"
    assert_mended(queue)
    assert queue.task(kept["id"])["status"] == "PENDING"


def test_a_newer_version_came_to_the_store(queue: Server, redis: RedisServer) -> None:
    assert redis.ask("SET", SCHEMA, str(SCHEMA_VERSION + 1)) == "+OK"
    found = assert_named(queue, "redis-newer")
    assert found["evidence"][0]["reading"] == "newer"
    assert found["fixes"][0]["command"] == "pip install --upgrade backstay"
    assert redis.ask("SET", SCHEMA, str(SCHEMA_VERSION)) == "+OK"
    assert_mended(queue)


@pytest.fixture
def nodes(tmp_path: Path, binary: str) -> Iterator[RedisNodes]:
    """A cluster of this test's own: it comes to harm."""
    made = RedisNodes(binary, tmp_path / "nodes")
    yield made
    made.stop()


@pytest.fixture
def spread(tmp_path: Path, nodes: RedisNodes) -> Iterator[Server]:
    """A queue on the cluster, with commands on each of its nodes."""
    with serving(tmp_path / "data", env={"REDIS_ADDR": nodes.address}) as server:
        for number in range(12):
            server.create(f"KIND-{number}", delaySeconds=600)
        assert_silent(server)
        yield server


def test_a_node_of_the_cluster_is_missing(spread: Server, nodes: RedisNodes) -> None:
    nodes.nodes[2].kill()
    found = assert_named(spread, "redis-torn")
    # The first one was named in the settings, and still answers.
    assert "redis-cli --cluster check 127.0.0.1:" in found["fixes"][0]["command"]
    nodes.nodes[2].restart()
    assert_mended(spread)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_single_node_of_the_cluster_is_full(
    spread: Server, nodes: RedisNodes, which: int
) -> None:
    """Whichever it is: a write on another one proves nothing."""
    full = nodes.nodes[which]
    assert full.ask("CONFIG", "SET", "maxmemory", "1") == "+OK"
    found = assert_named(spread, "redis-full-of-work")
    assert full.address in found["says"]
    apply(found, "memory")
    assert_mended(spread)


def test_a_single_node_of_the_cluster_lets_nobody_write(spread: Server, nodes: RedisNodes) -> None:
    strict = nodes.nodes[1]
    assert strict.ask("ACL", "SETUSER", "default", "-@write") == "+OK"
    found = assert_named(spread, "redis-forbids")
    assert strict.address in found["says"]
    apply(found, "allow")
    assert_mended(spread)
