"""How SQLite answers the engine's questions: the ones that run all day never scan."""

from pathlib import Path

import apsw
import pytest

from backstay.queue.store.sql import MIGRATIONS, SQL

DAILY = [
    name
    for name, text in SQL.items()
    if text.startswith(("SELECT", "UPDATE", "DELETE"))
    and not name.startswith(("all_", "audit_", "count_", "repair_", "recompute_"))
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    folder: Path = tmp_path_factory.mktemp("plans")
    connection = apsw.Connection(str(folder / "queue.db"))
    for migration in MIGRATIONS:
        connection.execute(migration)
    return connection


@pytest.mark.parametrize("name", DAILY)
def test_daily_statements_search_by_an_index(empty: apsw.Connection, name: str):
    prepared = empty.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", _anything(SQL[name]))
    steps = [row[3] for row in prepared]
    assert steps
    assert [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step] == []


def _anything(sql: str) -> dict[str, int] | tuple[int, ...]:
    names = {word.strip("(),;").lstrip(":") for word in sql.split() if word.lstrip("(")[:1] == ":"}
    return dict.fromkeys(names, 1) if names else (1,) * sql.count("?")
