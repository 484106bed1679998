"""The app's database does not answer: locked by another program, moved away, damaged, or full."""

from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probes import STORE_CODES, file_probe
from backstay.core.probing import look_inside, seen

_DATABASE = "app.database"
_CODES = {**STORE_CODES, "late": "waits"}
_READINGS = (
    "works",
    "locked",
    "gone",
    "full",
    "not-writable",
    "damaged",
    "other-version",
    "waits",
    "failing",
)


async def _look_at_database(target: Target) -> Evidence:
    found = await look_inside(_DATABASE, target, "app", "/probe/app.database", 1.2)
    if isinstance(found, Evidence):
        return found
    if "address" in found:
        return seen(_DATABASE, "works", "skip", found)  # a server, which has a guide of its own
    told = str(found.get("reading", ""))
    facts: dict[str, Plain] = {
        "path": str(found.get("path", "")),
        "error": str(found.get("error", "")),
        "code": told if told in STORE_CODES else "",
        "write_seconds": found.get("write_seconds"),
        "data": str(target.data),
        "url": target.base_url,
    }
    if told in ("ok", "slow"):
        return seen(_DATABASE, "works", "pass", found, **facts)
    # Another file at its path is not the database that was opened.
    reading = "gone" if told in ("gone", "moved") else _CODES.get(told, "failing")
    return seen(_DATABASE, reading, "fail", found, **facts)


DATABASE = Probe(
    _DATABASE,
    "does a write into the app's database work",
    "inside",
    _READINGS,
    _look_at_database,
    1.5,
)
FILE = file_probe("app", "app.db")

_AT_START = {
    "app.exit": {"never": 0.65, "store": 0.3},
    "app.live": {"ready": 0.74, "silent": 0.25},
}

_STOPPED = {"app.process": {"running": 0.76, "gave-up": 0.12, "restarting": 0.11}}

APP_DATABASE = Guide(
    id="app-database",
    title="The app's database does not answer",
    seed="codeai: Database (C1, C2)",
    symptoms=(
        Symptom("text", r"database ping failed|database is locked|app\.db", "a failing database"),
        Symptom("text", r"SQLITE_BUSY|CORE01[01]|CORE04[1-8]", "a failing database"),
        Symptom("state", "app.database=locked", "the check fails"),
    ),
    probes=(DATABASE, FILE),
    causes=(
        Cause(
            "database-locked",
            "the app's database[[ {path}]] is locked by another program[[: {why}]]",
            0.05,
            {
                _DATABASE: {"locked": 0.6, "waits": 0.2, "failing": 0.15},
                "app.file": {"held": 0.85, "fine": 0.12},
            },
            ("let-go",),
        ),
        Cause(
            "database-busy",
            "a write into the app's database[[ {path}]] waits long for its turn: the app's own"
            " writes keep the writer",
            0.04,
            {
                _DATABASE: {"waits": 0.95},
                "app.file": {"fine": 0.97},
            },
            ("see-statements", "see-work"),
        ),
        Cause(
            "database-gone",
            "the app's database[[ {path}]] was moved or deleted",
            0.05,
            {
                _DATABASE: {"gone": 0.4, "works": 0.3, "silent": 0.15, "failing": 0.12},
                "app.file": {"missing": 0.95},
                **_STOPPED,
                **_AT_START,
            },
            ("put-back", "restore"),
        ),
        Cause(
            "database-not-writable",
            "the app's database[[ {path}]] cannot be written[[: {why}]][[ ({error})]]",
            0.08,
            {
                _DATABASE: {"not-writable": 0.35, "failing": 0.3, "works": 0.2, "silent": 0.13},
                "app.file": {"not-writable": 0.5, "fine": 0.35, "read-only-disk": 0.13},
                **_STOPPED,
                **_AT_START,
            },
            ("give-rights", "restart"),
        ),
        Cause(
            "database-damaged",
            "the app's database[[ {path}]] is damaged[[: {error}]]",
            0.03,
            {
                _DATABASE: {"damaged": 0.7, "failing": 0.1, "silent": 0.15},
                "app.file": {"fine": 0.6, "damaged": 0.38},
                **_STOPPED,
                **_AT_START,
            },
            ("restore",),
        ),
    ),
    fixes=(
        Fix("let-go", "End the program that holds the file", "fuser -v {path}", "none"),
        Fix(
            "see-statements",
            "See which statements are slow",
            "curl -s {url}/api/v1/admin/slow-queries",
            "none",
        ),
        Fix(
            "see-work",
            "See which endpoint takes long: what computes in do { … } that writes holds the writer",
            "curl -s {url}/metrics | grep http_request_duration_seconds_sum",
            "none",
        ),
        Fix(
            "put-back",
            "Stop, put app.db (and app.db-wal) back where it was, start again",
            "backstay down --data {data}",
            "restart",
        ),
        Fix(
            "restore",
            "Stop, and restore the last backup",
            "backstay down --data {data} && backstay restore BACKUP --data {data}",
            "data",
        ),
        Fix(
            "give-rights",
            "Make file and folder writable for the user that runs Backstay",
            "chmod u+rw {path}* && chmod u+rwx {data}",
            "none",
        ),
        Fix("restart", "Then start the app anew", "backstay restart app --data {data}", "restart"),
    ),
    escalation="keep a copy of app.db, app.db-wal and app.db-shm before any repair",
)
