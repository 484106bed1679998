"""The app's PostgreSQL does not answer: it is stopped, it hangs, it lets nobody in, or all of the
connections to it are at work."""

from backstay.app.guides.inside import may_show
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen

_POSTGRES = "app.postgres"
_READINGS = ("works", "slow", "pool-full", "away", "hangs", "refuses", "failing")
_CODES = {
    "APP040": "away",
    "APP041": "pool-full",
    "APP044": "hangs",
    "APP045": "refuses",
    "late": "hangs",
}
_BEHIND = 0.2
"""Seconds by which the app may come late to its own deadline."""


async def _look_at_postgres(target: Target) -> Evidence:
    found = await look_inside(_POSTGRES, target, "app", "/probe/app.database", 1.2)
    if isinstance(found, Evidence):
        return found
    address = str(found.get("address", ""))
    if not address:
        return seen(_POSTGRES, "works", "skip", found)  # a file, which has a guide of its own
    told = str(found.get("reading", ""))
    pool = found.get("pool") or {}
    most, used = int(pool.get("max_connections") or 0), int(pool.get("in_use") or 0)
    facts: dict[str, Plain] = {
        "address": address,
        "error": str(found.get("error", "")),
        "in_use": used,
        "max_connections": most,
        "data": str(target.data),
        "url": target.base_url,
    }
    if told == "late" and float(found.get("behind") or 0) > _BEHIND:
        return seen(_POSTGRES, "works", "skip", found)  # not asked in time: the app had none
    if told in ("ok", "slow") and used >= most > 0:
        return seen(_POSTGRES, "pool-full", "warn", found, **facts)
    if told == "ok":
        return seen(_POSTGRES, "works", "pass", found, **facts)
    if told == "slow":
        return seen(_POSTGRES, "slow", "pass", found, **facts)
    return seen(_POSTGRES, _CODES.get(told, "failing"), "fail", found, **facts)


PROBE = Probe(
    _POSTGRES,
    "does PostgreSQL answer the app, and are there connections left",
    "inside",
    _READINGS,
    _look_at_postgres,
    1.5,
)

WITHOUT = may_show(
    work={"late": 0.15}, standing={"late": 0.16, "runner": 0.16}, queries={"late": 0.18}
)
"""Probes that need a connection themselves."""

APP_POSTGRES = Guide(
    id="app-postgres",
    title="The app's PostgreSQL does not answer",
    seed="codeai: Database Connection Failures (C1, C2, C3)",
    symptoms=(
        Symptom("text", r"database ping failed|postgres|APP04[0-9]|connection pool", "a database"),
        Symptom("state", "app.postgres=away", "the check fails"),
    ),
    probes=(PROBE,),
    causes=(
        Cause(
            "postgres-down",
            "PostgreSQL at {address} is stopped or cannot be reached[[: {error}]]",
            0.06,
            {
                _POSTGRES: {"away": 0.96},
                **WITHOUT,
            },
            ("start", "reach"),
        ),
        Cause(
            "postgres-hangs",
            "PostgreSQL at {address} takes connections and does not answer[[: {error}]]",
            0.04,
            {
                _POSTGRES: {"hangs": 0.96},
                **WITHOUT,
                **may_show(
                    locks={"late": 0.25},
                    requests={"statements": 0.15, "connections": 0.13},
                    tasks={"requests": 0.14},
                ),
            },
            ("running", "reach"),
        ),
        Cause(
            "postgres-refuses",
            "PostgreSQL at {address} does not let the app in[[: {error}]]",
            0.04,
            {_POSTGRES: {"refuses": 0.96}},
            ("url", "create"),
        ),
        Cause(
            "pool-exhausted",
            "all {max_connections} connections to PostgreSQL are at work: requests wait for one",
            0.05,
            {
                _POSTGRES: {"pool-full": 0.96},
                **WITHOUT,
                **may_show(
                    requests={"statements": 0.14, "connections": 0.2}, tasks={"requests": 0.14}
                ),
            },
            ("running", "locks", "more"),
        ),
    ),
    fixes=(
        Fix("start", "Start it", "sudo systemctl start postgresql", "none"),
        Fix(
            "reach",
            "See whether it can be reached from here",
            "pg_isready -d $DATABASE_URL",
            "none",
        ),
        Fix(
            "running",
            "See what it is busy with, the longest first",
            'psql $DATABASE_URL -c "SELECT pid, now() - query_start AS age, state, wait_event_type,'
            " left(query, 80) AS query FROM pg_stat_activity WHERE state <> 'idle'"
            ' ORDER BY query_start"',
            "none",
        ),
        Fix(
            "locks",
            "See who keeps whom waiting; pg_terminate_backend(PID) ends one",
            'psql $DATABASE_URL -c "SELECT pid, pg_blocking_pids(pid) AS behind, left(query, 80)'
            ' AS query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"',
            "none",
        ),
        Fix(
            "more",
            "If its statements are as fast as they can be: allow more, and start the app anew",
            "export DATABASE_MAX_CONNECTIONS=50",
            "restart",
        ),
        Fix(
            "url",
            "See what it says to user, password and database name of DATABASE_URL",
            "psql $DATABASE_URL -c 'SELECT 1'",
            "none",
        ),
        Fix("create", "Create the database, if it is gone", "createdb NAME", "none"),
    ),
    escalation="what was answered is in PostgreSQL; requests are refused with 503 meanwhile, and"
    " executions go on where they were",
)
