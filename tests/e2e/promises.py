"""What holds for workflows whatever was killed, read from the stores themselves, read-only."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

GOOD_ENDS = {
    "fulfilled": {"completed"},
    "refunded": {"completed"},
    "cancelled": {"compensated", "failed"},
}
"""`failed` is the end of an execution that had nothing to undo."""

LIVING = ("pending", "running", "compensating")


def rows(store: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """What a statement gives, on a connection that cannot write."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)) as db:
        return db.execute(sql, values).fetchall()


def living(data: Path) -> int:
    """Executions that have not ended."""
    marks = ",".join("?" * len(LIVING))
    sql = f"SELECT count(*) FROM executions WHERE status IN ({marks})"
    return int(rows(data / "app.db", sql, *LIVING)[0][0])


def check_executions(data: Path, orders: Mapping[str, str]) -> None:
    """`orders` are statuses by id. One execution for each order, and each at a good end: `failed`
    only when no step was left that may have had an effect."""
    app = data / "app.db"
    ended: dict[str, list[tuple[str, str, str]]] = {order: [] for order in orders}
    sql = (
        "SELECT json_extract(input, '$.order'), status, error, id FROM executions"
        " WHERE workflow_id = 'fulfil_order'"
    )
    for order, status, error, execution in rows(app, sql):
        ended[order].append((status, error, execution))
    for order, status in orders.items():
        assert len(ended[order]) == 1, f"executions of order {order}: {ended[order]}"
        got, error, execution = ended[order][0]
        assert got in GOOD_ENDS[status], f"order {order} is {status}, {execution} {got}: {error}"
    refunds = rows(app, "SELECT status FROM executions WHERE workflow_id = 'refund_order'")
    assert {status for (status,) in refunds} <= {"completed"}, refunds
    doubtful = rows(
        app,
        "SELECT execution, name FROM steps JOIN executions ON id = execution WHERE"
        " status = 'failed' AND phase = 'forward' AND compensation <> ''"
        " AND (state = 'done' OR unknown)",
    )
    assert not doubtful, f"failed, with steps that were not undone: {doubtful}"
    held = rows(app, "SELECT name, state FROM steps WHERE state IN ('pending','running','waiting')")
    assert not held, f"steps of ended executions: {held}"


def check_messages(data: Path, orders: Mapping[str, str]) -> None:
    """Exactly one Notification for each order that was fulfilled (and perhaps refunded later)."""
    told = Counter(order for (order,) in rows(data / "app.db", 'SELECT "order" FROM notifications'))
    due = {order for order, status in orders.items() if status in ("fulfilled", "refunded")}
    assert told.keys() == due, f"missing: {due - told.keys()}, too many: {told.keys() - due}"
    assert set(told.values()) <= {1}, told.most_common(3)


def check_sound(data: Path) -> None:
    """No store of the data folder is damaged."""
    for store in data.glob("*.db"):
        assert rows(store, "PRAGMA integrity_check") == [("ok",)], store
        assert rows(store, "PRAGMA foreign_key_check") == [], store


def why_cancelled(data: Path) -> Counter[str]:
    """How many executions were undone, by the step that failed and the start of its reason."""
    sql = "SELECT error FROM executions WHERE status IN ('failed', 'compensated')"
    found: Counter[str] = Counter()
    for (error,) in rows(data / "app.db", sql):
        words = str(error).split(":", 1)
        reason = words[-1]
        found[words[0] + (": out of stock" if "out of stock" in reason else reason[:110])] += 1
    return found
