"""The queue's Redis, Valkey or KVRocks does not take writes, or may lose what it took."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import seen
from backstay.queue.guides.looking import NOTHING, Numbers, inside

_REDIS = "queue.redis"
_CODES = {"QUEUE031": "away", "QUEUE032": "password", "QUEUE033": "refuses", "QUEUE034": "newer"}
_WORDS: Sequence[tuple[str, str]] = (
    ("full", "OOM|maxmemory|used memory"),
    ("crowded", "max number of clients"),
    ("forbids", "permissions|user executing the script|ACL failure"),
    ("loading", "loading the dataset"),
    ("replica", "read only replica"),
    ("torn", "CLUSTERDOWN|cluster is down|slot not (served|covered)"),
)
"""What the store said, where one code of the queue's has several causes."""
_READINGS = (
    *(NOTHING, "takes-writes", "lossy", "mute", "full-backlog"),
    *_CODES.values(),
    *(reading for reading, _ in _WORDS),
)


async def _look_at_redis(target: Target) -> Evidence:
    found = await inside(_REDIS, target, "/probe/queue.store", 2.5)
    if isinstance(found, Evidence):
        return found
    store = str(found.get("path", ""))
    if store.startswith("/"):
        return seen(_REDIS, NOTHING, "skip")
    doubts = [str(one) for one in found.get("doubts") or []]
    store = str(found.get("address") or store)  # of a cluster, the node that it is about
    facts: dict[str, Plain] = {"store": store, "doubt": "; ".join(doubts)}
    facts["host"], _, facts["port"] = store.partition(",")[0].rpartition(":")
    facts["error"] = found.get("reason") or found.get("error")
    if found.get("writable"):
        reading = "lossy" if doubts else "takes-writes"
        return seen(_REDIS, reading, "warn" if doubts else "pass", found, **facts)
    reading = _failure(found)
    facts |= await _fills(target) if reading == "full" else {}
    if facts.get("backlog"):
        reading = "full-backlog"
    return seen(_REDIS, reading, "fail", found, **facts)


def _failure(found: Mapping[str, Any]) -> str:
    """Why a write failed, by the queue's code and by what the store said."""
    if found.get("mute"):
        return "mute"
    reading = _CODES.get(str(found.get("code", "")), "refuses")
    if reading in ("away", "refuses"):
        said = str(found.get("error", ""))
        return next((name for name, words in _WORDS if re.search(words, said)), reading)
    return reading


async def _fills(target: Target) -> dict[str, Plain]:
    """Whether it is work that waits which fills it; else it is what has ended and is kept."""
    found = await inside(_REDIS, target, "/metrics")
    if isinstance(found, Evidence):
        return {}
    counted = Numbers(str(found))
    waits = counted.total("codeq_queue_depth")
    ended = counted.total("codeq_task_completed_total")
    return {"waiting": int(waits), "ended": int(ended), "backlog": waits > ended}


REDIS = Probe(
    _REDIS,
    "does a write into the queue's Redis work",
    "inside",
    _READINGS,
    _look_at_redis,
    deadline=3.0,
)


_SAID = {"password": "store-password", "newer": "store-newer"}


def _cause(id: str, says: str, reading: str, *fixes: str) -> Cause:
    # A queue whose store fails says so to everybody who asks it: no second trouble.
    expects = {
        _REDIS: {reading: 0.97},
        "codeq.answer": {"unwell": 0.9},
        "queue.last-words": {_SAID.get(reading, "store-away"): 0.5},
    }
    return Cause(id, says, 0.05, expects, fixes)


