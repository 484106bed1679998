"""What lies in the store, as people find it with redis-cli and the documentation."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from tests.queue.redis.served import complete, redis_cli
from tests.queue.support import Server, run_codeq, serving, until
from tests.servers.valkey import RedisServer

from backstay.queue.store.redis_layout import Record, split_id

DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "run-the-queue-on-redis.md"


@pytest.mark.seed("Q32")
@pytest.mark.parametrize("how", ["retention", "cleanup"])
def test_finished_tasks_go_with_all_that_belongs_to_them_and_dbsize_falls(
    tmp_path: Path, store: RedisServer, how: str
):
    env = {"REDIS_ADDR": store.address}
    env |= {"RETENTION_SECONDS": "1.5"} if how == "retention" else {}
    with serving(tmp_path / "data", env=env) as server:
        for number in range(5):
            complete(server, "PACK", idempotencyKey=f"k{number}")
        complete(server, "SHIP", idempotencyKey="k")
        waiting = server.create("PACK", runAt="2099-01-01T00:00:00Z")
        before = int(redis_cli(store, "DBSIZE")[0])
        if how == "cleanup":
            base = ("--base-url", server.base_url)
            told = run_codeq(*base, "admin", "cleanup", "--command", "PACK")
            assert told.returncode == 0, told.stderr
            assert int(redis_cli(store, "DBSIZE")[0]) < before
            assert redis_cli(store, "HLEN", "codeq:{SHIP}:results") == ["1"]
            server.post("/admin/tasks/cleanup", {"command": "SHIP"})
        gone = ("results", "once", "ended")
        keys = [f"codeq:{{{name}}}:{key}" for name in ("PACK", "SHIP") for key in gone]
        until(lambda: redis_cli(store, "EXISTS", *keys) == ["0"])
        assert int(redis_cli(store, "DBSIZE")[0]) <= before - len(keys)
        assert redis_cli(store, "HLEN", "codeq:{PACK}:tasks") == ["1"]
        assert server.task(waiting["id"])["status"] == "PENDING"


def orphans(store: RedisServer) -> tuple[set[str], set[str]]:
    """Entries without a task, and tasks in no queue, by the patterns that the documentation gives."""
    patterns = re.findall(r"`(codeq:\{\*\}:(\w+))`", DOCS.read_text())
    ids: dict[str, set[str]] = {}
    for pattern, name in patterns:
        for key in redis_cli(store, "--scan", "--pattern", pattern.replace("{*}", "{*}")):
            if name in ("tasks", "payloads", "results", "once"):
                found = redis_cli(store, "HKEYS", key)
            else:
                found = [
                    _id_in(name, entry) for entry in redis_cli(store, "ZRANGE", key, "0", "-1")
                ]
            ids.setdefault(name, set()).update(found)
    tasks = ids.get("tasks", set())
    queues = ("ready", "parked", "delayed", "leases", "ended", "dead")
    placed = set().union(*(ids.get(name, set()) for name in queues))
    return placed - tasks, tasks - placed - ids.get("replies", set())


def _id_in(name: str, entry: str) -> str:
    skipped = {"ready": 34, "parked": 34, "replies": 32}.get(name, 0)
    return entry.rpartition("\0")[2][skipped:] if skipped else entry


@pytest.mark.seed("Q31")
@pytest.mark.seed("Q30")
def test_orphans_are_found_by_the_documented_patterns_and_mended(
    server: Server, store: RedisServer
):
    whole = server.create("PACK")
    complete(server, "SHIP")
    assert orphans(store) == (set(), set())
    lost = server.create("PACK")
    local = split_id(lost["id"])[0]
    # A task in no queue: its entry is taken away. An entry without a task: one is made up.
    entries = store_entries(store, "codeq:{PACK}:ready")
    [entry] = [each for each in entries if each.endswith(local.encode())]
    assert store.ask_bytes(b"ZREM", b"codeq:{PACK}:ready", entry) == ":1"
    made_up = b"default\x0049" + b"1" * 32 + b"nobody"
    assert store.ask_bytes(b"ZADD", b"codeq:{PACK}:ready", b"0", made_up) == ":1"
    assert orphans(store) == ({"nobody"}, {local})

    audited = server.post("/admin/audit", {"repair": False, "command": "PACK"})
    assert {"orphan_ready", "no_place"} <= {
        each["kind"] for each in audited.json["inconsistencies"]
    }
    told = run_codeq("--base-url", server.base_url, "admin", "cleanup", "--command", "PACK")
    assert told.returncode == 0, told.stderr
    assert orphans(store) == (set(), set())
    found = [server.claim("PACK"), server.claim("PACK")]
    assert {task["id"] for task in found if task} == {whole["id"], lost["id"]}


def store_entries(store: RedisServer, key: str) -> list[bytes]:
    command = ["redis-cli", "-h", store.host, "-p", str(store.port), "--raw", "ZRANGE", key]
    raw = subprocess.run([*command, "0", "-1"], capture_output=True, check=True).stdout
    return raw.splitlines()


def test_the_record_is_what_the_documentation_of_the_layout_says(
    server: Server, store: RedisServer
):
    made = server.create("PACK", priority=3)
    local, tag = split_id(made["id"])
    assert tag == "PACK"
    command = ["redis-cli", "-h", store.host, "-p", str(store.port), "--raw", "HGET"]
    raw = subprocess.run(
        [*command, "codeq:{PACK}:tasks", local], capture_output=True, check=True
    ).stdout
    record = msgspec.msgpack.decode(raw.removesuffix(b"\n"), type=Record)
    assert (record.id, record.state, record.priority) == (local, "ready", 3)
