"""What the redis engine keeps where: the names of keys, and the record of a task.

All keys of one command carry the hash tag `{command}` and so lie in one slot of a cluster; a script
touches the keys of one command only. Which patterns they follow is part of the documentation
(docs/decisions/0016-redis-engine.md): people look for orphans by them.
"""

import re

import msgspec

from backstay.queue.model import Attempt, State, Task

PREFIX = "codeq"

KEYS = (
    "tasks",  # hash: id -> Record
    "payloads",  # hash: id -> JSON text
    "results",  # hash: id -> JSON text
    "order",  # sorted set: arrival number of every task
    "ready",  # sorted set by bytes: tenant, priority, due, arrival, id
    "delayed",  # sorted set: due time
    "leases",  # sorted set: end of the lease on the lease clock
    "ended",  # sorted set: end; what retention and purge look through
    "dead",  # sorted set: arrival number of the dead letters
    "replies",  # sorted set by bytes: reply_to, end, arrival, id of unacknowledged outcomes
    "once",  # hash: tenant and idempotency key -> id and fingerprint
    "counts",  # hash: tenant and state -> how many
    "turns",  # sorted set: tenants with work, the longest unserved first
    "seq",  # the last arrival number
    "polls",  # hash: tenant (* for all, "" for anybody) -> wall time of the last claim
    "history",  # hash: id -> deliveries that did not end the task
    "policies",  # hash: tenant -> bounds
    "rates",  # sorted set: when the bucket of a queue or key is full again, on the lease clock
    "held",  # hash: tenant and key -> how many are leased
    "parked",  # sorted set by bytes: ready tasks whose key is at a bound
    "lifts",  # sorted set: when a bound is lifted, on the lease clock
    "callbacks",  # hash: id -> result callback
    "callbacks_due",  # sorted set: when it is tried next
    "callbacks_lost",  # sorted set: when it was given up
    "periodics",  # hash: tenant and name -> periodic task
)

COMMANDS = f"{PREFIX}:commands"
"""Sorted set of all commands there are keys of; its score is when one was last used."""
CLOCK = f"{PREFIX}:clock"
"""Hash: by how much the store's clock has jumped, and the newest time that was told."""
TOUCHED = f"{PREFIX}:touched"
"""Before a hash tag: what a health check writes on each node of a cluster. It goes by itself."""
SERVERS = f"{PREFIX}:servers"
"""Sorted set of the servers on this store; its score is when each was last heard of."""
SUBSCRIPTIONS = f"{PREFIX}:subscriptions"
PERIODICS = f"{PREFIX}:periodics"
"""Hash: tenant and name -> tag of the command whose keys hold the periodic task."""
SCHEMA = f"{PREFIX}:schema"
POLLED = f"{PREFIX}:polled"
"""Wall time of the last claim of any command."""
CHANNEL = f"{PREFIX}:happened"

SCHEMA_VERSION = 1
SEPARATOR = "\0"

_ESCAPED = re.compile(rb"[^A-Za-z0-9_-]")
_TAGGED = re.compile(r"~([0-9A-F]{2})")


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A task as it lies in the hash `tasks`: MessagePack, an array in this order. `id` is without
    the tag. `calls` counts its result callbacks, `op` names the operation that changed it last."""

    id: str
    tenant: str
    state: State
    seq: int
    priority: int
    attempts: int
    max_attempts: int
    due_at: float
    created_at: float
    updated_at: float
    worker: str
    lease_token: str
    lease_until: float
    error: str
    ended_at: float
    claimed_at: float
    idempotency_key: str
    fingerprint: str
    reply_to: str
    webhook: str
    tags: tuple[str, ...]
    key: str
    progress: str
    trace: str
    unacked: int
    calls: int
    op: str


decode_record = msgspec.msgpack.Decoder(Record).decode


def tag_of(command: str) -> str:
    """The command as it stands in keys and ids: letters, digits, `_` and `-` as they are, every
    other byte as `~` and two hexadecimal digits. So it ends no hash tag and fits into a URL."""
    plain = _ESCAPED.sub(lambda found: b"~%02X" % found[0][0], command.encode())
    return plain.decode()


def command_of(tag: str) -> str:
    """The command that `tag_of` made the tag of."""
    raw = _TAGGED.sub(lambda found: chr(int(found[1], 16)), tag)
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def keys_of(tag: str) -> list[str]:
    """The names of a command's keys, in the order of KEYS."""
    return [f"{PREFIX}:{{{tag}}}:{key}" for key in KEYS]


def full_id(local: str, tag: str) -> str:
    """The id that people see: the tag tells where the task lies (decision 4)."""
    return f"{local}.{tag}"


def split_id(id: str) -> tuple[str, str]:
    """Local id and tag; the tag is empty when the id is none of this engine's."""
    local, _, tag = id.rpartition(".")
    return (
        (local, tag) if local and not _ESCAPED.search(tag.replace("~", "").encode()) else ("", "")
    )


def task_of(raw: bytes, payload: bytes, result: bytes, tag: str, command: str) -> Task:
    """The task of a record and its bodies."""
    record = decode_record(raw)
    return Task(
        id=f"{record.id}.{tag}",
        tenant=record.tenant,
        command=command,
        payload=payload.decode(),
        state=record.state,
        created_at=record.created_at,
        updated_at=record.updated_at,
        priority=record.priority,
        attempts=record.attempts,
        max_attempts=record.max_attempts,
        due_at=record.due_at,
        worker=record.worker,
        lease_token=record.lease_token,
        lease_until=record.lease_until,
        idempotency_key=record.idempotency_key,
        reply_to=record.reply_to,
        webhook=record.webhook,
        result=result.decode(),
        error=record.error,
        ended_at=record.ended_at,
        claimed_at=record.claimed_at,
        tags=record.tags,
        key=record.key,
        progress=record.progress,
        trace=record.trace,
    )


def last_attempt(record: Record, number: int) -> Attempt | None:
    """The delivery that the record itself tells of: the present one, or the one that ended it."""
    if not record.worker or record.state in ("ready", "delayed"):
        return None
    outcome: str = record.state
    if record.state == "dead":
        outcome = "expired" if record.error == "LEASE_EXPIRED" else "nacked"
    ended = record.state != "leased"
    values = {
        "number": number,
        "worker": record.worker,
        "started_at": record.claimed_at,
        "ended_at": record.ended_at if ended else 0.0,
        "outcome": outcome,
        "error": record.error if ended else "",
    }
    return msgspec.convert(values, Attempt)