QUEUE_REDIS = Guide(
    id="queue-redis",
    title="The queue's Redis does not take writes",
    seed="codeq: Connection Refused; High Memory Usage in KVRocks",
    symptoms=(
        Symptom("text", r"QUEUE03[1-6]|redis|valkey|kvrocks", "the store"),
        Symptom("state", "queue.redis=away", "nobody answers there"),
    ),
    probes=(REDIS,),
    causes=(
        _cause("redis-down", "nothing answers at {store}: {error}", "away", "ping", "name"),
        _cause("redis-hangs", "{store} takes connections and does not answer", "mute", "ping"),
        _cause("redis-wants-password", "{store} wants another password", "password", "password"),
        _cause(
            "redis-full-of-work",
            "{store} is full[[, and {waiting} tasks wait in it]]: {error}",
            "full-backlog",
            "workers",
            "memory",
        ),
        _cause(
            "redis-full-of-past",
            "{store} is full, mostly of what has ended and is kept: {error}",
            "full",
            "cleanup",
            "retention",
            "memory",
        ),
        _cause("redis-refuses", "{store} refuses writes: {error}", "refuses", "info"),
        _cause(
            "redis-forbids",
            "{store} does not let the queue's user write: {error}",
            "forbids",
            "allow",
        ),
        _cause(
            "redis-crowded",
            "{store} has as many clients as it takes",
            "crowded",
            "who",
            "more-clients",
        ),
        _cause("redis-loads", "{store} reads its file and is not ready yet", "loading", "loading"),
        _cause(
            "redis-replica",
            "{store} is a replica, which takes no writes",
            "replica",
            "role",
            "name",
        ),
        _cause("redis-torn", "nodes are missing in the cluster {store}: {error}", "torn", "nodes"),
        _cause("redis-newer", "{store} was written to by a newer version", "newer", "upgrade"),
        _cause("redis-lossy", "{store} may lose accepted tasks[[: {doubt}]]", "lossy", "durable"),
    ),
    fixes=(
        Fix("ping", "Ask it", "redis-cli -h {host} -p {port} PING", "none"),
        Fix("name", "Name the right address", "REDIS_ADDR=HOST:PORT codeq-server", "restart"),
        Fix("password", "Give its requirepass", "REDIS_PASSWORD=… codeq-server", "restart"),
        Fix("workers", "Work it off", "codeq worker start --concurrency 20", "none"),
        Fix("cleanup", "Delete what has ended", "codeq admin cleanup --command COMMAND", "data"),
        Fix("retention", "Keep it shorter", "RETENTION_SECONDS=3600 codeq-server", "restart"),
        Fix(
            "memory",
            "Give it more",
            "redis-cli -h {host} -p {port} CONFIG SET maxmemory 2gb",
            "none",
        ),
        Fix(
            "info",
            "See whether it can save to its disk",
            "redis-cli -h {host} -p {port} INFO persistence",
            "none",
        ),
        Fix(
            "allow",
            "Let its user do all on all keys (or the user that REDIS_ADDR names)",
            "redis-cli -h {host} -p {port} ACL SETUSER default +@all allkeys allchannels",
            "none",
        ),
        Fix("who", "See who holds them, on its machine", "lsof -nP -i TCP:{port}", "none"),
        Fix(
            "more-clients",
            "Start it with room for more",
            "redis-server /etc/redis/redis.conf --maxclients 10000",
            "restart",
        ),
        Fix(
            "loading",
            "Wait, and see how far it is",
            "redis-cli -h {host} -p {port} INFO persistence",
            "none",
        ),
        Fix(
            "role",
            "See which one is its primary",
            "redis-cli -h {host} -p {port} INFO replication",
            "none",
        ),
        Fix(
            "nodes",
            "See which node is missing, and start it",
            "redis-cli --cluster check {host}:{port}",
            "none",
        ),
        Fix("upgrade", "Run the version that wrote it", "pip install --upgrade backstay", "none"),
        Fix(
            "durable",
            "Make it keep what it took",
            "redis-cli -h {host} -p {port} CONFIG SET appendonly yes; "
            "redis-cli -h {host} -p {port} CONFIG SET maxmemory-policy noeviction",
            "none",
        ),
    ),
    escalation="docs/how-to/run-the-queue-on-redis says what it needs",
)
