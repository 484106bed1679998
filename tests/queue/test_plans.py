"""How SQLite answers the engine's questions: the ones that run all day never scan."""

import re
from pathlib import Path

import apsw
import pytest

from backstay.queue.model import TaskQuery
from backstay.queue.store.sql import MIGRATIONS, SQL
from backstay.queue.store.sqlite_pages import page_sql
from backstay.queue.store.sqlite_rows import Queues

BATCHES = ("pick_all", "lease_all", "show_all", "finishing", "finish_all")
DAILY = [
    name
    for name, text in SQL.items()
    if text.startswith(("SELECT", "UPDATE", "DELETE"))
    and not name.startswith(("all_", "audit_", "count_", "repair_", "recompute_"))
    and name not in BATCHES
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    folder: Path = tmp_path_factory.mktemp("plans")
    connection = apsw.Connection(str(folder / "queue.db"))
    for migration in MIGRATIONS:
        connection.execute(migration)
    return connection


# They walk what they are given, or what the index has just found: a batch.
_OF_A_BATCH = re.compile(
    r"SCAN (g|json_each) VIRTUAL TABLE INDEX 1:|SCAN \(subquery-\d+\)"
    r"|USE TEMP B-TREE FOR (GROUP BY|json_group_array\(DISTINCT\))"
)


@pytest.mark.parametrize("name", BATCHES)
def test_statements_over_a_batch_search_the_tasks_by_an_index(empty: apsw.Connection, name: str):
    prepared = empty.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", _anything(SQL[name]))
    steps = [row[3] for row in prepared]
    assert any(step.startswith("SEARCH t") for step in steps), steps
    walks = [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step]
    assert [step for step in walks if not _OF_A_BATCH.fullmatch(step)] == []


@pytest.mark.parametrize("name", DAILY)
def test_daily_statements_search_by_an_index(empty: apsw.Connection, name: str):
    prepared = empty.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", _anything(SQL[name]))
    steps = [row[3] for row in prepared]
    assert steps
    assert [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step] == []


def queues(tenants: int) -> Queues:
    known = Queues()
    names = [("default", "PACK"), *((f"t{number}", "MANY") for number in range(tenants))]
    known.numbers = {name: number for number, name in enumerate(names, 1)}
    known.names = {number: name for name, number in known.numbers.items()}
    return known


PAGES = {
    "all": TaskQuery(),
    "newest": TaskQuery(newest_first=True, after="7"),
    "queue": TaskQuery(tenant="default", command="PACK"),
    "tenant": TaskQuery(tenant="default", states=("ready",)),
    "command of many tenants": TaskQuery(command="MANY", newest_first=True),
    "dead": TaskQuery(tenant="default", command="PACK", states=("dead",)),
    "ended anywhere": TaskQuery(states=("completed", "failed"), newest_first=True),
    "nothing": TaskQuery(tenant="nobody"),
    "tag": TaskQuery(tag="x", tenant="default", after="7"),
    "key": TaskQuery(key="x"),
    "outcomes": TaskQuery(reply_to="app", after="1.5:7"),
    "leased": TaskQuery(states=("leased",)),
}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_searched_for_in_an_index(empty: apsw.Connection, name: str):
    sql, values = page_sql(queues(5), PAGES[name])
    steps = [row[3] for row in empty.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    # The places that are merged are read whole: each is a page at most.
    scans = [step for step in steps if "SCAN" in step and "SCAN CONSTANT" not in step]
    assert [step for step in scans if not re.fullmatch(r"SCAN \(subquery-\d+\)", step)] == []
    searched = [step for step in steps if step.startswith("SEARCH t")]
    assert searched or name == "nothing"


def test_in_many_queues_at_once_tasks_are_walked_in_the_order_of_arrival(empty: apsw.Connection):
    sql, values = page_sql(queues(100), TaskQuery(command="MANY"))
    steps = [row[3] for row in empty.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert not [step for step in steps if "TEMP B-TREE" in step]


def _anything(sql: str) -> dict[str, int] | tuple[int, ...]:
    names = re.findall(r":([a-z_]+)", sql)
    return dict.fromkeys(names, 1) if names else (1,) * sql.count("?")
