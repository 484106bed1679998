"""Statements are slow: which, how often, and whether an index would help."""

import re
from collections.abc import Mapping
from typing import Any

from backstay.app.guides.inside import may_show
from backstay.core.errors import Plain
from backstay.core.guide import Cause, Evidence, Fix, Guide, Probe, Symptom, Target
from backstay.core.probing import look_inside, seen

_QUERIES = "app.queries"
_WALKS = re.compile(
    r"^\s*(?:->\s*)?(?:SCAN|(?:Parallel )?Seq Scan on|Index Scan using \S+ on) \"?(\w+)\"?"
)
_BOUNDED = "Index Cond:"
"""What stands below an index scan of PostgreSQL that does not read all of it."""
_SHOWN = 300
_MANY_ROWS = 5000
"""Rows of one answer that are more than anybody reads."""


async def _look_at_queries(target: Target) -> Evidence:
    found = await look_inside(_QUERIES, target, "app", "/probe/app.queries", 2.0)
    if isinstance(found, Evidence):
        return found
    often = found.get("slow", ())
    facts: dict[str, Plain] = {"data": str(target.data), "url": target.base_url}
    for each in often:
        if int(each.get("most_rows") or 0) >= _MANY_ROWS:
            return seen(_QUERIES, "rows", "warn", found, **_facts(each), **facts)
    for each in often:
        table = _walked(each)
        if table:
            return seen(_QUERIES, "walks", "warn", found, table=table, **_facts(each), **facts)
    if often:
        return seen(_QUERIES, "slow", "warn", found, **_facts(often[0]), **facts)
    return seen(_QUERIES, "quick", "pass", found, **facts)


def _walked(slow: Mapping[str, Any]) -> str:
    """The table that its plan reads from end to end, "" for none."""
    lines = [str(line) for line in slow.get("plan", ())]
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        walks = _WALKS.match(line)
        if walks and _BOUNDED not in below:
            return walks[1]
    return ""


def _facts(slow: Mapping[str, Any]) -> dict[str, Plain]:
    return {
        "id": slow.get("id"),
        "sql": str(slow.get("sql", ""))[:_SHOWN],
        "count": slow.get("count"),
        "rows": slow.get("most_rows"),
        "slowest": slow.get("slowest"),
        "plan": " / ".join(map(str, slow.get("plan", ())))[:_SHOWN],
    }


QUERIES = Probe(
    _QUERIES,
    "which statements were slow, and how does the database do them",
    "inside",
    ("quick", "walks", "rows", "slow"),
    _look_at_queries,
    2.5,
)

_MAKES_SLOW = may_show(
    postgres={"pool-full": 0.14}, requests={"statements": 0.15}, tasks={"requests": 0.12}
)

SLOW_QUERIES = Guide(
    id="app-queries",
    title="Statements of the app are slow",
    seed="codeai: Slow Database Queries",
    symptoms=(
        Symptom("text", r"slow quer(y|ies)|slow (response|request|endpoint)s?|latency", "slowness"),
        Symptom("state", "app.queries=walks", "a slow statement walks a table"),
    ),
    probes=(QUERIES,),
    causes=(
        Cause(
            "missing-index",
            "a statement took {slowest} ms ({count} times) and walks all of {table}: {sql}",
            0.05,
            {_QUERIES: {"walks": 0.95}, **_MAKES_SLOW},
            ("add-index", "look-at-plan"),
        ),
        Cause(
            "large-result",
            "a statement reads {rows} rows at once, {slowest} ms ({count} times): {sql}",
            0.05,
            {_QUERIES: {"rows": 0.95}, **_MAKES_SLOW},
            ("ask-for-pages", "look-at-plan"),
        ),
        Cause(
            "slow-statement",
            "a statement took {slowest} ms ({count} times) though an index is used: {sql}",
            0.05,
            {_QUERIES: {"slow": 0.95}, **_MAKES_SLOW},
            ("look-at-plan", "look-at-server"),
        ),
    ),
    fixes=(
        Fix(
            "add-index",
            "Add index: [FIELD] to the entity of {table}, for what is compared, then migrate",
            "codeai migrate FILE --apply",
            "data",
        ),
        Fix(
            "look-at-plan",
            "Read how the database does it",
            "curl -s {url}/api/v1/admin/slow-queries/{id}/plan",
            "none",
        ),
        Fix(
            "ask-for-pages",
            "Answer pages (returns: paginated(ENTITY)), or end the query with limit 100",
            "codeai query FILE 'select from ENTITY limit 100' --explain",
            "none",
        ),
        Fix(
            "look-at-server",
            "On PostgreSQL: see what it is busy with meanwhile",
            'psql $DATABASE_URL -c "SELECT pid, wait_event_type, left(query, 80)'
            " FROM pg_stat_activity WHERE state <> 'idle'\"",
            "none",
        ),
    ),
    escalation="SLOW_QUERY=100ms shows more of them; the log has each as `slow query`",
)
