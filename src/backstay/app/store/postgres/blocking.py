"""Who keeps the app's statements waiting for a lock, as the server sees it."""

import re
from typing import Any

from backstay.app.store.postgres.link import Link
from backstay.core.errors import Plain

# Only the heads of the queues: who waits in turn for somebody else is not to blame.
_BLOCKERS = """
WITH waits AS (
    SELECT pid AS waiter, unnest(pg_blocking_pids(pid)) AS pid,
           statement_timestamp() - query_start AS since
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'codeai'
          AND wait_event_type = 'Lock'
)
SELECT by.pid::bigint, coalesce(by.application_name, ''), coalesce(by.usename::text, ''),
       coalesce(by.state, ''),
       extract(epoch FROM statement_timestamp() - by.xact_start)::double precision,
       coalesce(by.query, ''), count(DISTINCT waits.waiter),
       extract(epoch FROM max(waits.since))::double precision
FROM waits JOIN pg_stat_activity AS by ON by.pid = waits.pid
WHERE by.pid NOT IN (SELECT waiter FROM waits)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 7 DESC, 1
LIMIT 5
"""
_VALUES = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
_SHOWN = 120


async def blockers(link: Link) -> list[dict[str, Plain]]:
    """Each with its pid, name, state, age of its transaction, last statement (without values), how
    many statements wait for it and for how long at most, in seconds."""
    return [_told(row) for row in await link.fetch(_BLOCKERS, ())]


def _told(row: Any) -> dict[str, Plain]:
    pid, application, user, state, seconds, query, waiting, waited = row
    return {
        "pid": pid,
        "application": application or user,
        "state": state,
        "seconds": round(seconds or 0.0, 1),
        "query": _VALUES.sub("?", " ".join(query.split()))[:_SHOWN],
        "waiting": waiting,
        "waited": round(waited or 0.0, 1),
    }
