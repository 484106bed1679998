"""Statements of the app wait for a lock that somebody else holds: who, since when, and how many."""

from backstay.app.guides.inside import may_show
from backstay.app.guides.postgres import WITHOUT
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen

_LOCKS = "app.locks"
_PATIENCE = 1.0
"""Seconds that a statement may wait for its turn before it is worth a word."""


async def _look_at_locks(target: Target) -> Evidence:
    found = await look_inside(_LOCKS, target, "app", "/probe/app.locks", 1.5)
    if isinstance(found, Evidence):
        return found
    if not found.get("address"):
        return seen(_LOCKS, "free", "skip", found)  # a file, whose locks its own guide knows
    facts: dict[str, Plain] = {"data": str(target.data), "address": str(found["address"])}
    for each in found.get("blockers") or ():
        if float(each.get("waited") or 0) >= _PATIENCE:
            return seen(_LOCKS, "held", "fail", found, **facts, **each)
    return seen(_LOCKS, "free", "pass", found, **facts)


LOCKS = Probe(
    _LOCKS,
    "does anybody hold a lock that statements of the app wait for",
    "inside",
    ("free", "held"),
    _look_at_locks,
    2.0,
)

APP_LOCKS = Guide(
    id="app-locks",
    title="Statements of the app wait for a lock",
    seed="codeai: Slow Database Queries (lock contention); Database Recovery",
    symptoms=(
        Symptom("text", r"\block(s|ed)?\b|deadlock|pg_locks|waiting.*pg_stat", "a lock"),
        Symptom("state", f"{_LOCKS}=held", "somebody holds a lock"),
    ),
    probes=(LOCKS,),
    causes=(
        Cause(
            "lock-held",
            "PostgreSQL's session {pid} ({application}, {state}, its transaction {seconds} s old)"
            " holds a lock that {waiting} statements of the app wait for, {waited} s by now"
            "[[: {query}]]",
            0.12,
            {
                _LOCKS: {"held": 0.97},
                # What waits for it keeps its connection, and what needs one waits for that.
                **WITHOUT,
                **may_show(
                    postgres={"pool-full": 0.17},
                    queries={"slow": 0.18, "late": 0.18},
                    requests={"statements": 0.15, "connections": 0.13},
                    tasks={"requests": 0.14},
                ),
            },
            ("end-session", "see-locks"),
        ),
    ),
    fixes=(
        Fix(
            "end-session",
            "End that session, if nobody needs what it does: its transaction is taken back",
            'psql $DATABASE_URL -c "SELECT pg_terminate_backend({pid})"',
            "data",
        ),
        Fix(
            "see-locks",
            "See all who wait, and for whom",
            'psql $DATABASE_URL -c "SELECT pid, pg_blocking_pids(pid) AS behind, left(query, 80)'
            ' AS query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"',
            "none",
        ),
    ),
    escalation="idle_in_transaction_session_timeout of PostgreSQL ends sessions that forget to"
    " commit",
)
