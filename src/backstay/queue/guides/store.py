"""The queue's store does not take writes: rights, a read-only disk, a damaged or vanished file."""

import msgspec

from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probes import STORE_CODES, file_probe
from backstay.core.probing import look_inside, seen
from backstay.queue.guides.looking import settings

_STORE = "queue.store"
_READINGS = (
    *("writable", "not-writable", "full", "locked", "damaged", "gone", "other-version"),
    "failing",
)


async def _look_at_store(target: Target) -> Evidence:
    found = await look_inside(_STORE, target, "queue", "/probe/queue.store")
    if isinstance(found, Evidence):
        return found
    if not str(found.get("path", "")).startswith("/"):
        return seen(_STORE, "writable", "skip", found)  # it is a Redis: a guide of its own
    facts = {
        "path": str(found.get("path", "")),
        "error": str(found.get("error", "")),
        "code": str(found.get("code", "")),
        "data": str(target.data),
    }
    if found.get("writable"):
        return seen(_STORE, "writable", "pass", found, **facts)
    reading = STORE_CODES.get(facts["code"], "failing")
    if reading == "failing" and found.get("folder_writable") is False:
        reading = "not-writable"
    return seen(_STORE, reading, "fail", found, **facts)


STORE = Probe(
    _STORE, "does a write into the queue's store work", "inside", _READINGS, _look_at_store
)
_FILE = file_probe("queue", "queue.db")


async def _look_at_file(target: Target) -> Evidence:
    """Where the tasks are in a Redis, no file is missed."""
    found = await _FILE.run(target)
    if found.reading == "missing":
        known = await settings(_FILE.id, target)
        if not isinstance(known, Evidence) and known.get("redis_addr"):
            return seen(_FILE.id, "absent", "skip")
    return found


FILE = msgspec.structs.replace(_FILE, run=_look_at_file)

_STOPPED = {"queue.process": {"running": 0.76, "gave-up": 0.12, "restarting": 0.11}}
_AT_START = {
    "queue.exit": {"never": 0.65, "store": 0.3},
    "queue.live": {"ready": 0.74, "silent": 0.25},
}

QUEUE_STORE = Guide(
    id="queue-store",
    title="The queue's store does not take writes",
    seed="codeq: Storage",
    symptoms=(
        Symptom("text", r"queue\.db", "the queue's store file"),
        Symptom(
            "text",
            r"CORE01[01]|CORE04[1-8]|attempt to write a readonly database",
            "a failing store",
        ),
        Symptom("state", "queue.store=not-writable", "writes fail"),
    ),
    probes=(STORE, FILE),
    causes=(
        Cause(
            "store-not-writable",
            "the queue's store[[ {path}]] cannot be written[[: {why}]][[ ({error})]]",
            0.08,
            {
                _STORE: {"not-writable": 0.35, "failing": 0.3, "writable": 0.2, "silent": 0.13},
                "queue.file": {"not-writable": 0.5, "fine": 0.35, "read-only-disk": 0.13},
                **_STOPPED,
                **_AT_START,
            },
            ("give-rights", "restart"),
        ),
        Cause(
            "store-gone",
            "the queue's store[[ {path}]] was moved or deleted",
            0.03,
            {
                _STORE: {"gone": 0.4, "writable": 0.3, "silent": 0.15, "failing": 0.12},
                "queue.file": {"missing": 0.95},
                **_STOPPED,
                **_AT_START,
            },
            ("put-back", "restore"),
        ),
        Cause(
            "store-damaged",
            "the queue's store[[ {path}]] is damaged[[: {error}]]",
            0.03,
            {
                _STORE: {"damaged": 0.7, "failing": 0.1, "silent": 0.15},
                "queue.file": {"fine": 0.6, "damaged": 0.38},
                **_STOPPED,
                **_AT_START,
            },
            ("restore",),
        ),
        Cause(
            "store-held",
            "another program holds the queue's store[[ {path}]][[: {why}]]",
            0.03,
            {
                _STORE: {"locked": 0.7, "failing": 0.15, "late": 0.1},
                "queue.file": {"held": 0.8, "fine": 0.15},
            },
            ("let-go",),
        ),
    ),
    fixes=(
        Fix(
            "give-rights",
            "Make file and folder writable for the user that runs Backstay",
            "chmod u+rw {path}* && chmod u+rwx {data}",
            "none",
        ),
        Fix(
            "restart",
            "Then start the queue anew",
            "backstay restart queue --data {data}",
            "restart",
        ),
        Fix(
            "put-back",
            "Stop, put the file (and its -wal) back where it was, start again",
            "backstay down --data {data}",
            "restart",
        ),
        Fix(
            "restore",
            "Stop, and restore the last backup",
            "backstay down --data {data} && backstay restore BACKUP --data {data}",
            "data",
        ),
        Fix("let-go", "End the program that holds the file", "fuser -v {path}", "none"),
    ),
    escalation="keep a copy of queue.db, queue.db-wal and queue.db-shm before any repair",
)
